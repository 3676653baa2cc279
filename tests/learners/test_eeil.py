import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from arms import build_any, images, learn, stream_of
from systems import HERDED, arm
from torch import Tensor
from whole import TWICE, cross_entropy, distilled, patterns, second_step, whole

from negreplay.learners.learner import Learner
from negreplay.nets.classifier import Classifier
from negreplay.recipe import EEILRecipe, OptimizerRecipe, PhaseRecipe, Recipe
from negreplay.replay.exemplars import herding
from negreplay.streams.stream import Experience, Stream

SYSTEM = arm(EEILRecipe(TWICE), HERDED)
NEARLY_STILL = 1e-30
"""A learning rate above 0, for at 0 nothing would have a gradient."""


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4], [1])


def taught(recipe: Recipe, stream: Stream, experiences: int = 2) -> Learner:
    learner = whole(recipe)
    learn(learner, *stream[:experiences])
    return learner


def labels_of(learner: Learner, experience: Experience, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The labels of each minibatch, sorted."""
    found, head = [], learner.classifier.head
    losses = head.losses

    def recording(logits: Tensor, labels: Tensor, replayed: Tensor) -> Tensor:
        found.append(labels.sort().values)
        return losses(logits, labels, replayed)

    monkeypatch.setattr(head, "losses", recording)
    learn(learner, experience)
    monkeypatch.undo()
    return found


def total(student: Classifier, teacher: Classifier, x: Tensor, y: Tensor, groups: list[list[int]]) -> float:
    """Equation 1."""
    logits, answers = student.decide(x), teacher.decide(x)
    return cross_entropy(logits, y, [0, 1, 2, 4]) + sum(distilled(logits, answers, group) for group in groups)


def test_stage_1_distils_the_outputs_of_each_old_experience_by_themselves():
    stream = stream_of([0, 2], [1, 4], [3])
    learner = taught(SYSTEM, stream)
    (x, y), (teacher, student, loss) = patterns(learner, stream[2]), second_step(learner, stream[2])
    kept = sum(distilled(student.decide(x), teacher.decide(x), group) for group in ([0, 2], [1, 4]))
    assert loss == pytest.approx(cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4]) + kept, rel=1e-5)
    together = distilled(student.decide(x), teacher.decide(x), [0, 1, 2, 4])
    assert kept != pytest.approx(together, rel=1e-3)


def test_in_the_first_experience_there_is_stage_1_alone_without_a_teacher(stream):
    learner = whole(SYSTEM)
    (x, y), then = patterns(learner, stream[0]), second_step(learner, stream[0])
    assert then.loss == pytest.approx(cross_entropy(then.student.decide(x), y, [0, 2]), rel=1e-5)
    assert len(learn(whole(SYSTEM), stream[0])) == 2 and len(learn(taught(SYSTEM, stream, 1), stream[1])) == 4


def test_stage_2_has_equally_many_patterns_of_each_class(stream, monkeypatch):
    learner = taught(SYSTEM, stream)
    one, two, three, four = labels_of(learner, stream[2], monkeypatch)
    assert one.tolist() == two.tolist() == [0] * 2 + [1] * 6 + [2] * 2 + [4] * 2
    assert three.tolist() == four.tolist() == [c for c in (0, 1, 2, 4) for _ in range(2)]


def test_stage_2_learns_for_its_own_phase(stream):
    learner = whole(arm(EEILRecipe(PhaseRecipe(3, 0.1, 0.1)), HERDED))
    learn(learner, stream[0])
    steps = learn(learner, stream[1])
    assert [(step.done, step.total) for step in steps] == [(1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]


def test_stage_2_has_the_end_of_stage_1_for_its_teacher_of_the_newest_outputs_too():
    stream = stream_of([0, 2], [1, 4])
    learner = taught(SYSTEM, stream, 1)
    x, y = patterns(learner, stream[1])
    steps = learner.learn(stream[1])
    list(islice(steps, 2))
    teacher = copy.deepcopy(learner.classifier).eval()
    next(steps)
    student = copy.deepcopy(learner.classifier)
    loss = next(steps).loss
    # Of the new classes two patterns each, chosen by herding with the network that stage 1 left.
    new = [torch.arange(12)[y[:12] == c] for c in (1, 4)]
    chosen = torch.cat([rows[herding(teacher.back(x[rows]).detach(), 2)] for rows in new])
    rows = torch.cat([chosen, torch.arange(12, len(y))])
    assert len(rows) == 8
    assert loss == pytest.approx(total(student, teacher, x[rows], y[rows], [[0, 2], [1, 4]]), rel=1e-5)
    assert loss != pytest.approx(total(student, teacher, x[rows], y[rows], [[0, 2]]), rel=1e-2)


def noisy(eta: float, minibatch: int, epochs: int) -> Learner:
    phase = PhaseRecipe(epochs, NEARLY_STILL, NEARLY_STILL)
    recipe = arm(EEILRecipe(TWICE, noise=eta), HERDED)
    steps = OptimizerRecipe(minibatch=minibatch, weight_decay=0.0)
    return build_any(replace(recipe, first=phase, following=phase, optimizer=steps))


def gradients(learner: Learner) -> Tensor:
    return torch.cat([p.grad.flatten() for p in learner.classifier.parameters() if p.grad is not None])


@pytest.mark.parametrize("minibatch", [4, 12])
def test_noise_has_its_deviation_which_falls_from_epoch_to_epoch(minibatch, stream):
    # So strong that nothing else is left of a gradient; 190,000 numbers tell the deviation to a fifth of a percent.
    learner, per_epoch = noisy(1e4, minibatch, 3), 12 // minibatch
    for k, _ in enumerate(learner.learn(stream[0])):
        expected = 1e4 / (1 + k // per_epoch) ** 0.55 / minibatch
        assert gradients(learner).std().item() == pytest.approx(expected, rel=0.01)
        assert gradients(learner).mean().item() == pytest.approx(0.0, abs=0.02 * expected)


def test_noise_is_added_to_the_gradient(stream):
    deviations = []
    for eta in (0.0, 0.3):
        learner = noisy(eta, 12, 1)
        next(learner.learn(stream[0]))
        deviations.append(gradients(learner))
    without, with_noise = deviations
    assert (with_noise - without).std().item() == pytest.approx(0.3 / 12, rel=0.01)
    assert without.abs().max() > 1e-3


def quiet(learner: Learner) -> bool:
    """Whether a gradient comes out the same twice."""
    weights = [p for p in learner.classifier.parameters() if p.requires_grad]
    found = [torch.autograd.grad(learner.classifier.decide(images().x).square().mean(), weights) for _ in range(2)]
    return len(weights) == 6 and all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_after_learning_nothing_makes_noise(stream):
    learner = noisy(5.0, 12, 2)
    learn(learner, stream[0])
    assert quiet(learner)


def test_nothing_makes_noise_after_learning_was_stopped_in_the_middle(stream):
    learner = noisy(5.0, 12, 2)
    steps = learner.learn(stream[0])
    next(steps)
    assert not quiet(learner)
    del steps
    assert quiet(learner)
