"""Learning without Memorizing (LwM).

References:
    Dhar et al., Learning without Memorizing, 2019.
    Selvaraju et al., Grad-CAM, 2017.
"""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from negreplay.errors import UserError
from negreplay.learners.distillation import distillation, frozen
from negreplay.learners.learner import Learner, Parts
from negreplay.nets.classifier import Classifier
from negreplay.optimize import Step
from negreplay.patterns import Batch
from negreplay.recipe import LwMRecipe
from negreplay.streams.stream import Experience


class LwM(Learner[LwMRecipe]):
    """Equation 7: classification, strength times distillation, and attention times the distance of attention maps.

    An attention map shows where Grad-CAM sees the old class that the student finds likeliest. The student and the
    teacher give one map each, scaled to length 1. Their distance is the sum of absolute differences (Equation 5).
    """

    def __init__(self, spec: LwMRecipe, parts: Parts) -> None:
        super().__init__(spec, parts)
        known = maps_of(self.classifier, parts.latent)
        if spec.layer not in known:
            short = ", ".join(name for name in known if "." not in name)
            raise UserError(
                f"learner.layer is {spec.layer!r}: give one after the replay layer that makes maps, of {short}."
            )

    def learn(self, experience: Experience) -> Iterator[Step]:
        classifier, head, spec = self.classifier, self.classifier.head, self.spec
        teacher, old = frozen(classifier), head.seen.clone()

        def loss(batch: Batch) -> Tensor:
            latents = classifier.latents(batch)
            if not old.any():
                return head.losses(classifier.decide(latents), batch.labels, batch.replayed).mean()
            maps, logits = with_maps(classifier, spec.layer, latents)
            teacher_maps, answers = with_maps(teacher, spec.layer, latents)
            likeliest = logits.detach().masked_fill(~old, -torch.inf).argmax(dim=1)
            student_map = attention(maps, logits, likeliest, learning=True)
            teacher_map = attention(teacher_maps, answers, likeliest, learning=False)
            classified = head.losses(logits, batch.labels, batch.replayed).mean()
            distilled = distillation(logits, answers.detach(), old, spec.temperature).mean()
            distance = (student_map - teacher_map).abs().sum(dim=1).mean()
            return classified + spec.strength * distilled + spec.attention * distance

        memory = self.begin(experience)
        yield from self.fit(loss, self.mixture(experience.data, memory), self.phase, experience.index)
        yield from self.end(experience, memory)


def with_maps(
    classifier: Classifier, layer: str, latents: Float[Tensor, "n *latent"]
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n classes"]]:
    """The maps of a layer, with a gradient, and the logits."""
    recorded: list[Tensor] = []

    def record(module: object, inputs: object, maps: Tensor) -> Tensor:
        recorded.append(maps if maps.requires_grad else maps.requires_grad_())
        return recorded[-1]

    handle = classifier.back.get_submodule(layer).register_forward_hook(record)
    try:
        with torch.enable_grad():
            logits = classifier.decide(latents)
    finally:
        handle.remove()
    return recorded[0], logits


def attention(
    maps: Float[Tensor, "n c h w"], logits: Float[Tensor, "n classes"], classes: Int[Tensor, " n"], learning: bool
) -> Float[Tensor, "n hw"]:
    """Grad-CAM: the ReLU of a weighted sum of the maps, scaled to length 1.

    The weight of a map is the mean over its places of the gradient of the class's logit. With `learning` the result has
    a gradient itself.
    """
    chosen = logits.gather(1, classes.unsqueeze(1)).sum()
    (gradients,) = torch.autograd.grad(chosen, maps, create_graph=learning, retain_graph=True)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    cam = F.normalize((weights * maps).sum(dim=1).relu().flatten(1), dim=1)
    return cam if learning else cam.detach()


@torch.no_grad()
def maps_of(classifier: Classifier, latent: tuple[int, ...]) -> list[str]:
    """The layers of the back that make maps."""
    layers: list[str] = []

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.dim() == 4:
                layers.append(name)

        return hook

    named = ((name, layer) for name, layer in classifier.back.named_modules() if name)
    handles = [layer.register_forward_hook(note(name)) for name, layer in named]
    try:
        classifier.eval().features(torch.zeros(1, *latent, device=classifier.blocked.device))
    finally:
        for handle in handles:
            handle.remove()
    return layers
