"""The contract of every arm, and that it learns what can be learned."""

from dataclasses import replace

import pytest
import torch
from arms import (
    ARMS,
    CLASSES,
    EACH,
    EVERY_ARM,
    NO_REPLAY,
    NR_OD,
    PR_OD,
    build,
    images,
    learn,
    naive,
    predictions,
    replaying,
    stream_of,
)
from states import same, state_of

from negreplay.data.data import Tensors
from negreplay.patterns import nothing
from negreplay.recipe import Front, Mode, PhaseRecipe, Source
from negreplay.streams.stream import Stream


@EVERY_ARM
def test_steps_tell_how_far_training_is(arm, stream):
    learner, recipe = build(ARMS[arm]), ARMS[arm]
    for k, experience in enumerate(stream):
        steps = learn(learner, experience)
        classifier = [step for step in steps if step.part == "classifier"]
        generator = [step for step in steps if step.part == "generator"]
        assert steps == classifier + generator
        for phase in (classifier, generator):
            assert [step.done for step in phase] == list(range(1, len(phase) + 1))
            assert {step.total for step in phase} <= {len(phase)}
        wanted = 0 if recipe.generator is None else 2 if k else 3
        assert len(classifier) >= 2 and len(generator) == wanted


def test_classifier_takes_the_steps_of_its_phases(stream):
    phases = {"first": PhaseRecipe(3, 0.05, 0.05), "following": PhaseRecipe(2, 0.05, 0.05)}
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
            if step.part == "classifier":
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
    head.begin(experience.counts, none)
    source = state_of(learner.source)
    list(learner.train_classifier(experience, nothing()))
    assert same(state_of(learner.source), source)
    head.end(experience.counts, none)
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
    phases = {"first": PhaseRecipe(30, 0.05, 0.05), "following": PhaseRecipe(10, 0.01, 0.05)}
    shares = {}
    for arm, recipe in {"pr-od": naive(PR_OD), "naive": naive(NO_REPLAY)}.items():
        recipe = replace(recipe, **phases)
        learner = build(replace(recipe, replay=replace(recipe.replay, memory=24)) if arm == "pr-od" else recipe)
        learn(learner, *stream)
        shares[arm] = (predictions(learner).argmax(dim=1) == images().labels).float().mean().item()
    assert shares["pr-od"] > 0.9 and shares["naive"] < 0.6
