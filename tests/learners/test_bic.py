import copy
from itertools import islice

import pytest
import torch
from arms import CLASSES, images, learn, stream_of
from systems import HERDED, MLP, PIXELS, arm
from torch import Tensor, nn
from torch.nn import functional as F
from whole import TWICE, cross_entropy, distilled, whole

from negreplay.learners.bic import BiC
from negreplay.recipe import BiCRecipe as Spec
from negreplay.recipe import ClassifierRecipe, PhaseRecipe, ReplayRecipe
from negreplay.replay.exemplars import Exemplars
from negreplay.streams.stream import Experience, Stream

THREE = ReplayRecipe(HERDED.source, HERDED.mode, choice=HERDED.choice, per_class=3)
STILL = PhaseRecipe(1, 0.0, 0.0)


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4, 1], [3])


def system(
    classifier: ClassifierRecipe = PIXELS, replay: ReplayRecipe = THREE, following: PhaseRecipe = TWICE, **options
) -> BiC:
    learner = whole(arm(Spec(**options), replay, classifier), following=following)
    assert isinstance(learner, BiC)
    return learner


class Watch:
    """What the head is given while the network learns (stage 1) and while it stands still (stage 2)."""

    def __init__(self, learner: BiC) -> None:
        self.stage_1: list[Tensor] = []
        self.stage_2: list[Tensor] = []
        self.learner = learner

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if module is self.learner.classifier.head:  # and not that of the teacher, its copy
            found = self.stage_1 if self.learner.classifier.training else self.stage_2
            found.append(given[0].detach())

    def learn(self, experience: Experience) -> tuple[list[int], list[int]]:
        """The rows of `images` that each stage has learned from."""
        handle = self.learner.classifier.head.register_forward_pre_hook(self)
        learn(self.learner, experience)
        handle.remove()
        return rows_of(torch.cat(self.stage_1)), rows_of(torch.cat(self.stage_2)) if self.stage_2 else []


def rows_of(x: Tensor) -> list[int]:
    distance, rows = torch.cdist(x.flatten(1), images().x.flatten(1)).min(dim=1)
    assert distance.max() < 0.01
    return sorted(set(rows.tolist()))


def exemplars(learner: BiC, c: int) -> list[int]:
    """Rows of `images`, in the order of their choice."""
    assert isinstance(learner.source, Exemplars)
    data = learner.source.data()
    x = data.read((data.labels == c).nonzero().flatten())
    return torch.cdist(x.flatten(1), images().x.flatten(1)).argmin(dim=1).tolist()


def test_what_teaches_stage_2_is_left_out_of_stage_1(stream):
    learner = system(validation=0.6)
    before, _ = Watch(learner).learn(stream[0])
    kept = {c: exemplars(learner, c) for c in (0, 2)}
    trained, held = Watch(learner).learn(stream[1])
    assert not set(trained) & set(held)
    labels = images().labels[held].tolist()
    # round(0.6 * 3) = 2 of each class, old or new; the old ones stand first, and were held out when they were new.
    assert labels == [0, 0, 1, 1, 2, 2, 4, 4]
    old = [row for row in held if images().labels[row] in (0, 2)]
    assert old == sorted(kept[0][:2] + kept[2][:2]) and not set(before) & set(old)
    assert sorted(trained + held) == sorted([*kept[0], *kept[2], *stream[1].data.rows.tolist()])


def test_at_least_one_pattern_of_each_class_is_held_out(stream):
    learner = system(validation=0.01)
    learn(learner, stream[0])
    _, held = Watch(learner).learn(stream[1])
    assert images().labels[held].tolist() == [0, 1, 2, 4]


def test_in_the_first_experience_nothing_is_corrected(stream):
    learner = system(validation=0.6)
    trained, held = Watch(learner).learn(stream[0])
    assert held == [] and images().labels[trained].tolist() == [0] * 4 + [2] * 4
    assert learner.alpha.tolist() == [1.0] * CLASSES and learner.beta.tolist() == [0.0] * CLASSES


def test_a_single_exemplar_of_each_class_corrects_nothing(stream):
    learner = system(replay=ReplayRecipe(HERDED.source, HERDED.mode, choice=HERDED.choice, per_class=1))
    learn(learner, stream[0])
    trained, held = Watch(learner).learn(stream[1])
    assert held == [] and learner.alpha.tolist() == [1.0] * CLASSES
    assert set(stream[1].data.rows.tolist()) < set(trained)


