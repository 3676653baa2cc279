import math

import pytest
import torch
from arms import build_any, images, learn, stream_of
from systems import HERDED, MLP, arm
from torch import Tensor
from whole import cross_entropy, patterns, second_step, whole

from negreplay.learners.lucir import LUCIR
from negreplay.nets.classifier import Classifier
from negreplay.nets.cosine import CosineHead
from negreplay.patterns import Patterns, join, nothing
from negreplay.recipe import ClassifierRecipe, LUCIRRecipe, PhaseRecipe
from negreplay.streams.stream import Stream

STILL = PhaseRecipe(1, 0.0, 0.0)


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2, 3], [4, 1])


def system(classifier: ClassifierRecipe = MLP, **options) -> LUCIR:
    learner = build_any(arm(LUCIRRecipe(**options), HERDED, classifier))
    assert isinstance(learner, LUCIR)
    return learner


def head_of(classifier: Classifier) -> CosineHead:
    assert isinstance(classifier.head, CosineHead)
    return classifier.head


def cosine(a: Tensor, b: Tensor) -> float:
    return ((a * b).sum() / (a.norm() * b.norm())).item()


def known(*seen: int, current: tuple[int, ...] = ()) -> CosineHead:
    head = CosineHead(2, 4)
    head.seen[list(seen)], head.current[list(current)] = True, True
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5], [-3.0, 0.0], [1.0, 1.0]]))
        head.scale.fill_(4.0)
    return head


def test_logits_are_scaled_cosines_by_hand():
    # At 60 degrees, of whatever length: cosines with the axes, with the axis turned round, and with 45 degrees.
    features = torch.tensor([[0.5, math.sqrt(0.75)], [5.0, 10 * math.sqrt(0.75)]])
    expected = [4 * c for c in (0.5, math.sqrt(0.75), -0.5, math.cos(math.pi / 12))]
    logits = known()(features)
    assert logits[0].tolist() == pytest.approx(expected, abs=1e-5)
    assert logits[1].tolist() == pytest.approx([4 * math.cos(math.radians(d)) for d in (60, 30, 120, 15)], abs=1e-5)


def test_rows_of_old_classes_have_no_gradient_unless_they_come_again():
    head = known(0, 1, current=(1, 2))
    features = torch.tensor([[0.5, 0.7], [0.3, -0.4]], requires_grad=True)
    labels, replayed = torch.tensor([2, 0]), torch.tensor([False, True])
    head.losses(head(features), labels, replayed).sum().backward()
    assert head.weight.grad is not None and features.grad is not None
    assert not head.weight.grad[0].any()
    assert head.weight.grad[1].any() and head.weight.grad[2].any()
    # Class 3 has not come and does not compete.
    assert not head.weight.grad[3].any()


def test_the_scale_learns():
    head = known(0, current=(1,))
    head.losses(head(torch.rand(3, 2)), torch.tensor([0, 1, 1]), torch.zeros(3, dtype=torch.bool)).mean().backward()
    assert head.scale.grad is not None and head.scale.grad.item() != 0


def test_new_rows_begin_as_the_mean_direction_of_their_class(stream):
    learner = whole(arm(LUCIRRecipe(), HERDED), following=STILL)
    learn(learner, stream[0])
    head = head_of(learner.classifier)
    old, before = [0, 2, 3], head.weight.detach().clone()
    length = torch.stack([row.norm() for row in before[old]]).mean()
    learn(learner, stream[1])
    for c in (1, 4):
        features = learner.features(images().x[images().labels == c], False)
        direction = torch.stack([f / f.norm() for f in features]).mean(dim=0)
        assert torch.allclose(head.weight[c], direction / direction.norm() * length, atol=1e-5)
    assert torch.equal(head.weight[old], before[old])


