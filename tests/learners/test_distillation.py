import math

import pytest
import torch
from arms import build, images, learn, stream_of
from states import same, state_of
from systems import SYSTEMS

from negreplay.learners.distillation import distillation, frozen, teacher_logits

# Softened by 2, the teacher says 3/4 and 1/4 of the first two outputs; the student 1/4 and 3/4. The third is left out.
TEACHER = torch.tensor([[2 * math.log(3), 0.0, 50.0]])
STUDENT = torch.tensor([[0.0, 2 * math.log(3), -50.0]])
AMONG = torch.tensor([True, True, False])


def test_the_cross_entropy_of_softened_answers_by_hand():
    found = distillation(STUDENT, TEACHER, AMONG, 2.0)
    assert found.tolist() == pytest.approx([-(0.75 * math.log(0.25) + 0.25 * math.log(0.75))], rel=1e-6)


def test_its_gradient_is_the_difference_of_the_answers_by_the_temperature():
    student = STUDENT.clone().requires_grad_()
    distillation(student, TEACHER, AMONG, 2.0).sum().backward()
    # (q - p) / T: with a factor of T^2 it would be four times as large; outputs left out get none.
    assert student.grad is not None
    assert student.grad[0].tolist() == pytest.approx([-0.25, 0.25, 0.0], rel=1e-6)


def test_each_pattern_has_a_loss_of_its_own():
    student, teacher = torch.cat([STUDENT, TEACHER]), torch.cat([TEACHER, TEACHER])
    one, other = distillation(student, teacher, AMONG, 2.0).tolist()
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert other == pytest.approx(entropy, rel=1e-6) and one > other


def test_at_a_high_temperature_answers_are_nearly_even():
    assert distillation(STUDENT, TEACHER, AMONG, 1e4).item() == pytest.approx(math.log(2), abs=1e-6)


def test_a_frozen_copy_stays_as_it_is_while_the_classifier_learns_on():
    learner = build(SYSTEMS["ewc"])  # with batch normalisation, whose statistics must stay, too
    stream = stream_of([0, 2], [4])
    learn(learner, stream[0])
    teacher = frozen(learner.classifier.train())
    before, answers = state_of(teacher), teacher_logits(teacher, images().x)
    learn(learner, stream[1])
    learner.classifier.train()
    assert same(state_of(teacher), before) and torch.equal(teacher_logits(teacher, images().x), answers)
    assert not same(state_of(learner.classifier), before)
    assert not any(module.training for module in teacher.modules())


def test_nothing_that_a_frozen_copy_says_has_a_gradient():
    learner = build(SYSTEMS["fine tuning"])
    teacher = frozen(learner.classifier)
    x = images().x.requires_grad_()
    assert not teacher_logits(teacher, x).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(parameter.requires_grad for parameter in learner.classifier.parameters())