def test_the_loss_of_a_step_with_a_teacher_that_is_corrected(stream):
    learner = system(MLP, epochs=2, validation=0.6)
    learn(learner, *stream[:2])
    with torch.no_grad():  # as if the second experience had needed it
        learner.alpha[[1, 4]], learner.beta[[1, 4]] = 0.5, -0.75
    teacher = copy.deepcopy(learner.classifier).eval()
    seen: list[Tensor] = []

    def watch(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if module is learner.classifier.back:
            seen.append(given[0].detach())

    learner.classifier.back.register_forward_pre_hook(watch)
    steps = learner.learn(stream[2])
    list(islice(steps, 1))
    student = copy.deepcopy(learner.classifier)
    loss, x = next(steps).loss, seen[1]
    y = images().labels[torch.cdist(x.flatten(1), images().x.flatten(1)).argmin(dim=1)]
    answers = teacher.decide(x)
    answers[:, [1, 4]] = 0.5 * answers[:, [1, 4]] - 0.75
    kept = distilled(student.decide(x), answers, [0, 1, 2, 4])
    # Four old classes and a new one; the newest class's own logits are not corrected yet.
    assert loss == pytest.approx(4 / 5 * kept + 1 / 5 * cross_entropy(student.decide(x), y, [0, 1, 2, 3, 4]), rel=1e-5)


def test_stage_2_undoes_a_bias_towards_the_newest_classes():
    x, y, stream = images().x, images().labels, stream_of([0, 2], [4])
    learner = system(following=STILL, epochs=600, lr=0.05, validation=0.5)
    learn(learner, stream[0])
    bias = learner.classifier.get_parameter("head.linear.bias")
    with torch.no_grad():  # the nearest mean, but that the logit of class 4 is too steep and much too high
        means = torch.stack([x[y == c].flatten(1).mean(dim=0) for c in range(CLASSES)])
        bias.copy_(-means.square().sum(dim=1) / 2)
        means[4] *= 2
        bias[4] = 2 * bias[4] + 20
        learner.classifier.head.rows.copy_(means)
    learn(learner, stream[1])
    among = torch.isin(y, torch.tensor([0, 2, 4]))
    uncorrected = learner.logits(x[among], False)
    assert (uncorrected.argmax(dim=1) == 4).all()
    assert (learner.predict(x[among]).argmax(dim=1) == y[among]).all()
    # Old classes are left as they are, the newest one has alpha z + beta.
    corrected = learner.predict(x)
    assert torch.equal(corrected[:, [0, 2]], learner.logits(x, False)[:, [0, 2]])
    alpha, beta = learner.alpha[4], learner.beta[4]
    assert torch.allclose(corrected[:, 4], alpha * learner.logits(x, False)[:, 4] + beta)


def test_alpha_and_beta_are_the_best_ones_for_the_patterns_held_out():
    learner = system(following=STILL, epochs=600, lr=0.05, validation=0.7)
    learn(learner, stream_of([0, 2], [4])[0])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # a network at random, so that the best numbers are not without bound
        learner.classifier.head.rows.normal_(generator=generator)
    found = Watch(learner)
    learner.classifier.head.register_forward_pre_hook(found)
    learn(learner, stream_of([0, 2], [4])[1])
    x = torch.cat(found.stage_2)
    y = images().labels[torch.cdist(x, images().x.flatten(1)).argmin(dim=1)]
    logits = learner.classifier.head(x).detach()[:, [0, 2, 4]]
    best = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([best], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        corrected = torch.cat([logits[:, :2], best[0] * logits[:, 2:] + best[1]], dim=1)
        value = F.cross_entropy(corrected, y // 2)
        value.backward()
        return value

    optimizer.step(loss)
    assert best.abs().max() < 50
    assert [learner.alpha[4].item(), learner.beta[4].item()] == pytest.approx(best.tolist(), abs=0.02)


def test_only_the_newest_classes_are_corrected(stream):
    learner = system(MLP, epochs=20, validation=0.6)
    learn(learner, *stream[:2])
    assert (learner.alpha[[1, 4]] != 1).all() and (learner.beta[[1, 4]] != 0).all()
    # Two numbers for all of them.
    assert learner.alpha[1] == learner.alpha[4] and learner.beta[1] == learner.beta[4]
    learn(learner, stream[2])
    assert learner.alpha[[0, 1, 2, 4]].tolist() == [1.0] * 4 and learner.beta[[0, 1, 2, 4]].tolist() == [0.0] * 4
    assert learner.alpha[3] != 1 and learner.beta[3] != 0


def test_stage_2_leaves_the_network_as_it_is(stream):
    learner = system(MLP, epochs=20, validation=0.6)
    learn(learner, stream[0])
    steps = learner.learn(stream[1])
    list(islice(steps, 2))
    before = {name: tensor.clone() for name, tensor in learner.classifier.named_parameters()}
    assert len(list(steps)) == 20
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.classifier.named_parameters())
