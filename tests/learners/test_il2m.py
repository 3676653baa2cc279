import pytest
import torch
from arms import CLASSES, build_any, images, learn, stream_of
from states import same, state_of
from systems import HERDED, PIXELS, arm, plain
from torch import Tensor

from negreplay.learners.il2m import IL2M
from negreplay.recipe import IL2MRecipe
from negreplay.streams.stream import Stream


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4], [1])


def system(*experiences) -> IL2M:
    learner = build_any(arm(IL2MRecipe(), HERDED))
    assert isinstance(learner, IL2M)
    learn(learner, *experiences)
    return learner


def seen(learner: IL2M, c: int) -> Tensor:
    """The logits of all patterns of a class."""
    return learner.classifier.decide(images().x[images().labels == c]).detach()


def kept(learner: IL2M, c: int) -> Tensor:
    """The logits of the exemplars of a class."""
    data = learner.exemplars.data()
    return learner.classifier.decide(data.read((data.labels == c).nonzero().flatten())).detach()


def test_the_network_is_that_of_fine_tuning(stream):
    tuned = build_any(arm(plain(), HERDED))
    learn(tuned, *stream)
    assert same(state_of(system(*stream).classifier), state_of(tuned.classifier))


def test_a_new_class_is_remembered_as_it_scored_then(stream):
    learner = system(stream[0])
    first = [seen(learner, c)[:, c].mean().item() for c in (0, 2)]
    both = torch.cat([seen(learner, 0), seen(learner, 2)])[:, [0, 2]]
    highest = both.max(dim=1).values.mean().item()
    for experience in stream[1:]:
        learn(learner, experience)
        # It stays what it was; so does how sure the network was then.
        assert learner.initial[[0, 2]].tolist() == pytest.approx(first, rel=1e-5)
        assert learner.confidence[[0, 2]].tolist() == pytest.approx([highest] * 2, rel=1e-5)


def test_the_present_is_that_of_exemplars_and_of_the_newest_experience(stream):
    learner = system(*stream)
    assert learner.present[[0, 1, 2, 4]].tolist() == pytest.approx(
        [kept(learner, c)[:, c].mean().item() for c in (0, 1, 2, 4)], rel=1e-5
    )
    highest = seen(learner, 1)[:, [0, 1, 2, 4]].max(dim=1).values.mean().item()
    assert learner.now.item() == pytest.approx(highest, rel=1e-5)
    assert learner.confidence[1] == learner.now
    assert learner.initial[1].item() == pytest.approx(seen(learner, 1)[:, 1].mean().item(), rel=1e-5)
    assert learner.current.tolist() == [False, True, False, False, False]


@pytest.fixture
def by_hand() -> IL2M:
    """The first pixels are the scores; classes 0 and 1 are old, 2 and 3 current, 4 has not come."""
    learner = build_any(arm(IL2MRecipe(), HERDED, PIXELS))
    assert isinstance(learner, IL2M)
    with torch.no_grad():
        learner.classifier.head.rows.copy_(torch.eye(CLASSES, 64))
        learner.classifier.get_parameter("head.linear.bias").zero_()
    learner.classifier.head.seen[:4] = True
    learner.current[[2, 3]] = True
    learner.initial.copy_(torch.tensor([6.0, 2.0, 50.0, 50.0, 50.0]))
    learner.present.copy_(torch.tensor([2.0, 4.0, 3.0, 3.0, 3.0]))
    learner.confidence.copy_(torch.tensor([5.0, 8.0, 7.0, 7.0, 7.0]))
    learner.now.fill_(4.0)
    return learner


def scores(learner: IL2M, *pixels: list[float]) -> list[list[float]]:
    x = torch.zeros(len(pixels), 64)
    x[:, :CLASSES] = torch.tensor(pixels)
    return learner.predict(x.reshape(-1, 1, 8, 8))[:, :4].tolist()


def test_old_scores_are_rectified_by_hand(by_hand):
    # Class 0: 6 / 2 * 4 / 5 = 2.4; class 1: 2 / 4 * 4 / 8 = 0.25. The score of class 4 stays out of it.
    (found,) = scores(by_hand, [3.0, 2.0, 4.0, 1.0, 90.0])
    assert found == pytest.approx([7.2, 0.5, 4.0, 1.0])


def test_they_are_rectified_only_where_a_current_class_is_highest(by_hand):
    found = scores(by_hand, [3.0, 2.0, 1.0, 0.0, 0.0], [1.0, 2.0, 0.0, 2.5, 0.0])
    assert found[0] == [3.0, 2.0, 1.0, 0.0]
    assert found[1] == pytest.approx([2.4, 0.5, 0.0, 2.5])


def test_a_class_that_has_not_come_is_never_predicted(by_hand):
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 0, :CLASSES] = torch.tensor([1.0, 1.0, 2.0, 1.0, 90.0])
    by_hand.now.fill_(-4.0)  # a factor below 0 would turn minus infinity round
    assert by_hand.predict(x)[0, 4] == -torch.inf
