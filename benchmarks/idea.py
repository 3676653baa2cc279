"""The picture of README: what learning a digit by itself does to an old one, and what generated examples change.

    python benchmarks/idea.py

It learns the digits study with seed 0 in three ways, which takes less than a minute, and writes docs/idea.png.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

import negreplay as nr
from negreplay.files import write_whole
from negreplay.recipe import Source
from negreplay.results.curves import GRID, INK, SOURCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = Path(__file__).parents[1] / "docs" / "idea.png"
OLD, NEW = "8", "1"
"""One of the first four digits of seed 0, and the fifth."""
ALONE, GENERATED = SOURCES[Source.NONE].light, SOURCES[Source.GENERATED].light
WAYS = {
    "no-replay": ("each new digit\nlearned alone", ALONE, "-"),
    "nr-gd": ("with generated\nnegative examples", GENERATED, "-"),
    "pr-gd": ("with generated positive examples", GENERATED, "--"),
}
"""Arms of the study: what they are called in the picture, and how they are drawn."""


@dataclass
class Story:
    """What became of the old digits: shares recognised after each experience, and scores after the second one."""

    recognised: list[float] = field(default_factory=list)
    of_old: list[int] = field(default_factory=list)
    old_score: float = 0.0
    new_score: float = 0.0


def learn(arm: str) -> Story:
    """The story of an arm of the digits study."""
    stream, learner = nr.build(nr.study("digits"), arm=arm, seed=0)
    first, story = [stream.names[c] for c in stream[0].classes], Story()
    assert OLD in first and stream[1].classes == (stream.names.index(NEW),), "the digits arrive in another order"
    for experience in stream:
        for _ in learner.learn(experience):
            pass
        shares = nr.evaluate(learner, stream, experience.index).per_class
        story.recognised.append(sum(shares[name] or 0.0 for name in first) / len(first))
        if experience.index == 1:
            x, y = next(stream.growing_test(1).batches(len(stream.test.labels)))
            old, new = (stream.names.index(name) for name in (OLD, NEW))
            scores = learner.predict(x[y == old])
            story.old_score, story.new_score = scores[:, old].mean().item(), scores[:, new].mean().item()
            story.of_old = [int((scores.argmax(dim=1) == old).sum()), len(scores)]
    return story


def draw_recognised(axes: "Axes", stories: dict[str, Story]) -> None:
    """The left half: how many images of the first four digits are still recognised."""
    for arm, (_, colour, line) in WAYS.items():
        shares = [100 * share for share in stories[arm].recognised]
        axes.plot(range(4, 4 + len(shares)), shares, line, color=colour, linewidth=2, marker="o", markersize=4)
    for arm, x, y, side in (("no-replay", 7.3, 31, "left"), ("nr-gd", 8.9, 76, "right"), ("pr-gd", 10.1, 104, "right")):
        label, colour, _ = WAYS[arm]
        axes.text(x, y, label, color=colour, ha=side, va="center", weight="bold")
    axes.set_title("How many images of the first four digits\nare still recognised", color=INK.light)
    axes.set_xlabel("digits learned so far", color=INK.light)
    axes.set_ylabel("recognised (%)", color=INK.light)
    axes.set_ylim(0, 110)
    axes.set_yticks(range(0, 101, 25))


def draw_scores(axes: "Axes", stories: dict[str, Story]) -> None:
    """The right half: which scores images of the old digit get after the new one was learned."""
    for place, arm in enumerate(("no-replay", "nr-gd")):
        story, colour = stories[arm], WAYS[arm][1]
        right, images = story.of_old
        bars = ((-0.2, story.old_score, INK.light, f'as "{OLD}"'), (0.2, story.new_score, colour, f'as "{NEW}"'))
        for shift, score, shade, label in bars:
            axes.bar(place + shift, score, 0.36, color=shade)
            axes.text(place + shift, score + 0.4, f"{label}: {score:.1f}", color=shade, ha="center", weight="bold")
        axes.text(place, -3.2, WAYS[arm][0], color=colour, ha="center", va="top", weight="bold")
        axes.text(place, -0.9, f'{right} of {images} taken for "{OLD}"', color=INK.light, ha="center", va="top")
    axes.set_title(f'Images of the digit "{OLD}", just after\nthe digit "{NEW}" was learned', color=INK.light)
    axes.set_ylabel("mean score (the higher one wins)", color=INK.light)
    axes.set_ylim(0, 28)
    axes.set_xticks([])


def draw(stories: dict[str, Story]) -> bytes:
    """Both halves as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4))
    figure.set_layout_engine("constrained", wspace=0.08)
    left, right = figure.subplots(1, 2)
    draw_recognised(left, stories)
    draw_scores(right, stories)
    left.grid(axis="y", color=GRID.light, linewidth=0.7)
    for axes in (left, right):
        axes.tick_params(colors=INK.light, length=3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK.light)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130, facecolor="white", metadata={"Software": None})
    return picture.getvalue()


def main(out: Path = PICTURE) -> None:
    """Learn and draw.

    Args:
        out: the picture to write.
    """
    nr.avoid_slow_paths()
    stories = {arm: learn(arm) for arm in WAYS}
    for arm, story in stories.items():
        print(arm, story)
    write_whole(out, draw(stories))


if __name__ == "__main__":
    tyro.cli(main)
