import copy
import math
from itertools import islice

import pytest
import torch
from arms import images, learn, stream_of
from systems import arm
from torch import Tensor, nn
from whole import cross_entropy, distilled, whole

from negreplay.learners.dgr import DGR
from negreplay.nets.classifier import Classifier
from negreplay.nets.vae import VAE
from negreplay.recipe import DGRRecipe, Outputs
from negreplay.streams.stream import Experience, Stream

REPLAYED = 4


@pytest.fixture
def stream() -> Stream:
    return stream_of([0, 2], [4, 1], [3])


def system(replayed: int = REPLAYED, **options) -> DGR:
    learner = whole(arm(DGRRecipe(replayed=replayed, width=8, latent_dim=3, **options)))
    assert isinstance(learner, DGR)
    return learner


def taught(stream: Stream, **options) -> DGR:
    learner = system(**options)
    learn(learner, *stream[:2])
    return learner


def given(module: nn.Module) -> list[Tensor]:
    """What this very module, and no copy of it, is given from now on."""
    found: list[Tensor] = []

    def watch(called: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if called is module:
            found.append(inputs[0].detach().clone())

    module.register_forward_pre_hook(watch)
    return found


def second(learner: DGR, experience: Experience) -> tuple[Classifier, Classifier, Tensor, Tensor, float]:
    """Teacher, student, what was learned from, the labels of what is real, and the loss, of the second step."""
    teacher, seen = copy.deepcopy(learner.classifier).eval(), given(learner.classifier.back)
    steps = learner.learn(experience)
    next(steps)
    student = copy.deepcopy(learner.classifier)
    loss, x = next(steps).loss, seen[1]
    y = images().labels[torch.cdist(x.flatten(1), images().x.flatten(1)).argmin(dim=1)]
    return teacher, student, x, y[: len(experience.data)], loss


def test_in_the_first_experience_nothing_is_generated(stream):
    learner = system()
    _, student, x, y, loss = second(learner, stream[0])
    assert len(x) == len(y) == 12
    assert loss == pytest.approx(cross_entropy(student.decide(x), y, [0, 2]), rel=1e-5)


def test_the_old_solver_labels_what_is_generated_and_it_weighs_1_minus_1_by_n(stream):
    learner = taught(stream)
    with torch.no_grad():  # class 3 has not come: it is no label, however sure the old solver is
        learner.classifier.get_parameter("head.linear.bias")[3] = 5.0
    teacher, student, x, y, loss = second(learner, stream[2])
    assert len(x) == 6 + REPLAYED
    old = torch.tensor([0, 1, 2, 4])
    labels = old[teacher.decide(x[6:])[:, old].argmax(dim=1)]
    new = cross_entropy(student.decide(x[:6]), y, [0, 1, 2, 3, 4])
    kept = cross_entropy(student.decide(x[6:]), labels, [0, 1, 2, 3, 4])
    assert loss == pytest.approx(new / 3 + 2 / 3 * kept, rel=1e-5)


def test_distilled_it_keeps_all_that_the_old_solver_says(stream):
    learner = taught(stream, distil=True, temperature=3.0)
    teacher, student, x, y, loss = second(learner, stream[2])
    new = cross_entropy(student.decide(x[:6]), y, [0, 1, 2, 3, 4])
    kept = distilled(student.decide(x[6:]), teacher.decide(x[6:]), [0, 1, 2, 4], 3.0, [0, 1, 2, 3, 4])
    assert loss == pytest.approx(new / 3 + 2 / 3 * kept, rel=1e-5)


@pytest.mark.parametrize("distil", [False, True])
@pytest.mark.parametrize("replayed", [4, 3, 1])
def test_with_own_outputs_past_experiences_share_what_is_generated(replayed, distil, stream):
    learner = taught(stream, outputs=Outputs.OWN, distil=distil, replayed=replayed)
    teacher, student, x, y, loss = second(learner, stream[2])
    each = math.ceil(replayed / 2)
    assert len(x) == 6 + 2 * each
    kept = []
    for made, group in ((x[6 : 6 + each], [0, 2]), (x[6 + each :], [1, 4])):
        logits, answers = student.decide(made), teacher.decide(made)
        labels = torch.tensor(group)[answers[:, group].argmax(dim=1)]
        kept.append(distilled(logits, answers, group) if distil else cross_entropy(logits, labels, group))
    # The third experience has one class, which competes with none.
    assert cross_entropy(student.decide(x[:6]), y, [3]) == 0.0
    assert loss == pytest.approx(2 / 3 * sum(kept) / 2, rel=1e-5)


def grey(generator: VAE, brightness: float) -> None:
    """From now on it makes images of one brightness, whatever z is."""
    last = generator.decoder[-2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(math.log(brightness / (1 - brightness)))


def test_both_learn_from_what_the_old_generator_makes(stream):
    learner = taught(stream)
    grey(learner.generator, 0.25)
    solver, generator = given(learner.classifier.back), given(learner.generator.encoder)
    learn(learner, stream[2])
    made = [x[6:] for x in solver + generator]
    assert [len(x) for x in made] == [REPLAYED] * 4
    # In its second step too, although the generator is another one by then.
    assert all(torch.allclose(x, torch.tensor(0.25), atol=1e-6) for x in made)
    assert not torch.allclose(learner.generator.sample(1, learner.rng), torch.tensor(0.25), atol=1e-5)


def test_it_generates_afresh_for_each_minibatch(stream):
    learner = taught(stream)
    solver, generator = given(learner.classifier.back), given(learner.generator.encoder)
    learn(learner, stream[2])
    made = [x[6:] for x in solver + generator]
    assert not any(torch.equal(one, other) for i, one in enumerate(made) for other in made[:i])


def test_the_generator_learns_with_the_same_weights(stream, monkeypatch):
    learner = taught(stream)
    grey(learner.generator, 0.25)

    def brightness(x: Tensor, rng: torch.Generator) -> Tensor:
        return x.flatten(1).mean(dim=1) + 0 * next(learner.generator.parameters()).sum()

    monkeypatch.setattr(learner.generator, "loss", brightness)
    losses = [step.loss for step in learn(learner, stream[2]) if step.part == "generator"]
    new = images().x[stream[2].data.rows].mean().item()
    assert losses == pytest.approx([new / 3 + 2 / 3 * 0.25] * 2, rel=1e-5)


def test_solver_and_generator_take_equally_many_steps_one_after_the_other(stream):
    learner = system()
    for experience in stream:
        steps = learn(learner, experience)
        assert [step.part for step in steps] == ["classifier"] * 2 + ["generator"] * 2


def test_neither_teaches_the_other(stream):
    learner = taught(stream)
    steps = learner.learn(stream[2])
    generator = [p.detach().clone() for p in learner.generator.parameters()]
    list(islice(steps, 2))
    solver = [p.detach().clone() for p in learner.classifier.parameters()]
    assert all(map(torch.equal, generator, learner.generator.parameters()))
    list(steps)
    assert all(map(torch.equal, solver, learner.classifier.parameters()))
    assert not any(map(torch.equal, generator, learner.generator.parameters()))


def test_the_lower_bound_of_a_vae_that_knows_nothing():
    vae = VAE((1, 2, 2), 4, 3)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        last = vae.encoder[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0, math.log(4), 0.0]))
    loss = vae.loss(torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]]]), torch.Generator())
    # Every pixel is taken for 1/2: ln 2 each. z has means 1, 0 and 2 and variances 1, 4 and 1: half the sum of
    # mean^2 + variance - 1 - ln variance. Both by four pixels.
    divergence = (1 + (4 - 1 - math.log(4)) + 4) / 2
    assert loss.tolist() == pytest.approx([(4 * math.log(2) + divergence) / 4], rel=1e-6)
