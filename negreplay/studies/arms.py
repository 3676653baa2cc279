"""The six arms that the paper compares."""

from dataclasses import replace

from negreplay.recipe import GeneratorRecipe, Mode, Recipe, ReplayRecipe, Source


def replay_arms(pr_od: Recipe, generator: GeneratorRecipe) -> tuple[Recipe, ...]:
    """Positive or negative replay of original, generated and (negative only) random patterns.

    Args:
        pr_od: positive replay of original patterns, from which the others differ only in source and mode.
        generator: the generator of PR-GD and NR-GD.
    """

    def arm(name: str, source: Source, mode: Mode) -> Recipe:
        replay = replace(pr_od.replay, source=source, mode=mode)
        return replace(pr_od, name=name, replay=replay, generator=generator if source is Source.GENERATED else None)

    return (
        pr_od,
        arm("pr-gd", Source.GENERATED, Mode.POSITIVE),
        arm("nr-od", Source.ORIGINAL, Mode.NEGATIVE),
        arm("nr-gd", Source.GENERATED, Mode.NEGATIVE),
        arm("nr-rd", Source.RANDOM, Mode.NEGATIVE),
    )


def six_arms(no_replay: Recipe, memory: int, generator: GeneratorRecipe) -> tuple[Recipe, ...]:
    """No replay, and five arms that differ from it only in what they replay: `memory` patterns, in proportion."""
    replay = ReplayRecipe(Source.ORIGINAL, Mode.POSITIVE, memory)
    return (no_replay, *replay_arms(replace(no_replay, name="pr-od", replay=replay), generator))


def named(arms: tuple[Recipe, ...], *names: str) -> tuple[Recipe, ...]:
    """The arms of these names, in this order."""
    by_name = {arm.name: arm for arm in arms}
    return tuple(by_name[name] for name in names)