def test_rows_of_the_first_classes_and_of_one_that_comes_again_are_not_imprinted():
    stream = stream_of([0, 2], [0, 4])
    learner = whole(arm(LUCIRRecipe(), HERDED), following=STILL)
    head = head_of(learner.classifier)
    learn(learner, stream[0])
    before = head.weight.detach().clone()
    learn(learner, stream[1])
    changed = (head.weight != before).any(dim=1)
    assert changed.tolist() == [False, False, False, False, True]


def test_old_rows_do_not_learn(stream):
    learner = whole(arm(LUCIRRecipe(), HERDED))
    learn(learner, stream[0])
    head = head_of(learner.classifier)
    before = head.weight.detach().clone()
    learn(learner, stream[1])
    assert torch.equal(head.weight[[0, 2, 3]], before[[0, 2, 3]])
    assert not torch.isclose(head.weight[[1, 4]], before[[1, 4]]).all(dim=1).any()


def ranked(learner: LUCIR, cosines: list[list[float]], labels: list[int]) -> float:
    batch = join(Patterns(torch.zeros(len(labels), 1), torch.tensor(labels)), False, nothing())
    old, new = torch.tensor([True, True, False, False, False]), torch.tensor([False, False, True, True, True])
    return learner._ranking(torch.tensor(cosines), batch, old, new).item()


def test_ranking_by_hand():
    # True class 0 at 0.3, so new ones at 0.6 and 0.1 are too near by 0.8 and 0.3; the one at -0.5 is not among the two.
    one, other = [0.3, 0.9, 0.1, -0.5, 0.6], [0.0, 0.9, 0.2, 0.7, 0.1]
    assert ranked(system(), [one], [0]) == pytest.approx((0.8 + 0.3) / 2)
    # True class 1 at 0.9: 0.7 is too near by 0.3, 0.2 is far enough.
    assert ranked(system(), [one, other], [0, 1]) == pytest.approx((0.8 + 0.3 + 0.3 + 0.0) / 4)
    assert ranked(system(negatives=1, margin=0.1), [one], [0]) == pytest.approx(0.4)
    assert ranked(system(negatives=9), [one], [0]) == pytest.approx((0.8 + 0.3 + 0.0) / 3)


def test_only_patterns_of_old_classes_are_ranked():
    one, other = [0.3, 0.9, 0.1, -0.5, 0.6], [0.0, 0.9, 0.2, 0.7, 0.1]
    assert ranked(system(), [one, other], [0, 3]) == pytest.approx((0.8 + 0.3) / 2)
    assert ranked(system(), [other], [3]) == 0.0


def test_the_loss_of_a_step(stream):
    learner = whole(arm(LUCIRRecipe(strength=5.0, margin=0.9), HERDED))
    learn(learner, stream[0])
    (x, y), (teacher, student, loss) = patterns(learner, stream[1]), second_step(learner, stream[1])
    features, before, rows = student.back(x), teacher.back(x), head_of(student).weight
    classified = cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4])
    turned = sum(1 - cosine(f, b) for f, b in zip(features, before, strict=True)) / len(x)
    # Two new classes, both of them ahead-of-which an exemplar has to be.
    pairs = [(f, c, k) for f, c in zip(features, y.tolist(), strict=True) if c in (0, 2, 3) for k in (1, 4)]
    close = [max(0.0, 0.9 - cosine(f, rows[c]) + cosine(f, rows[k])) for f, c, k in pairs]
    ranked = sum(close) / len(close)
    # Three old classes and two new ones.
    assert loss == pytest.approx(classified + 5 * math.sqrt(3 / 2) * turned + ranked, rel=1e-4)
    assert turned > 0.01 and ranked > 0.01


def test_in_the_first_experience_the_loss_is_plain_cross_entropy(stream):
    learner = whole(arm(LUCIRRecipe(), HERDED))
    (x, y), then = patterns(learner, stream[0]), second_step(learner, stream[0])
    assert then.loss == pytest.approx(cross_entropy(then.student.decide(x), y, [0, 2, 3]), rel=1e-5)
