from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from arms import CLASSES, build_any, images, learn, stream_of
from systems import CONV, DRAWN, HERDED, MLP, PIXELS, arm, plain, untrained
from torch import Tensor
from whole import cross_entropy, patterns, second_step, whole

from negreplay.learners.learner import Learner, weighted
from negreplay.patterns import Batch, Patterns, join, nothing
from negreplay.recipe import (
    ClassifierRecipe,
    NearestMeanRecipe,
    OptimizerRecipe,
    PhaseRecipe,
    ReplayRecipe,
    Weighting,
)
from negreplay.streams.stream import Stream

LOSSES = torch.tensor([1.0, 2.0, 6.0, 10.0, 14.0])
BATCH = join(Patterns(torch.zeros(3, 1), torch.arange(3)), False, Patterns(torch.zeros(2, 1), torch.arange(2)))


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4], [1])


def system(replay: ReplayRecipe | None = None, classifier: ClassifierRecipe = MLP, minibatch: int = 4) -> Learner:
    return build_any(replace(arm(plain(), replay, classifier), optimizer=OptimizerRecipe(minibatch=minibatch)))


def memory(n: int) -> Patterns:
    """Images that are negative, to be told from those of the experience."""
    return Patterns(-images().x[:n], torch.full((n,), 3))


def seen_by(learner: Learner) -> tuple[Callable[[Batch], Tensor], list[Batch]]:
    """A loss, and the minibatches that it is asked for."""
    found: list[Batch] = []

    def loss(batch: Batch) -> Tensor:
        found.append(batch)
        return learner.classifier(batch).square().mean()

    return loss, found


def fit(learner: Learner, phase: PhaseRecipe, recalled: int = 0, classes: tuple[int, ...] = (0, 2)) -> list[Batch]:
    loss, found = seen_by(learner)
    data = stream_of(list(classes))[0].data
    list(learner.fit(loss, learner.mixture(data, memory(recalled) if recalled else nothing()), phase, 0))
    return found


def sizes(batches: list[Batch]) -> list[tuple[int, int]]:
    assert all(b.replayed.tolist() == [False] * len(b.current) + [True] * len(b.replay) for b in batches)
    assert all((b.replay <= 0).all() and (b.labels[b.replayed] == 3).all() for b in batches)
    return [(len(b.current), len(b.replay)) for b in batches]


def test_without_a_share_all_patterns_weigh_the_same():
    assert weighted(LOSSES, BATCH, None).item() == pytest.approx(33 / 5)


def test_a_share_is_the_weight_of_all_that_is_replayed():
    # The means are 12 and 3.
    assert weighted(LOSSES, BATCH, 0.75).item() == pytest.approx(0.75 * 12 + 0.25 * 3)
    assert weighted(LOSSES, BATCH, 0.0).item() == pytest.approx(3.0)


def test_where_nothing_is_replayed_a_share_means_nothing():
    assert weighted(
        LOSSES, join(Patterns(torch.zeros(5, 1), torch.arange(5)), False, nothing()), 0.75
    ).item() == pytest.approx(33 / 5)


def test_by_experiences_what_is_replayed_weighs_1_minus_1_by_n(stream):
    learner = whole(arm(plain(), replace(DRAWN, weighting=Weighting.EXPERIENCES)))
    learn(learner, *stream[:2])
    (x, y), then = patterns(learner, stream[2]), second_step(learner, stream[2])
    new, old = ((x[part], y[part]) for part in (slice(6), slice(6, None)))
    assert len(new[1]) == len(old[1]) == 6
    losses = [cross_entropy(then.student.decide(x), y, [0, 1, 2, 4]) for x, y in (new, old)]
    assert then.loss == pytest.approx(losses[0] / 3 + losses[1] * 2 / 3, rel=1e-5)


def test_an_epoch_takes_every_pattern_once():
    batches = fit(system(minibatch=5), PhaseRecipe(2, 0.1, 0.1))
    assert sizes(batches) == [(4, 0)] * 6
    rows = torch.isin(images().labels, torch.tensor([0, 2]))
    for epoch in (batches[:3], batches[3:]):
        assert sorted(torch.cat([b.current for b in epoch]).sum(dim=(1, 2, 3)).tolist()) == sorted(
            images().x[rows].sum(dim=(1, 2, 3)).tolist()
        )


def test_iterations_end_wherever_an_epoch_stands():
    assert len(fit(system(), PhaseRecipe(None, 0.1, 0.1, iterations=7))) == 7
    assert len(fit(system(), PhaseRecipe(None, 0.1, 0.1, iterations=2))) == 2


def test_replayed_patterns_share_the_minibatch_or_come_beside_it():
    within = replace(DRAWN, per_minibatch=3)
    assert sizes(fit(system(within), PhaseRecipe(1, 0.1, 0.1), recalled=5)) == [(1, 3)] * 12
    beside = replace(within, beside=True)
    assert sizes(fit(system(beside), PhaseRecipe(1, 0.1, 0.1), recalled=5)) == [(4, 3)] * 3
    # More than a minibatch is no matter, then.
    many = replace(beside, per_minibatch=9)
    assert sizes(fit(system(many), PhaseRecipe(1, 0.1, 0.1), recalled=5)) == [(4, 9)] * 3


