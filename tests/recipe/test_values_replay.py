"""What replay refuses, with its sentences, and the values at the edge that it takes."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from negreplay.recipe import Choice, Covariance, DegradedRecipe, ReplayRecipe, Source, Weighting

ALL = Choice.ALL


def herded(**fields) -> ReplayRecipe:
    return ReplayRecipe(Source.ORIGINAL, choice=Choice.HERDING, **fields)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: ReplayRecipe(memory=5),
        "replay.memory is given, but replay.source is none: name a source or set it to 0.",
    ),
    (
        lambda: ReplayRecipe(per_minibatch=14),
        "replay.per_minibatch is given, but replay.source is none: name a source or remove it.",
    ),
    (
        lambda: ReplayRecipe(Source.STATISTICS, memory=5),
        "replay.rank belongs to replay.source statistics, and it is None: say in how many directions patterns vary.",
    ),
    (
        lambda: ReplayRecipe(Source.RANDOM, memory=5, rank=3),
        "replay.rank belongs to replay.source statistics, and it is 3: remove it.",
    ),
    *(
        (
            lambda covariance=covariance: ReplayRecipe(Source.STATISTICS, memory=5, covariance=covariance, rank=3),
            f"replay.rank has no effect: replay.covariance is {covariance}; remove it.",
        )
        for covariance in (Covariance.SEPARABLE, Covariance.DIAGONAL)
    ),
    (
        lambda: ReplayRecipe(Source.RANDOM, memory=5, covariance=Covariance.SEPARABLE),
        "replay.covariance has no effect: replay.source is random, not statistics; remove it.",
    ),
    (lambda: ReplayRecipe(Source.STATISTICS, memory=5, rank=0), "replay.rank is 0: give 1 or more."),
    *(
        (make, "replay.degraded needs replayed patterns that are not chosen class by class: remove it.")
        for make in (
            lambda: ReplayRecipe(degraded=DegradedRecipe()),
            lambda: herded(memory=5, degraded=DegradedRecipe()),
        )
    ),
    (lambda: DegradedRecipe(labels=1.5), "degraded.labels is 1.5: give 1 or less."),
    (lambda: ReplayRecipe(Source.RANDOM), "replay.memory is 0: give 1 pattern or more, or source none."),
    (
        lambda: ReplayRecipe(Source.RANDOM, memory=5, per_minibatch=0),
        "replay.per_minibatch is 0: give 1 or more.",
    ),
    *(
        (
            lambda source=source, choice=choice: ReplayRecipe(source, memory=int(source != "none"), choice=choice),
            f"replay.choice has no effect: replay.source is {source}, not original; remove it.",
        )
        for source, choice in ((Source.NONE, Choice.RANDOM), (Source.GENERATED, Choice.HERDING), (Source.RANDOM, ALL))
    ),
    *(
        (
            lambda choice=choice: ReplayRecipe(Source.ORIGINAL, choice=choice, per_class=2),
            f"replay.per_class is given, but replay.choice is {choice}: give random or herding.",
        )
        for choice in (Choice.REPLACED, ALL)
    ),
    (lambda: herded(per_class=0), "replay.per_class is 0: give 1 or more."),
    (lambda: herded(), "replay.memory is 0: give 1 pattern or more, or source none."),
    (
        lambda: herded(memory=9, per_class=2),
        "replay.memory and replay.per_class exclude one another: set memory to 0.",
    ),
    (
        lambda: ReplayRecipe(Source.ORIGINAL, memory=9, choice=ALL),
        "replay.memory has no effect: replay.choice is all; set it to 0.",
    ),
    (
        lambda: ReplayRecipe(weighting=Weighting.EXPERIENCES),
        "replay.weighting has no effect: replay.source is none; name a source or remove it.",
    ),
    (lambda: herded(memory=9, beside=True), "replay.beside is true: say how many with replay.per_minibatch."),
]


@pytest.mark.parametrize(("make", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_wrong_value_of_replay_is_told_in_a_sentence_that_names_the_field(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


RIGHT: list[Callable[[], Any]] = [
    lambda: ReplayRecipe(Source.ORIGINAL, memory=1, per_minibatch=1),
    lambda: herded(per_class=1),
    lambda: herded(memory=1, per_minibatch=1, beside=True, weighting=Weighting.EXPERIENCES),
    lambda: ReplayRecipe(Source.ORIGINAL, choice=ALL),
    lambda: ReplayRecipe(Source.STATISTICS, memory=1, covariance=Covariance.SEPARABLE),
]


@pytest.mark.parametrize("make", RIGHT)
def test_values_of_replay_at_the_edge_are_right(make):
    assert make() == make()
