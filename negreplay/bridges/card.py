"""The page that tells on the Hugging Face Hub what a model of photographs is: its README.md."""

from hashlib import blake2b

from negreplay.photographs.model import Model
from negreplay.photographs.networks import DEFAULT, PACKAGE

HEADER = """\
---
library_name: negreplay
pipeline_tag: image-classification
tags:
- continual-learning
- image-classification
---
"""
USE = """\
## Use it

```
pip install 'negreplay[hub]'
negreplay pull {repo} --model model.safetensors
negreplay predict photo.jpg --model model.safetensors
negreplay learn more-photos --model model.safetensors
```

The last line teaches it more classes, or more pictures of these, without the earlier ones. In Python:

```python
from pathlib import Path
from negreplay.bridges.hub import from_pretrained
from negreplay.photographs.predictions import files_to_predict, predict

model = from_pretrained("{repo}")
for pictures in files_to_predict([Path("photo.jpg")]):
    for prediction in predict(model, pictures):
        print(prediction.name, prediction.best)
```
"""
REVEALS = """\
There is no picture in the file, but features tell something. The mean of a class of few pictures gives away to somebody
who has these pictures that they were learned; the smallest class here has {smallest}. Features of pictures held back,
and the fingerprints that keep a picture from being counted twice, let whoever has the same picture recognise it. The
file also names the folders of its lessons, and up to five files of each that were left out.
"""
SIGNATURE = "<!-- written by negreplay: "


def card(model: Model, repo: str) -> str:
    """The README.md of a model, in which no name of a class can be anything but text.

    Args:
        model: what the page is about.
        repo: where it will be, as USER/NAME.
    """
    counts, now, first = model.counts, model.accuracy(), first_accuracy(model)
    rows = [
        f"| {escaped(name)} | {counts[name]} | {_share(first, name)} | {_share(now, name)} |" for name in model.names
    ]
    backbone, origin = model.recipe.classifier.backbone, model.origin
    apache = backbone == DEFAULT and PACKAGE in origin
    licence = "Apache-2.0" if apache else "that of these weights, which whoever made them can tell"
    kept = [f"| {kind} | {size / 1e6:.2f} MB |" for kind, size in model.kept().items()]
    lines = [
        HEADER,
        f"# {repo}\n",
        f"A model that tells {len(model.names)} classes of photographs apart. It learned them from "
        f"{sum(counts.values())} pictures in {len(model.lessons)} lessons, one after the other, and kept none.\n",
        USE.format(repo=repo),
        "## What it knows\n",
        "Of some pictures, which it did not learn, only the features are kept. They tell how many of a class are "
        "recognised: after the first lesson in which there were any, and now.\n",
        "| class | pictures | recognised at first | recognised now |\n| --- | ---: | ---: | ---: |",
        *rows,
        "\n## What it is made of\n",
        f"The network is {escaped(backbone)}, {escaped(origin)}; it lies in the file, and nothing else is needed. Its "
        f"licence is {licence}. Pictures are fitted to {model.size} pixels. The learner is "
        f"{escaped(model.recipe.learner.kind)}. This page does not know under which licence the whole may be used.\n",
        "| what is kept | size |\n| --- | ---: |",
        *kept,
        "",
        REVEALS.format(smallest=min(counts.values(), default=0)),
    ]
    text = "\n".join(lines)
    return f"{text}{SIGNATURE}{_digest(text)} -->\n"


def is_untouched(text: str) -> bool:
    """Whether nobody has edited a page since `card` made it."""
    body, mark, signature = text.rpartition(SIGNATURE)
    return bool(mark) and signature == f"{_digest(body)} -->\n"


def first_accuracy(model: Model) -> dict[str, tuple[int, int]]:
    """Of each class, how many pictures were recognised, and of how many, when some had first been held back."""
    first = dict[str, tuple[int, int]]()
    for lesson in model.lessons:
        first = lesson.accuracy | first
    return first


def escaped(text: str) -> str:
    """The text for Markdown and HTML: whatever is no letter, digit, space or hyphen is a reference to a character."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(c if c.isalnum() or c in " -" else f"&#{ord(c)};" for c in shown)


def _share(accuracy: dict[str, tuple[int, int]], name: str) -> str:
    right, of = accuracy.get(name, (0, 0))
    return f"{right / of:.0%} of {of}" if of else "not known"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
