from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from negreplay.build import build_learner
from negreplay.learners.latent_replay import LatentReplay
from negreplay.nets.heads import ConsolidatedHead
from negreplay.nets.renorm import BatchRenorm2d
from negreplay.optimize import Device, Step
from negreplay.patterns import nothing
from negreplay.recipe import (
    Front,
    GeneratorRecipe,
    HeadKind,
    LearnerRecipe,
    Mode,
    Phase,
    Recipe,
    Renorm,
    ReplayRecipe,
    Source,
    SynapticIntelligence,
)
from negreplay.recipes import DIGITS
from negreplay.streams.stream import Stream, Tensors

CLASSES, EACH, MEMORY = 5, 6, 6

# The arms of the digits study, small enough to be learned in a moment; the front learns in the first experience.
BASE = replace(
    DIGITS.recipes[0],
    first=Phase(1, 0.05, 0.05),
    following=Phase(1, 0.005, 0.05),
    learner=LearnerRecipe(minibatch=4),
)
GENERATOR = GeneratorRecipe(width=16, latent_dim=4, minibatch=8, first_iterations=3, iterations=2)


def replaying(source: Source, mode: Mode, through_features: bool = True) -> Recipe:
    replay = ReplayRecipe(source, mode, MEMORY, through_features=through_features)
    return replace(BASE, replay=replay, generator=GENERATOR if source is Source.GENERATED else None)


def naive(recipe: Recipe) -> Recipe:
    return replace(recipe, learner=replace(recipe.learner, head=HeadKind.PLAIN))


NO_REPLAY = BASE
PR_OD, NR_OD = (replaying(Source.ORIGINAL, mode) for mode in Mode)
PR_GD, NR_GD = (replaying(Source.GENERATED, mode) for mode in Mode)
CWR = replace(BASE, following=Phase(1, 0.0, 0.05))
AR1 = replace(
    BASE,
    classifier=replace(BASE.classifier, front=Front.TRAINED),
    learner=replace(BASE.learner, penalty=SynapticIntelligence(strength=1e3)),
)
ARMS = {
    "no-replay": NO_REPLAY,
    "pr-od": PR_OD,
    "pr-gd": PR_GD,
    "nr-od": NR_OD,
    "nr-gd": NR_GD,
    "nr-rd": replaying(Source.RANDOM, Mode.NEGATIVE),
    "naive": naive(NO_REPLAY),
    "naive pr-od": naive(PR_OD),
    "naive pr-gd": naive(PR_GD),
    "naive nr-gd": naive(NR_GD),
    "cwr*": CWR,
    "ar1": AR1,
    "nr-od, head only": replaying(Source.ORIGINAL, Mode.NEGATIVE, through_features=False),
    "nr-gd, blocked front": replace(NR_GD, classifier=replace(BASE.classifier, front=Front.BLOCKED)),
}
EVERY_ARM = pytest.mark.parametrize("arm", ARMS)


