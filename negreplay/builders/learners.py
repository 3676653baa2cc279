"""From a recipe to the learner that it names."""

from copy import deepcopy
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.builders.nets import build_backbone
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.learners.bic import BiC
from negreplay.learners.dgr import DGR
from negreplay.learners.eeil import EEIL
from negreplay.learners.ewc import EWC
from negreplay.learners.fecam import FeCAM
from negreplay.learners.icarl import ICaRL
from negreplay.learners.il2m import IL2M
from negreplay.learners.klda import KLDA
from negreplay.learners.latent_replay import LatentReplay
from negreplay.learners.learner import Learner, Parts
from negreplay.learners.lucir import LUCIR
from negreplay.learners.lwf import LwF
from negreplay.learners.lwm import LwM
from negreplay.learners.nearest_mean import NearestMean
from negreplay.learners.penalties import NoPenalty, Penalty, SynapticIntelligence
from negreplay.learners.ranpac import RanPAC
from negreplay.learners.rda import RDA
from negreplay.learners.ridge import Ridge
from negreplay.learners.rwalk import RWalk
from negreplay.learners.slda import SLDA
from negreplay.nets.classifier import INPUT, Classifier, cut
from negreplay.nets.cosine import CosineHead
from negreplay.nets.generator import Generator
from negreplay.nets.heads import ConsolidatedHead, CopiedHead, Head, PlainHead
from negreplay.nets.renorm import BatchRenorm2d, renormalise
from negreplay.recipe import (
    BiCRecipe,
    Choice,
    DGRRecipe,
    EEILRecipe,
    EWCRecipe,
    FeCAMRecipe,
    Front,
    HeadKind,
    ICaRLRecipe,
    IL2MRecipe,
    ImageRecipe,
    KLDARecipe,
    LatentReplayRecipe,
    LUCIRRecipe,
    LwFRecipe,
    LwMRecipe,
    Mode,
    NearestMeanRecipe,
    Outputs,
    RanPACRecipe,
    RDARecipe,
    Recipe,
    RidgeRecipe,
    RWalkRecipe,
    SLDARecipe,
    Source,
    SynapticIntelligenceRecipe,
)
from negreplay.recipe.systems.system import SystemRecipe
from negreplay.replay.degraded import Degraded
from negreplay.replay.exemplars import Exemplars, kept_images
from negreplay.replay.generated import Generated
from negreplay.replay.original import Original
from negreplay.replay.random import Random
from negreplay.replay.source import NoReplay, ReplaySource
from negreplay.replay.statistics import Statistics

SYSTEMS: dict[type[SystemRecipe], type[Learner]] = {
    LatentReplayRecipe: LatentReplay,
    LwFRecipe: LwF,
    LwMRecipe: LwM,
    ICaRLRecipe: ICaRL,
    EEILRecipe: EEIL,
    LUCIRRecipe: LUCIR,
    IL2MRecipe: IL2M,
    BiCRecipe: BiC,
    DGRRecipe: DGR,
    NearestMeanRecipe: NearestMean,
    SLDARecipe: SLDA,
    KLDARecipe: KLDA,
    FeCAMRecipe: FeCAM,
    RDARecipe: RDA,
    RidgeRecipe: Ridge,
    RanPACRecipe: RanPAC,
}
"""Each system's value, and the learner that it describes."""


def build_learner(
    recipe: Recipe,
    image: Float[Tensor, "channels height width"],
    classes: int,
    *,
    seed: int = 0,
    weights: Path = Path("weights"),
    device: Device | None = None,
    rng: torch.Generator | None = None,
    patterns: int | None = None,
    system: type[Learner] | None = None,
    backbone: nn.Module | None = None,
) -> Learner:
    """The learner of one arm, before its first experience; arms of one seed start from the same weights.

    Args:
        recipe: how it learns.
        image: an example of what it learns from, with values from 0 to 1.
        classes: how many classes there will be.
        seed: draws the weights that no file gives, and all that is random in learning unless `rng` is given.
        weights: the folder of files of weights.
        device: where it computes; a processor, in float32, if it is not given.
        rng: draws all that is random in learning.
        patterns: how many training patterns there will be; only a memory of all of them needs it.
        system: a learner of one's own, in place of the one that the recipe names.
        backbone: a network of one's own, from images to features (n, f), in place of the one that the recipe names. It
            is copied. It is cut after its layer `classifier.replay_layer`, or before all of them at `input`.

    Raises:
        UserError: the recipe does not fit the image or the number of classes, or a file of weights is missing.
    """
    device = device or Device()
    rng = rng or torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        front, back, latent, features = _halves(recipe, image.unsqueeze(0), weights, deepcopy(backbone))
        if latent.dim() != 3 and any(phase and phase.mirrored for phase in (recipe.first, recipe.following)):
            raise UserError("phase.mirrored has no effect: classifier.replay_layer gives no maps; set it to false.")
        head = build_head(recipe, features, classes, rng)
        classifier = Classifier(front, back, head, recipe.classifier.front is Front.BLOCKED)
        if recipe.classifier.renorm is not None:
            renormalise(classifier, recipe.classifier.renorm)
        classifier.to(device.name)  # what is trained; what is recalled stays in main memory, as data does
        source = build_source(recipe, latent, classes, patterns, device, rng)
        if recipe.replay.degraded is not None:
            source = Degraded(source, recipe.replay.degraded, rng)
        penalty = build_penalty(recipe, classifier, rng)
        parts = Parts(classifier, source, penalty, tuple(latent.shape), recipe, device, rng)
        return (system or SYSTEMS[type(recipe.learner)])(recipe.learner, parts)


