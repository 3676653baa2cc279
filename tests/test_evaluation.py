"""What is measured after an experience: on all classes, and where the experience of each test pattern is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny import digits
from torch import Tensor, nn

from negreplay import evaluation
from negreplay.cell import learn_cell
from negreplay.data.data import Tensors
from negreplay.evaluation import Accuracies, evaluate
from negreplay.learners.learner import Learner
from negreplay.optimize import Step
from negreplay.positions import read_rows_of
from negreplay.prepare import Cell, Places
from negreplay.streams.scenarios import new_domains
from negreplay.streams.stream import Experience, Stream

SCORES = torch.tensor(
    [
        # Class 0, taken for 1; beside 2 alone it is right.
        [1.0, 5.0, 0.0, 0.0],
        # Class 2, taken for 3; beside 0 alone it is taken for that.
        [3.0, 0.0, 2.0, 9.0],
        # Class 1, right at any rate.
        [0.0, 4.0, 3.0, 1.0],
        # Class 3, taken for 0; beside 1 alone it is right, though both have low scores.
        [9.0, -1.0, 0.0, -0.5],
        # Class 2, right at any rate.
        [0.0, 0.0, 7.0, 1.0],
    ]
)
TEST = Tensors(SCORES, torch.tensor([0, 2, 1, 3, 2]), tuple("abcd"), "test")
TRAIN = Tensors(torch.zeros(8, 4), torch.tensor([2, 0, 3, 1, 2, 0, 3, 1]), tuple("abcd"), "train")


class Oracle(Learner):
    """Has no parts and learns nothing: a pattern is the scores that it gives, of the classes seen."""

    def __init__(self, seen: Tensor) -> None:
        nn.Module.__init__(self)
        self.seen = seen

    def learn(self, experience: Experience) -> Iterator[Step]:
        raise NotImplementedError

    def predict(self, inputs: Tensor, encoded: bool = False) -> Tensor:
        return inputs.masked_fill(~torch.isin(torch.arange(4), self.seen), -torch.inf)


def measured(stream: Stream, index: int) -> Accuracies:
    return evaluate(Oracle(stream.seen(index)), stream, index)


def in_two_experiences() -> Stream:
    """Classes 0 and 2, then 1 and 3."""
    return Stream(TRAIN, TEST, [torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3, 6, 7])])


@pytest.mark.parametrize("at_once", [1, 2, 250])
def test_accuracy_by_hand(at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluation, "AT_ONCE", at_once)
    stream = in_two_experiences()
    first, second = (measured(stream, index) for index in (0, 1))
    assert (second.whole, second.growing) == (2 / 5, 2 / 5)
    # Of the experiences' patterns 1 of 3 and 1 of 2 are right; told which experience it is, 2 of 3 and both.
    assert second.task_agnostic == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert second.task_aware == pytest.approx((2 / 3 + 1) / 2)
    assert second.per_class == {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.0}
    assert (first.test_images, second.test_images) == (3, 5)
    # Of the first experience there are three patterns, of which only the first 2 is taken for 0.
    assert (first.whole, first.growing, first.task_agnostic, first.task_aware) == (2 / 5, 2 / 3, 2 / 3, 2 / 3)
    assert first.per_class == {"a": 1.0, "b": None, "c": 0.5, "d": None}
    assert (first.classes_seen, second.classes_seen) == (2, 4)


def test_where_each_class_comes_alone_it_is_told():
    stream = Stream(TRAIN, TEST, [(TRAIN.labels == c).nonzero().flatten() for c in (3, 0, 1, 2)])
    assert measured(stream, 3).task_aware == 1.0


def test_where_all_come_together_nothing_is_told():
    row = measured(Stream(TRAIN, TEST, [torch.arange(8)]), 0)
    assert row.task_aware == row.growing == 2 / 5


@pytest.mark.parametrize("index", [0, 1])
def test_where_classes_come_twice_no_experience_can_be_told(index: int):
    """Neither is it before they have: in every row of a run it is known, or in none."""
    again = Stream(TRAIN, TEST, [torch.tensor([0, 1, 4, 5]), torch.tensor([2, 3, 6, 7]), torch.tensor([1])])
    row = measured(again, index)
    assert row.task_aware is None
    assert row.growing == measured(in_two_experiences(), index).growing
    assert measured(new_domains(TRAIN, TEST, 2, seed=0), index).task_aware is None


def test_a_run_of_new_classes_has_task_aware_accuracy_and_keeps_it_in_its_checkpoint(tmp_path: Path):
    (recipe,) = digits("no-replay").recipes
    run = Cell(recipe, 0, tmp_path / "c.safetensors", Places(tmp_path, tmp_path, None))
    rows = [event.row for event in learn_cell(run) if event.row]
    assert rows == read_rows_of(run.checkpoint) and len(rows) == 3
    assert rows[0].task_aware == rows[0].growing
    assert all(row.task_aware is not None and row.growing <= row.task_aware <= 1 for row in rows)
    assert rows[-1].task_aware != rows[-1].growing
