"""A model as one file from picture to class, which other programs run without this library."""

import importlib.util
import json
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.files import write_whole
from negreplay.learners.closed_form import ClosedForm, Scorer
from negreplay.learners.fecam import Mahalanobis
from negreplay.photographs.model import UNKNOWN, Model

SHARE = 0.05
"""Of pictures of known classes, so many are less familiar than the threshold that is exported."""
LARGEST_DIFFERENCE = 1e-4
"""Probabilities of an export differ at most by this from those of the model, and familiarity by this times its size."""
DESCRIPTION = "negreplay"
"""The entry of an ONNX file's metadata, and with `.json` of a .pt2's extra files, that describes the model."""
_OUTPUTS = ["probabilities", "familiarity"]
_LARGEST_ONNX = 2**31 - 2**20  # bytes of a message of protobuf, with room for the graph


class Exported(nn.Module):
    """A model from picture to class.

    Args:
        model: has learned at least one class.
    """

    unseen: Tensor
    temperature: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        judge: ClosedForm[Any] = model.judge
        self.front, self.back = judge.classifier.front, judge.classifier.back
        self.lift, background = judge.lift, judge.solve_background()
        self.scores = _products(judge.solve())
        self.background = None if background is None else _products(background)
        self.register_buffer("unseen", ~judge.classifier.head.seen)
        self.register_buffer("temperature", judge.temperature)
        self.eval()

    def forward(self, images: Float[Tensor, "n 3 size size"]) -> tuple[Float[Tensor, "n classes"], Float[Tensor, " n"]]:
        """The probabilities of classes and the familiarity of images, RGB in [0, 1]."""
        features = self.lift(self.back(self.front(images)).float())
        scores = self.scores(features).masked_fill(self.unseen, -torch.inf).float()
        familiarity = scores.amax(dim=1)
        if self.background is not None:
            familiarity = familiarity - self.background(features).squeeze(1)
        return (scores / self.temperature).softmax(dim=1), familiarity


class Products(nn.Module):
    """The scores of `Mahalanobis` by products with inverse factors, for ONNX solves no equations."""

    means: Tensor
    inverses: Tensor

    def __init__(self, scorer: Mahalanobis) -> None:
        super().__init__()
        self.classes, self.seen = len(scorer.means), list(scorer.factors)
        size = scorer.means.shape[1]
        identity = torch.eye(size, dtype=torch.float64, device=scorer.means.device)
        solved = [torch.linalg.solve_triangular(of.double(), identity, upper=False) for of in scorer.factors.values()]
        self.register_buffer("means", scorer.means[self.seen])
        self.register_buffer("inverses", torch.stack(solved).mT.float())

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n classes"]:
        deviations = (features.double() - self.means.unsqueeze(1)).float()
        scores = -(deviations @ self.inverses).square().sum(dim=2).T / 2
        columns = torch.tensor(self.seen, device=scores.device)
        return scores.new_zeros(scores.shape[0], self.classes).index_copy(1, columns, scores)


def _products(scorer: Scorer) -> Scorer:
    return Products(scorer) if isinstance(scorer, Mahalanobis) else scorer


def description(model: Model) -> str:
    """What a program needs to know to use an export, as JSON."""
    fit = "upright (EXIF), RGB, shorter side resized to `size` bilinearly with antialiasing, the middle cut out"
    fields = {
        "classes": model.names,
        "size": model.size,
        "fit": fit,
        "values": "float32 in [0, 1], n x 3 x size x size",
    }
    return json.dumps(fields | {UNKNOWN: {"below_familiarity": model.threshold(SHARE), "share": SHARE}})