def _halves(
    recipe: Recipe, image: Float[Tensor, "1 channels height width"], weights: Path, backbone: nn.Module | None
) -> tuple[nn.Module, nn.Module, Float[Tensor, "*latent"], int]:
    """The network below and above the replay layer, a latent, and the number of features."""
    backbone = backbone or build_backbone(recipe.classifier, weights, image, recipe.learner.rectified)
    front, back = cut(backbone, recipe.classifier.replay_layer, image)
    try:
        latent = front.eval()(image)
    except AssertionError as error:  # a transformer's, which takes images of one size
        raise UserError(f"classifier.backbone does not take these images ({error}): set stream.images.size.") from error
    return front, back, latent[0], back.eval()(latent).shape[1]


def build_head(recipe: Recipe, features: int, classes: int, rng: torch.Generator) -> Head:
    """The head of a learner."""
    learner, mode = recipe.learner, recipe.replay.mode
    match learner:
        case LatentReplayRecipe(head=HeadKind.CWR_STAR):
            return ConsolidatedHead(features, classes, mode, learner.mean)
        case LatentReplayRecipe(head=HeadKind.CWR | HeadKind.CWR_PLUS):
            return CopiedHead(features, classes, learner.head is HeadKind.CWR_PLUS, rng)
        case LatentReplayRecipe():
            return PlainHead(features, classes, mode, learner.outputs)
        case LwFRecipe() | DGRRecipe():
            return PlainHead(features, classes, Mode.POSITIVE, learner.outputs)
        case LUCIRRecipe():
            return CosineHead(features, classes)
        case _:
            return PlainHead(features, classes, Mode.POSITIVE, Outputs.SEEN)


def build_source(
    recipe: Recipe,
    example: Float[Tensor, "*latent"],
    classes: int,
    patterns: int | None,
    device: Device,
    rng: torch.Generator,
) -> ReplaySource:
    """The source of replayed patterns, which are like the `example`."""
    replay, spec, latent = recipe.replay, recipe.generator, tuple(example.shape)
    match replay.source:
        case Source.NONE:
            return NoReplay()
        case Source.ORIGINAL if replay.choice is Choice.REPLACED:
            return Original(latent, replay.memory, rng)
        case Source.ORIGINAL:
            if replay.choice is Choice.ALL and patterns is None:
                raise UserError("replay.choice is all: say how many training patterns there will be.")
            everything = patterns if replay.choice is Choice.ALL else None
            size = everything or replay.memory or (replay.per_class or 0) * classes
            if size < classes:
                raise UserError(f"replay.memory is {size} for {classes} classes: give at least one pattern for each.")
            read = recipe.stream.images if recipe.stream else ImageRecipe()
            images = kept_images(read, example) if recipe.classifier.replay_layer == INPUT else None
            return Exemplars(example, classes, size, replay.per_class, replay.choice, images, rng)
        case Source.STATISTICS:
            return Statistics(latent, classes, replay, rng)
        case Source.RANDOM:
            return Random(latent, classes, replay.memory, rng)
        case Source.GENERATED:
            assert spec is not None, "Recipe demands a generator for generated replay"
            signed = bool((example < 0).any())
            generator = Generator(latent, classes, spec.latent_dim, spec.body, spec.width, spec.silent, signed)
            return Generated(generator.to(device.name), replay.memory, spec, device, rng)


def build_penalty(recipe: Recipe, classifier: Classifier, rng: torch.Generator) -> Penalty:
    """The penalty of a learner; with CWR* and its forerunners it leaves batch normalisation and the head free."""
    learner = recipe.learner
    if not isinstance(learner, LatentReplayRecipe) or learner.penalty is None:
        return NoPenalty()
    free: set[int] = set()
    if learner.head is not HeadKind.PLAIN:
        norms = [m for m in classifier.modules() if isinstance(m, BatchRenorm2d | nn.BatchNorm2d)]
        free = {id(p) for m in (*norms, classifier.head) for p in m.parameters()}
    weights = [p for p in classifier.parameters() if p.requires_grad and id(p) not in free]
    match learner.penalty:
        case SynapticIntelligenceRecipe() as spec:
            return SynapticIntelligence(weights, spec)
        case EWCRecipe() as spec:
            return EWC(weights, spec, rng)
        case RWalkRecipe() as spec:
            return RWalk(weights, spec)