def test_beside_nothing_a_minibatch_is_as_large_as_ever():
    beside = replace(DRAWN, per_minibatch=3, beside=True)
    assert sizes(fit(system(beside), PhaseRecipe(1, 0.1, 0.1))) == [(4, 0)] * 3


def test_features_that_do_not_learn_stay_as_they_are_and_learn_again_later():
    learner = system(classifier=CONV)
    before = {name: tensor.clone() for name, tensor in learner.classifier.back.state_dict().items()}
    rows = learner.classifier.head.rows.detach().clone()
    fit(learner, PhaseRecipe(1, 0.0, 0.1))
    # The statistics of batch normalisation, too.
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.classifier.back.state_dict().items())
    assert not torch.equal(learner.classifier.head.rows, rows)
    assert all(parameter.requires_grad for parameter in learner.classifier.parameters())
    fit(learner, PhaseRecipe(1, 0.1, 0.1))
    changed = [name for name, tensor in learner.classifier.back.state_dict().items() if not tensor.equal(before[name])]
    assert len(changed) == len(before)


def test_features_learn_again_after_learning_was_stopped_in_the_middle():
    learner = system(classifier=CONV)
    mixture = learner.mixture(stream_of([0])[0].data, nothing())
    steps = learner.fit(seen_by(learner)[0], mixture, PhaseRecipe(1, 0.0, 0.1), 0)
    next(steps)
    assert not any(parameter.requires_grad for parameter in learner.classifier.back.parameters())
    del steps
    assert all(parameter.requires_grad for parameter in learner.classifier.back.parameters())


def test_rates_of_features_and_head_fall_by_epochs():
    learner = build_any(replace(arm(plain()), optimizer=OptimizerRecipe(minibatch=6, momentum=0.0, weight_decay=0.0)))
    classifier, found = learner.classifier, []

    def loss(batch: Batch) -> Tensor:
        # Of gradient 1, so that a step is the learning rate.
        found.append([classifier.back.get_parameter("fc1.0.weight")[0, 0].item(), classifier.head.rows[0, 0].item()])
        return sum((p.sum() for p in classifier.parameters()), torch.zeros(()))

    phase = PhaseRecipe(2, 0.5, 0.25, decay_every=1, decay=0.1)
    list(learner.fit(loss, learner.mixture(stream_of([0, 2])[0].data, nothing()), phase, 0))
    steps = torch.tensor(found)[:-1] - torch.tensor(found)[1:]
    # Two steps an epoch; the last one of the second epoch is not looked at.
    assert torch.allclose(steps, torch.tensor([[0.5, 0.25], [0.5, 0.25], [0.05, 0.025]]), atol=1e-6)


def test_the_first_phase_is_for_the_first_experience_alone(stream):
    recipe = replace(arm(plain()), first=PhaseRecipe(3, 0.1, 0.1), following=PhaseRecipe(1, 0.1, 0.1))
    learner = build_any(recipe)
    assert [len(learn(learner, experience)) for experience in stream] == [9, 2, 2]


def test_an_experience_begins_with_what_is_recalled_and_ends_with_what_is_kept(stream):
    learner = system(HERDED)
    head = learner.classifier.head
    assert len(learner.begin(stream[0]).labels) == 0 and not head.seen.any()
    assert head.get_buffer("current").tolist() == [True, False, True, False, False]
    list(learner.end(stream[0], nothing()))
    assert head.seen.tolist() == [True, False, True, False, False]
    recalled = learner.begin(stream[1])
    assert recalled.labels.tolist() == [0, 0, 2, 2] and head.seen.tolist() == [True, False, True, False, False]
    list(learner.end(stream[1], recalled))
    assert learner.source.recall().labels.tolist() == [0, 0, 2, 2, 4, 4]


def test_kept_bytes_by_hand(stream):
    # Means of 64 pixels in four bytes around a centre in eight, a count of eight bytes for each class, a temperature.
    assert build_any(untrained(NearestMeanRecipe(), PIXELS)).kept_bytes == CLASSES * (64 * 4 + 8) + 64 * 8 + 4
    # Room for two images of each class in four bytes a pixel, their labels, how many there are, and what came.
    exemplars = 2 * CLASSES * (64 * 4 + 8) + 8 + CLASSES * 8
    assert system(HERDED).kept_bytes == exemplars
    assert system().kept_bytes == 0


def test_what_is_looked_at_has_no_gradient_and_moves_nothing(stream):
    learner = system(classifier=CONV)
    learn(learner, stream[0])
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    learner.train()
    x = images().x
    features, logits = learner.features(x, False), learner.logits(x, False)
    assert not features.requires_grad and not logits.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())
    # A pattern does not see its minibatch.
    assert torch.allclose(learner.logits(x[3:4], False)[0, [0, 2]], logits[3, [0, 2]], atol=1e-5)
    assert (logits[:, [1, 3, 4]] == -torch.inf).all()