@torch.no_grad()
def export(model: Model, path: Path) -> str:
    """Writes a model as .onnx or .pt2, whole or not at all, after it has been compared with the model.

    Returns:
        A sentence that says what was written and how far it differs.

    Raises:
        UserError: the name ends otherwise, the model has learned nothing, packages are missing, or the numbers differ.
    """
    if path.suffix not in (".onnx", ".pt2"):
        raise UserError(f"the file is called {path}: give it a name that ends in .onnx or .pt2.")
    if not model.names:
        raise UserError("the model has learned nothing yet: teach it first with `negreplay learn`.")
    if path.suffix == ".onnx":
        _check_packages()
    module = Exported(model)
    images = _images(model.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporters about themselves
        dynamic = {"images": {0: torch.export.Dim.DYNAMIC}}
        program = torch.export.export(module, (images,), dynamic_shapes=dynamic)
        content = _onnx(program, model) if path.suffix == ".onnx" else _pt2(program, model)
        answers = _run(content, images, path.suffix)
    judge = model.judge
    features = judge.features(images, encoded=False)
    right = (judge.score(features) / model.learner.temperature).softmax(dim=1), judge.familiarity(features)
    scales = 1.0, 1 + right[1].abs().max().cpu()
    wrong, unfamiliar = (
        float(((a - b.cpu()).abs() / scale).max()) for a, b, scale in zip(answers, right, scales, strict=True)
    )
    if not max(wrong, unfamiliar) <= LARGEST_DIFFERENCE:
        raise UserError(
            f"{path} was not written, for its probabilities differ by {wrong:.1e} and its familiarity by "
            f"{unfamiliar:.1e} of its size: try the other format."
        )
    write_whole(path, content)
    return (
        f"wrote {path}, {len(content) / 1e6:.1f} MB; checked on {len(images)} drawn images: probabilities differ by at "
        f"most {wrong:.1e}, familiarity by {unfamiliar:.1e} of its size"
    )


def _images(size: int) -> Float[Tensor, "4 3 size size"]:
    """Drawn images on which an export is compared: two of noise, and two with soft patches, nearer to pictures."""
    rng = torch.Generator().manual_seed(0)
    patches = nn.functional.interpolate(torch.rand(2, 3, 4, 4, generator=rng), (size, size), mode="bilinear")
    return torch.cat([torch.rand(2, 3, size, size, generator=rng), patches])


def _check_packages() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"an ONNX file needs the package {name}: pip install 'negreplay[export]', or give a name that ends in "
                ".pt2."
            )


def _onnx(program: torch.export.ExportedProgram, model: Model) -> bytes:
    size = sum(t.nbytes for t in (*program.state_dict.values(), *program.constants.values()) if isinstance(t, Tensor))
    if size > _LARGEST_ONNX:
        raise UserError(f"the model has {size / 1e9:.1f} GB, and an ONNX file takes 2: give a name that ends in .pt2.")
    distances: dict[Any, Any] = {
        torch.ops.aten.cdist.default: _distances,
        torch.ops.aten._cdist_forward.default: _distances,
    }
    made = torch.onnx.export(
        program.run_decompositions(distances),
        dynamo=True,
        input_names=["images"],
        output_names=_OUTPUTS,
        external_data=False,
        verbose=False,
    )
    assert made is not None, "exporters of dynamo give a program"
    proto = made.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = DESCRIPTION, description(model)
    return proto.SerializeToString()


def _distances(a: Tensor, b: Tensor, p: float = 2.0, compute_mode: int | None = None) -> Tensor:
    """Euclidean distances by plain operations, for ONNX has none of its own."""
    assert p == 2, "learners take Euclidean distances"
    return (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(dim=-1).sqrt()


def _pt2(program: torch.export.ExportedProgram, model: Model) -> bytes:
    file = BytesIO()
    torch.export.save(program, file, extra_files={f"{DESCRIPTION}.json": description(model)})
    return file.getvalue()


def _run(content: bytes, images: Tensor, suffix: str) -> list[Tensor]:
    """What an export answers."""
    if suffix == ".pt2":
        return list(torch.export.load(BytesIO(content)).module()(images))
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(of) for of in session.run(_OUTPUTS, {"images": images.numpy()})]
