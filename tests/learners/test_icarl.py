import pytest
import torch
from arms import build_any, images, learn, stream_of
from systems import HERDED, PIXELS, arm
from torch import Tensor
from whole import patterns, second_step, whole

from negreplay.learners.icarl import ICaRL
from negreplay.learners.learner import Learner
from negreplay.recipe import ClassifierRecipe
from negreplay.recipe import ICaRLRecipe as Spec
from negreplay.replay.exemplars import Exemplars
from negreplay.streams.stream import Stream


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4], [1])


def system(classifier: ClassifierRecipe) -> ICaRL:
    learner = build_any(arm(Spec(), HERDED, classifier))
    assert isinstance(learner, ICaRL)
    return learner


def surprise(logits: Tensor, targets: Tensor) -> Tensor:
    """The binary cross-entropy of each output, written out."""
    teacher_logits = 1 / (1 + (-logits).exp())
    return -(targets * teacher_logits.log() + (1 - targets) * (1 - teacher_logits).log())


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def kept(learner: Learner) -> tuple[Tensor, Tensor]:
    assert isinstance(learner.source, Exemplars)
    data = learner.source.data()
    return data.read(torch.arange(len(data.labels))).flatten(1), data.labels


def test_at_first_each_output_learns_whether_it_is_the_label(stream):
    learner = whole(arm(Spec(), HERDED))
    (x, y), then = patterns(learner, stream[0]), second_step(learner, stream[0])
    targets = torch.stack([y == 0, y == 2], dim=1).float()
    # Outputs of classes that have not come do not learn.
    expected = surprise(then.student.decide(x)[:, [0, 2]], targets).sum(dim=1).mean().item()
    assert then.loss == pytest.approx(expected, rel=1e-5)


def test_old_outputs_learn_what_the_old_network_says_of_exemplars_too(stream):
    learner = whole(arm(Spec(), HERDED))
    learn(learner, *stream[:2])
    (x, y), (teacher, student, loss) = patterns(learner, stream[2]), second_step(learner, stream[2])
    assert y.tolist() == [1] * 6 + [0] * 2 + [2] * 2 + [4] * 2
    targets = teacher.decide(x).sigmoid()
    targets[:, 1] = (y == 1).float()
    among = [0, 1, 2, 4]
    expected = surprise(student.decide(x)[:, among], targets[:, among]).sum(dim=1).mean().item()
    assert loss == pytest.approx(expected, rel=1e-5)
    labels = torch.nn.functional.one_hot(y, 5).float()
    assert expected != pytest.approx(surprise(student.decide(x), labels)[:, among].sum(dim=1).mean().item(), rel=1e-3)


def test_the_mean_of_a_class_is_that_of_its_exemplars_at_length_1(stream):
    learner = system(PIXELS)
    learn(learner, *stream)
    x, y = kept(learner)
    for c in (0, 1, 2, 4):
        assert (y == c).sum() == 2
        assert torch.allclose(learner.means[c], unit(x[y == c]).mean(dim=0), atol=1e-6)


def test_means_are_found_anew_by_the_network_of_now(stream):
    learner = system(ClassifierRecipe("mlp", "input", renorm=None))
    learn(learner, stream[0])
    before = learner.means[0].clone()
    learn(learner, stream[1])
    x, y = kept(learner)
    assert torch.allclose(learner.means[0], unit(learner.features(x[y == 0], True)).mean(dim=0), atol=1e-6)
    assert not torch.allclose(learner.means[0], before, atol=1e-4)


def test_the_nearest_mean_of_exemplars_predicts(stream):
    learner = system(PIXELS)
    learn(learner, *stream)
    x, y = kept(learner)
    classes = torch.tensor([0, 1, 2, 4])
    means = torch.stack([unit(unit(x[y == c]).mean(dim=0)) for c in classes])
    noisy = images().x + 0.5 * torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    found = learner.predict(noisy).argmax(dim=1)
    # Of unit vectors the nearest is the one at the smallest angle.
    assert torch.equal(found, classes[(noisy.flatten(1) @ means.T).argmax(dim=1)])
    assert len(found.unique()) == 4


def test_scores_are_minus_the_squared_distance_of_unit_vectors(stream):
    learner = system(PIXELS)
    learn(learner, stream[0])
    with torch.no_grad():
        learner.means.zero_()
        learner.means[0, 0], learner.means[2, 1] = 0.25, 7.0
    x = torch.zeros(2, 1, 1, 64)
    x[0, 0, 0, 0], x[1, 0, 0, :2] = 3.0, 0.1
    scores = learner.predict(x)[:, [0, 2]]
    # Along the axis of class 0, 90 degrees from class 2; then between both. The lengths do not matter.
    assert scores[0].tolist() == pytest.approx([0.0, -2.0], abs=1e-5)
    assert scores[1].tolist() == pytest.approx([2**0.5 - 2] * 2, abs=1e-5)


def test_the_outputs_do_not_predict(stream):
    learner = system(PIXELS)
    learn(learner, *stream)
    before = learner.predict(images().x)
    with torch.no_grad():
        learner.classifier.head.rows.normal_(generator=torch.Generator().manual_seed(0))
    assert torch.equal(learner.predict(images().x), before)
