"""What a model knows, as values that go to the page."""

from typing import Any

from negreplay.photographs.model import ENOUGH, Lesson, Model


def overview(model: Model, size: int) -> dict[str, Any]:
    """What the page shows of a model.

    Args:
        model: as it lies in its file.
        size: bytes of the file.
    """
    counts, accuracy, confusions = model.counts, model.accuracy(), model.confusions()
    classes = [{"name": name, "pictures": counts[name], "tested": accuracy.get(name)} for name in model.names]
    pairs = [[int(true), int(guess), int(confusions[true, guess])] for true, guess in confusions.nonzero()]
    return {
        "classes": classes,
        "confusions": pairs,
        "held_back": len(model.labels),
        "enough": ENOUGH,
        "bytes": [*([kind, of] for kind, of in model.kept().items()), ["the whole file", size]],
        "network": f"{model.recipe.classifier.backbone}, {model.origin}, {model.size} pixels",
        "learner": model.recipe.learner.kind,
        "lessons": [_lesson(lesson) for lesson in model.lessons],
    }


def result_of(lesson: Lesson) -> str:
    """How a lesson went, in a sentence."""
    learned, held_back = sum(lesson.learned.values()), sum(lesson.held_back.values())
    right, of = map(sum, zip(*lesson.accuracy.values(), strict=True)) if lesson.accuracy else (0, 0)
    parts = [f"learned {_pictures(learned)}"]
    if held_back:
        parts.append(f"{held_back} more held back to test it")
    if lesson.known:
        parts.append(f"{lesson.known} known before")
    if of:
        parts.append(f"it recognises {right / of:.0%} of the {of} held back")
    return f"{', '.join(parts)}."


def _lesson(lesson: Lesson) -> dict[str, Any]:
    values = list(lesson.accuracy.values())
    return {
        "when": lesson.when,
        "source": lesson.source,
        "classes": sorted(lesson.learned.keys() | lesson.held_back.keys()),
        "pictures": sum(lesson.learned.values()) + sum(lesson.held_back.values()),
        "right": sum(right for right, _ in values),
        "of": sum(of for _, of in values),
    }


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
