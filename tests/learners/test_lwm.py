import pytest
import torch
from arms import build_any, learn, stream_of
from systems import CONV, HERDED, arm
from torch import Tensor, nn
from torch.nn import functional as F
from whole import cross_entropy, distilled, patterns, second_step, whole

from negreplay.errors import UserError
from negreplay.learners.distillation import frozen
from negreplay.learners.lwm import attention, with_maps
from negreplay.nets.classifier import Classifier
from negreplay.nets.heads import PlainHead
from negreplay.nets.layers import GlobalMean
from negreplay.recipe import ClassifierRecipe, LwMRecipe, Mode


def pooled() -> Classifier:
    """One convolution, the mean of each map, a linear head: here Grad-CAM has a closed form."""
    torch.manual_seed(0)
    back = nn.Sequential()
    back.add_module("conv", nn.Conv2d(1, 6, 3))
    back.add_module("pool", GlobalMean())
    return Classifier(nn.Identity(), back, PlainHead(6, 5, Mode.POSITIVE), blocked=False)


def activation(classifier: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """The class-activation map: the ReLU of the maps, weighted by the class's row; at length 1, or nothing."""
    maps = classifier.back.get_submodule("conv")(x)
    maps = torch.einsum("nk,nkhw->nhw", classifier.head.rows[classes], maps).relu().flatten(1)
    return maps / maps.norm(dim=1, keepdim=True).clamp(min=1e-12)


X, CHOSEN = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 3, 1, 4, 2])


def test_grad_cam_of_a_pooled_linear_head_is_the_class_activation_map():
    classifier = pooled()
    maps, logits = with_maps(classifier, "conv", X)
    assert torch.equal(logits, classifier.decide(X)) and maps.shape == (6, 6, 6, 6)
    found = attention(maps, logits, CHOSEN, learning=False)
    assert torch.allclose(found, activation(classifier, X, CHOSEN), atol=1e-6)
    assert found.norm(dim=1).round(decimals=5).tolist() == [1.0] * 6


def test_attention_learns_like_the_class_activation_map_through_its_weights_too():
    classifier = pooled()
    parameters = [*classifier.back.parameters(), classifier.head.rows]
    goal = torch.rand(6, 36, generator=torch.Generator().manual_seed(0))
    maps, logits = with_maps(classifier, "conv", X)
    found = (attention(maps, logits, CHOSEN, learning=True) - goal).abs().sum()
    expected = (activation(classifier, X, CHOSEN) - goal).abs().sum()
    pairs = zip(torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True)
    for one, other in pairs:
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5) and one.abs().max() > 1e-3


def test_the_attention_of_a_teacher_is_a_constant():
    teacher = frozen(pooled())
    looked = attention(*with_maps(teacher, "conv", X), CHOSEN, learning=False)
    assert not looked.requires_grad
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_looking_leaves_nothing_behind():
    classifier = pooled()
    with torch.no_grad():
        with_maps(classifier, "conv", X)
        assert not classifier.decide(X).requires_grad
    assert not classifier.back.get_submodule("conv")._forward_hooks


def looked_at(classifier: Classifier, maps: Tensor, classes: Tensor) -> list[Tensor]:
    """Grad-CAM, pattern by pattern."""
    logits, found = classifier.head(classifier.back.get_submodule("pool")(maps)), []
    for i, c in enumerate(classes):
        (gradient,) = torch.autograd.grad(logits[i, c], maps, retain_graph=True)
        weighted = (gradient[i].mean(dim=(1, 2)).reshape(-1, 1, 1) * maps[i]).sum(dim=0).clamp(min=0).flatten()
        found.append(weighted / weighted.norm().clamp(min=1e-12))
    return found


def maps_of(classifier: Classifier, x: Tensor) -> Tensor:
    for name in ("conv1", "conv2", "conv3"):
        x = classifier.back.get_submodule(name)(x)
    return x


@pytest.mark.parametrize("exemplars", [False, True])
def test_the_loss_of_a_step(exemplars):
    stream = stream_of([0, 2], [4])
    learner = whole(arm(LwMRecipe("conv3", 2.0, 3.0), HERDED if exemplars else None, CONV))
    learn(learner, stream[0])
    (x, y), (teacher, student, loss) = patterns(learner, stream[1]), second_step(learner, stream[1])
    maps = maps_of(student, x)
    logits = student.head(student.back.get_submodule("pool")(maps))
    # Both look for the old class that the student finds likeliest.
    old = torch.tensor([0, 2])
    likeliest = old[logits[:, old].argmax(dim=1)]
    theirs = looked_at(teacher, maps_of(teacher, x), likeliest)
    moved = [(a - b).abs().sum() for a, b in zip(looked_at(student, maps, likeliest), theirs, strict=True)]
    distance = torch.stack(moved).mean().item()
    kept = distilled(logits, teacher.decide(x), [0, 2])
    assert loss == pytest.approx(cross_entropy(logits, y, [0, 2, 4]) + 2 * kept + 3 * distance, rel=1e-4)
    assert distance > 0.05


def test_attention_alone_moves_the_network():
    # In step 1 the student is its own teacher, so what differs after step 2 was done by the gradient of step 2.
    states, stream = [], stream_of([0, 2], [4])
    for weight in (0.0, 5.0):
        learner = whole(arm(LwMRecipe("conv3", attention=weight), classifier=CONV))
        learn(learner, *stream)
        states.append(learner.classifier.get_parameter("back.conv1.conv.weight"))
    assert not torch.allclose(states[0], states[1], atol=1e-4)


def test_in_the_first_experience_the_loss_is_plain_cross_entropy():
    stream = stream_of([0, 2], [4])
    learner = whole(arm(LwMRecipe("conv3", 2.0, 3.0), classifier=CONV))
    (x, y), then = patterns(learner, stream[0]), second_step(learner, stream[0])
    assert then.loss == pytest.approx(F.cross_entropy(then.student.decide(x)[:, [0, 2]], y // 2).item(), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "known"), [("conv9", "conv1, conv2, conv3"), ("", "conv1, conv2, conv3"), ("pool", "conv1, conv2, conv3")]
)
def test_an_unknown_layer_is_refused(layer, known):
    with pytest.raises(UserError) as error:
        build_any(arm(LwMRecipe(layer), classifier=CONV))
    assert (
        str(error.value) == f"learner.layer is {layer!r}: give one after the replay layer that makes maps, of {known}."
    )


def test_a_layer_before_the_replay_layer_is_refused():
    late = ClassifierRecipe("small", "conv2", renorm=None)
    with pytest.raises(UserError, match=r"learner\.layer is 'conv1': give one after the replay layer that makes maps"):
        build_any(arm(LwMRecipe("conv1"), classifier=late))
    assert build_any(arm(LwMRecipe("conv3"), classifier=late))
