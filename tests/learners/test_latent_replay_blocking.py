"""What of the classifier is blocked, and when."""

from dataclasses import replace

import pytest
import torch
from arms import AR1, ARMS, CWR, NO_REPLAY, build, features_of, learn
from states import same, state_of

from negreplay.nets.renorm import BatchRenorm2d
from negreplay.recipe import Front, RenormRecipe


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
    classifier = replace(NO_REPLAY.classifier, front=Front.TRAINED, renorm=RenormRecipe())
    learner = build(replace(NO_REPLAY, classifier=classifier))
    layers = [m for m in learner.classifier.modules() if isinstance(m, BatchRenorm2d)]
    learn(learner, stream[0])
    # One epoch of 12 images opens r_max by 4.1e-5 an image.
    assert [layer.r_max.item() for layer in layers] == [pytest.approx(1 + 12 * 4.1e-5)] * 3
    assert [layer.momentum.item() for layer in layers] == [pytest.approx(0.01)] * 3
    learn(learner, stream[1])
    assert [layer.r_max.item() for layer in layers] == [1.25] * 3
    assert [layer.momentum.item() for layer in layers] == [pytest.approx(5e-5)] * 3
