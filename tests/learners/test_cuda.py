"""Every arm and system on a GPU, where there is one, beside the same on a processor."""

import pytest
import torch
from arms import ARMS, images, learn, stream_of
from states import same, state_of
from systems import SYSTEMS

from negreplay.builders.learners import build_learner
from negreplay.data.data import example_of
from negreplay.devices import Device
from negreplay.learners.learner import Learner
from negreplay.recipe import Recipe

EVERY = ARMS | SYSTEMS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
EVERY_LEARNER = pytest.mark.parametrize("name", EVERY)


def build_on(device: str, recipe: Recipe, weights: int = 0, seed: int = 0) -> Learner:
    rng = torch.Generator().manual_seed(seed)
    data = images()
    return build_learner(
        recipe, *example_of(data), seed=weights, device=Device(device), rng=rng, patterns=len(data.labels)
    )


@EVERY_LEARNER
def test_a_gpu_learns_what_a_processor_learns(name, exact):
    recipe, experiences = EVERY[name], stream_of([0, 2], [4], [1])
    scores = []
    for device in ("cpu", "cuda"):
        learner = build_on(device, recipe)
        learn(learner, *experiences)
        scores.append(learner.predict(images().x).cpu())
    torch.testing.assert_close(scores[1], scores[0], rtol=1e-2, atol=1e-2)


@EVERY_LEARNER
def test_it_goes_on_from_its_state_on_another_device(name, exact):
    recipe, experiences = EVERY[name], stream_of([0, 2], [4], [1])
    learner = build_on("cuda", recipe)
    learn(learner, *experiences[:2])
    twin = build_on("cpu", recipe, weights=1, seed=1)
    twin.load_state_dict({name: tensor.cpu() for name, tensor in state_of(learner).items()})
    twin.rng.set_state(learner.rng.get_state())
    assert learner.kept_bytes == twin.kept_bytes
    torch.testing.assert_close(learner.predict(images().x).cpu(), twin.predict(images().x), rtol=1e-4, atol=1e-4)
    steps, others = (learn(one, experiences[2]) for one in (learner, twin))
    assert [step[:3] for step in steps] == [step[:3] for step in others]
    assert steps[0].loss == pytest.approx(others[0].loss, rel=1e-4)


@EVERY_LEARNER
def test_two_runs_on_a_gpu_are_equal_to_the_bit(name):
    states = []
    for _ in range(2):
        learner = build_on("cuda", EVERY[name])
        learn(learner, *stream_of([0, 2], [4], [1]))
        states.append(state_of(learner))
    assert same(*states)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of a GPU in whole float32, for convolutions would else be in TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
