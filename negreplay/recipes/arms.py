"""The six arms that the paper compares."""

from dataclasses import replace

from negreplay.recipe import GeneratorRecipe, Mode, Recipe, Source


def replay_arms(base: Recipe, memory: int, generator: GeneratorRecipe) -> tuple[Recipe, ...]:
    """Positive or negative replay of original, generated and (negative only) random patterns.

    Args:
        base: what they have in common; its `replay` says how many patterns join a minibatch.
        memory: R, the patterns that each of them replays.
        generator: the generator of PR-GD and NR-GD.
    """

    def arm(name: str, source: Source, mode: Mode) -> Recipe:
        replay = replace(base.replay, source=source, mode=mode, memory=memory)
        return replace(base, name=name, replay=replay, generator=generator if source is Source.GENERATED else None)

    return (
        arm("pr-od", Source.ORIGINAL, Mode.POSITIVE),
        arm("pr-gd", Source.GENERATED, Mode.POSITIVE),
        arm("nr-od", Source.ORIGINAL, Mode.NEGATIVE),
        arm("nr-gd", Source.GENERATED, Mode.NEGATIVE),
        arm("nr-rd", Source.RANDOM, Mode.NEGATIVE),
    )


def six_arms(no_replay: Recipe, memory: int, generator: GeneratorRecipe) -> tuple[Recipe, ...]:
    """No replay, and five arms that differ from it only in what they replay."""
    return (no_replay, *replay_arms(no_replay, memory, generator))


def named(arms: tuple[Recipe, ...], *names: str) -> tuple[Recipe, ...]:
    """The arms of these names, in this order."""
    found = {arm.name: arm for arm in arms}
    return tuple(found[name] for name in names)