def images() -> Tensors:
    """Noisy images of five classes, each with a bright spot of its own."""
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    x = 0.3 * torch.rand(len(labels), 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for c in range(CLASSES):
        x[labels == c, :, c : c + 3, 1 + c : 4 + c] += 0.7
    return Tensors(x, labels, tuple("abcde"), "test")


def stream_of(*classes: list[int]) -> Stream:
    """An experience of these classes after the other; a class that comes twice comes with the same images."""
    data = images()
    found = [torch.isin(data.labels, torch.tensor(some)).nonzero().flatten() for some in classes]
    return Stream(data, data, found)


@pytest.fixture
def stream() -> Stream:
    """Class 3 never comes."""
    return stream_of([0, 2], [4], [0], [1])


def build(recipe: Recipe, weights: int = 0, seed: int = 0) -> LatentReplay:
    rng = torch.Generator().manual_seed(seed)
    return build_learner(recipe, images(), weights, Path(), Device(), rng)


def learn(learner: LatentReplay, *experiences) -> list[Step]:
    return [step for experience in experiences for step in learner.learn(experience)]


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def predictions(learner: LatentReplay) -> Tensor:
    return learner.predict(images().x)


# The contract of every arm.


@EVERY_ARM
def test_steps_tell_how_far_training_is(arm, stream):
    learner, recipe = build(ARMS[arm]), ARMS[arm]
    for k, experience in enumerate(stream):
        steps = learn(learner, experience)
        classifier = [step for step in steps if step.phase == "classifier"]
        generator = [step for step in steps if step.phase == "generator"]
        assert steps == classifier + generator
        for phase in (classifier, generator):
            assert [step.done for step in phase] == list(range(1, len(phase) + 1))
            assert {step.total for step in phase} <= {len(phase)}
        wanted = 0 if recipe.generator is None else 2 if k else 3
        assert len(classifier) >= 2 and len(generator) == wanted
    assert int(learner.learned) == len(stream)


def test_classifier_takes_the_steps_of_its_phases(stream):
    phases = {"first": Phase(3, 0.05, 0.05), "following": Phase(2, 0.05, 0.05)}
    in_proportion = replace(NR_OD, **phases)
    given = replace(in_proportion, replay=replace(NR_OD.replay, per_minibatch=3))
    # 12 images 4 at a time, three times: 9 steps. Then 6 images and a memory of 6: round(4 * 6 / 12) = 2 at a time,
    # 3 steps, twice; with 3 of 4 replayed one at a time, 6 steps, twice.
    for recipe, expected in ((in_proportion, [9, 6]), (given, [9, 12])):
        learner = build(recipe)
        assert [len(learn(learner, experience)) for experience in stream[:2]] == expected


@EVERY_ARM
def test_it_learns_and_stays_finite(arm, stream):
    learner = build(ARMS[arm])
    before = state_of(learner.classifier)
    learn(learner, *stream)
    after = state_of(learner.classifier)
    assert all(tensor.isfinite().all() for tensor in learner.state_dict().values())
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    blocked = ARMS[arm].classifier.front is Front.BLOCKED
    assert changed - {"blocked"} == ({"back", "head"} if blocked else {"front", "back", "head"})


@EVERY_ARM
def test_a_class_never_seen_is_never_predicted(arm, stream):
    learner = build(ARMS[arm])
    for k, experience in enumerate(stream):
        learn(learner, experience)
        logits = predictions(learner)
        seen = torch.isin(torch.arange(CLASSES), stream.seen(k))
        assert logits.shape == (CLASSES * EACH, CLASSES)
        assert logits[:, seen].isfinite().all() and (logits[:, ~seen] == -torch.inf).all()
        assert not logits.requires_grad


@EVERY_ARM
def test_a_learner_goes_on_from_its_state(arm, stream):
    learner = build(ARMS[arm])
    learn(learner, *stream[:2])
    twin = build(ARMS[arm], weights=5, seed=9)
    twin.load_state_dict(state_of(learner))
    twin.rng.set_state(learner.rng.get_state())
    assert torch.equal(predictions(twin), predictions(learner))
    assert learn(twin, *stream[2:]) == learn(learner, *stream[2:])
    assert same(state_of(twin), state_of(learner))
    assert torch.equal(twin.rng.get_state(), learner.rng.get_state())


@EVERY_ARM
def test_the_same_seed_learns_the_same(arm, stream):
    one, again, other = (build(ARMS[arm], seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(3)
    steps = learn(one, *stream)
    torch.manual_seed(4)
    assert learn(again, *stream) == steps
    assert same(state_of(one), state_of(again))
    assert learn(other, *stream) != steps


@EVERY_ARM
def test_experiences_of_one_image(arm):
    data = images()
    learner = build(ARMS[arm])
    for experience in Stream(data, data, [torch.tensor([row]) for row in (0, 2 * EACH, 1)]):
        learn(learner, experience)
    assert learner.classifier.head.seen.tolist() == [True, False, True, False, False]
    assert predictions(learner)[:, [0, 2]].isfinite().all()
    assert all(tensor.isfinite().all() for tensor in learner.state_dict().values())


@EVERY_ARM
def test_each_part_learns_only_while_the_other_is_blocked(arm, stream):
    learner = build(ARMS[arm])
    for experience in stream:
        source, classifier = state_of(learner.source), None
        for step in learner.learn(experience):
            if step.phase == "classifier":
                assert same(state_of(learner.source), source)
                assert not any(p.requires_grad for p in learner.source.parameters())
            else:
                # The first look is after one step of the generator; nothing of the classifier moves from then on.
                classifier = classifier or state_of(learner.classifier)
                assert not any(p.requires_grad for p in learner.classifier.parameters())
                assert not any(module.training for module in learner.classifier.modules())
        assert classifier is None or same(state_of(learner.classifier), classifier)
        assert all(p.requires_grad for p in learner.source.parameters())


@EVERY_ARM
def test_absorbing_changes_the_source_and_nothing_of_the_classifier(arm, stream):
    learner = build(ARMS[arm])
    head, experience = learner.classifier.head, stream[0]
    none = torch.zeros(CLASSES, dtype=torch.long)
    head.reset(experience.counts, none)
    source = state_of(learner.source)
    list(learner.train_classifier(experience, nothing()))
    assert same(state_of(learner.source), source)
    head.consolidate(experience.counts, none)
    classifier = state_of(learner.classifier)
    learner.classifier.requires_grad_(False).eval()
    list(learner.source.absorb(learner.classifier, experience, nothing()))
    assert same(state_of(learner.classifier), classifier)
    kept = ARMS[arm].replay.source is not Source.NONE
    assert same(state_of(learner.source), source) != kept


@EVERY_ARM
def test_images_and_their_latents_are_predicted_alike(arm, stream):
    learner = build(ARMS[arm])
    for experience in stream:
        learn(learner, experience)
        x = images().x
        assert torch.equal(learner.predict(x), learner.predict(learner.classifier.encode(x), encoded=True))


@EVERY_ARM
def test_predicting_changes_nothing(arm, stream):
    learner = build(ARMS[arm])
    learn(learner, stream[0])
    before, random_state = state_of(learner), learner.rng.get_state()
    predictions(learner)
    assert same(state_of(learner), before) and torch.equal(learner.rng.get_state(), random_state)


# What is blocked, and when.


@pytest.mark.parametrize("arm", [name for name, recipe in ARMS.items() if recipe.classifier.front is Front.FIRST])
def test_the_front_learns_in_the_first_experience_only(arm, stream):
    learner = build(ARMS[arm])
    before = state_of(learner.classifier.front)
    learn(learner, stream[0])
    after = state_of(learner.classifier.front)
    assert not torch.equal(after["conv1.conv.weight"], before["conv1.conv.weight"])
    assert not torch.equal(after["conv1.bn.running_mean"], before["conv1.bn.running_mean"])
    learn(learner, *stream[1:])
    assert same(state_of(learner.classifier.front), after)


def test_a_trained_front_goes_on_learning(stream):
    learner = build(AR1)
    learn(learner, stream[0])
    before = state_of(learner.classifier.front)
    learn(learner, stream[1])
    after = state_of(learner.classifier.front)
    assert not torch.equal(after["conv1.conv.weight"], before["conv1.conv.weight"])
    assert not torch.equal(after["conv1.bn.running_mean"], before["conv1.bn.running_mean"])


def features_of(learner: LatentReplay) -> dict[str, Tensor]:
    """Weights and statistics of the feature extractor; the limits and momentum of batch renormalisation are neither."""
    state = state_of(learner.classifier)
    limits = ("momentum", "r_max", "d_max")
    return {name: tensor for name, tensor in state.items() if name[:4] != "head" and not name.endswith(limits)}


@pytest.mark.parametrize("front", list(Front))
def test_without_a_learning_rate_features_are_blocked_with_their_statistics(front, stream):
    learner = build(replace(CWR, classifier=replace(CWR.classifier, front=front)))
    learn(learner, stream[0])
    before = features_of(learner) | {"blocked": torch.tensor(front is not Front.TRAINED)}
    assert "classifier.back.conv3.bn.running_std" in learner.state_dict()
    head = state_of(learner.classifier.head)
    for experience in stream[1:]:
        learn(learner, experience)
        assert same(features_of(learner), before)
        assert not same(state_of(learner.classifier.head), head)
        head = state_of(learner.classifier.head)
    assert learner.classifier.back.training and all(p.requires_grad for p in learner.classifier.back.parameters())


def test_batch_renormalisation_opens_in_the_first_experience(stream):
    classifier = replace(NO_REPLAY.classifier, front=Front.TRAINED, renorm=Renorm())
    learner = build(replace(NO_REPLAY, classifier=classifier))
    layers = [m for m in learner.classifier.modules() if isinstance(m, BatchRenorm2d)]
    learn(learner, stream[0])
    # One epoch of 12 images opens r_max by 4.1e-5 an image.
    assert [layer.r_max.item() for layer in layers] == [pytest.approx(1 + 12 * 4.1e-5)] * 3
    assert [layer.momentum.item() for layer in layers] == [pytest.approx(0.01)] * 3
    learn(learner, stream[1])
    assert [layer.r_max.item() for layer in layers] == [1.25] * 3
    assert [layer.momentum.item() for layer in layers] == [pytest.approx(5e-5)] * 3


# What the modes do.


def test_negative_replay_changes_rows_of_current_classes_only(stream):
    for source in (Source.ORIGINAL, Source.GENERATED, Source.RANDOM):
        learner = build(replaying(source, Mode.NEGATIVE))
        for experience in stream:
            head = learner.classifier.head
            assert isinstance(head, ConsolidatedHead)
            kept, past = head.kept.clone(), head.past.clone()
            learn(learner, experience)
            absent = experience.counts == 0
            assert torch.equal(head.kept[absent], kept[absent])
            assert not torch.isclose(head.kept[~absent], kept[~absent]).all()
            assert torch.equal(head.past, past + experience.counts)


def test_positive_replay_changes_rows_of_replayed_classes(stream):
    learner = build(PR_OD)
    head = learner.classifier.head
    assert isinstance(head, ConsolidatedHead)
    learn(learner, stream[0])
    kept, counts = head.kept.clone(), learner.source.recall().counts(CLASSES)
    learn(learner, stream[1])
    assert counts[[0, 2]].min() > 0 and not torch.isclose(head.kept[[0, 2]], kept[[0, 2]]).any()
    assert torch.equal(head.past, stream[0].counts + counts + stream[1].counts)


def test_replayed_patterns_move_features_unless_they_are_stopped(stream):
    moved = {}
    for through_features in (True, False):
        learner = build(replaying(Source.ORIGINAL, Mode.NEGATIVE, through_features))
        learn(learner, stream[0])
        features, head = features_of(learner), state_of(learner.classifier.head)["weight"]
        learn(learner, stream[1])
        moved[through_features] = features_of(learner), head
    # Alike up to here, and different after it.
    assert torch.equal(moved[True][1], moved[False][1])
    assert not torch.equal(moved[True][0]["back.conv3.conv.weight"], moved[False][0]["back.conv3.conv.weight"])
    assert features["front.conv1.conv.weight"].equal(moved[False][0]["front.conv1.conv.weight"])


@pytest.mark.parametrize("source", [Source.ORIGINAL, Source.GENERATED])
def test_a_stream_of_latents_teaches_what_its_images_do(source, stream):
    recipe = replaying(source, Mode.NEGATIVE)
    recipe = replace(recipe, classifier=replace(recipe.classifier, front=Front.BLOCKED))
    from_images, from_latents = build(recipe), build(recipe)
    data = images()
    with torch.no_grad():
        latents = from_latents.classifier.eval().encode(data.x)
    encoded = Tensors(latents, data.labels, data.names, "latents", encoded=True)
    learn(from_images, *stream)
    learn(from_latents, *stream.over(encoded, encoded))
    one, other = from_images.state_dict(), from_latents.state_dict()
    for name in one:
        torch.testing.assert_close(one[name], other[name], msg=name)


def test_it_learns_what_can_be_learned():
    # Bright spots in five places: with real replay all classes are told apart, without replay the plain head forgets.
    stream = stream_of([0, 1], [2], [3], [4])
    phases = {"first": Phase(30, 0.05, 0.05), "following": Phase(10, 0.01, 0.05)}
    shares = {}
    for arm, recipe in {"pr-od": naive(PR_OD), "naive": naive(NO_REPLAY)}.items():
        recipe = replace(recipe, **phases)
        learner = build(replace(recipe, replay=replace(recipe.replay, memory=24)) if arm == "pr-od" else recipe)
        learn(learner, *stream)
        shares[arm] = (predictions(learner).argmax(dim=1) == images().labels).float().mean().item()
    assert shares["pr-od"] > 0.9 and shares["naive"] < 0.6
