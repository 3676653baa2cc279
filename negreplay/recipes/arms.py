"""The six arms that the paper compares, derived from its no-replay arm."""

from dataclasses import replace

from negreplay.recipe import GeneratorRecipe, Mode, Recipe, Source


def six_arms(no_replay: Recipe, memory: int, generator: GeneratorRecipe) -> tuple[Recipe, ...]:
    """No replay, and positive or negative replay of original, generated and (negative only) random patterns.

    Args:
        no_replay: the arm that the others differ from only in what they replay.
        memory: R, the patterns that each of them replays.
        generator: the generator of PR-GD and NR-GD.
    """

    def arm(name: str, source: Source, mode: Mode) -> Recipe:
        replay = replace(no_replay.replay, source=source, mode=mode, memory=memory)
        return replace(no_replay, name=name, replay=replay, generator=generator if source is Source.GENERATED else None)

    return (
        no_replay,
        arm("pr-od", Source.ORIGINAL, Mode.POSITIVE),
        arm("pr-gd", Source.GENERATED, Mode.POSITIVE),
        arm("nr-od", Source.ORIGINAL, Mode.NEGATIVE),
        arm("nr-gd", Source.GENERATED, Mode.NEGATIVE),
        arm("nr-rd", Source.RANDOM, Mode.NEGATIVE),
    )
