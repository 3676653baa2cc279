"""From a recipe to the learner that it names."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from negreplay.builders.nets import build_backbone
from negreplay.data.data import Data
from negreplay.devices import Device
from negreplay.errors import UserError
from negreplay.learners.bic import BiC
from negreplay.learners.dgr import DGR
from negreplay.learners.eeil import EEIL
from negreplay.learners.ewc import EWC
from negreplay.learners.icarl import ICaRL
from negreplay.learners.il2m import IL2M
from negreplay.learners.latent_replay import LatentReplay
from negreplay.learners.learner import Learner, Parts
from negreplay.learners.lucir import LUCIR
from negreplay.learners.lwf import LwF
from negreplay.learners.lwm import LwM
from negreplay.learners.nearest_mean import NearestMean
from negreplay.learners.penalties import NoPenalty, Penalty, SynapticIntelligence
from negreplay.learners.rwalk import RWalk
from negreplay.learners.slda import SLDA
from negreplay.nets.classifier import INPUT, Classifier, cut
from negreplay.nets.cosine import CosineHead
from negreplay.nets.generator import Generator
from negreplay.nets.heads import ConsolidatedHead, CopiedHead, Head, PlainHead
from negreplay.nets.renorm import BatchRenorm2d, renormalise
from negreplay.nets.vae import VAE
from negreplay.recipe import (
    BiCRecipe,
    Choice,
    DGRRecipe,
    EEILRecipe,
    EWCRecipe,
    Front,
    HeadKind,
    ICaRLRecipe,
    IL2MRecipe,
    LatentReplayRecipe,
    LUCIRRecipe,
    LwFRecipe,
    LwMRecipe,
    Mode,
    NearestMeanRecipe,
    Outputs,
    Recipe,
    RWalkRecipe,
    SLDARecipe,
    Source,
    SynapticIntelligenceRecipe,
)
from negreplay.replay.exemplars import Exemplars, kept_images
from negreplay.replay.generated import Generated
from negreplay.replay.original import Original
from negreplay.replay.random import Random
from negreplay.replay.source import NoReplay, ReplaySource


def build_learner(
    recipe: Recipe, data: Data, seed: int, weights: Path, device: Device, rng: torch.Generator
) -> Learner:
    """The learner of one arm; arms of one seed start from the same weights."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        image, classes = data.read(torch.tensor([0])), len(data.names)
        rectified = not isinstance(recipe.learner, LUCIRRecipe)
        backbone = build_backbone(recipe.classifier, weights, image, rectified)
        front, back = cut(backbone, recipe.classifier.replay_layer, image)
        try:
            latent = front.eval()(image)
        except AssertionError as error:  # a transformer's, which takes images of one size
            raise UserError(
                f"classifier.backbone does not take these images ({error}): set stream.images.size."
            ) from error
        features = back.eval()(latent).shape[1]
        head = build_head(recipe, features, classes, rng)
        classifier = Classifier(front, back, head, recipe.classifier.front is Front.BLOCKED)
        if recipe.classifier.renorm is not None:
            renormalise(classifier, recipe.classifier.renorm)
        classifier.to(device.name)  # what is trained; what is recalled stays in main memory, as data does
        source = build_source(recipe, latent[0], data, device, rng)
        return _build_system(Parts(classifier, source, recipe, device, rng), tuple(latent.shape[1:]))


def _build_system(parts: Parts, latent: tuple[int, ...]) -> Learner:
    match parts.recipe.learner:
        case LatentReplayRecipe():
            return LatentReplay(build_penalty(parts.recipe, parts.classifier, parts.rng), parts)
        case LwFRecipe() as spec:
            return LwF(spec, parts)
        case LwMRecipe() as spec:
            return LwM(spec, parts, latent)
        case ICaRLRecipe() as spec:
            return ICaRL(spec, parts)
        case EEILRecipe() as spec:
            return EEIL(spec, parts)
        case LUCIRRecipe() as spec:
            return LUCIR(spec, parts)
        case IL2MRecipe():
            return IL2M(parts)
        case BiCRecipe() as spec:
            return BiC(spec, parts)
        case DGRRecipe() as spec:
            return DGR(spec, parts, VAE(latent, spec.width, spec.latent_dim).to(parts.device.name))
        case NearestMeanRecipe():
            return NearestMean(parts)
        case SLDARecipe() as spec:
            return SLDA(spec, parts)


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
    recipe: Recipe, example: Float[Tensor, "*latent"], data: Data, device: Device, rng: torch.Generator
) -> ReplaySource:
    """The source of replayed patterns, which are like the `example`."""
    replay, spec, latent, classes = recipe.replay, recipe.generator, tuple(example.shape), len(data.names)
    match replay.source:
        case Source.NONE:
            return NoReplay()
        case Source.ORIGINAL if replay.choice is Choice.REPLACED:
            return Original(latent, replay.memory, rng)
        case Source.ORIGINAL:
            everything = len(data.labels) if replay.choice is Choice.ALL else 0
            size = everything or replay.memory or (replay.per_class or 0) * classes
            if size < classes:
                raise UserError(f"replay.memory is {size} for {classes} classes: give at least one pattern for each.")
            images = kept_images(recipe.arriving.images, example) if recipe.classifier.replay_layer == INPUT else None
            return Exemplars(example, classes, size, replay.per_class, replay.choice, images, rng)
        case Source.RANDOM:
            return Random(latent, classes, replay.memory, rng)
        case Source.GENERATED:
            assert spec is not None, "Recipe demands a generator for generated replay"
            signed = bool((example < 0).any())
            generator = Generator(latent, classes, spec.latent_dim, spec.body, spec.width, spec.silent, signed)
            return Generated(generator.to(device.name), replay.memory, spec, device, rng)


def build_penalty(recipe: Recipe, classifier: Classifier, rng: torch.Generator) -> Penalty:
    """The penalty on what learns; with CWR* and its forerunners batch normalisation and the head are left free."""
    learner = recipe.learner
    assert isinstance(learner, LatentReplayRecipe), "no other learner has a penalty"
    free: set[int] = set()
    if learner.head is not HeadKind.PLAIN:
        norms = [m for m in classifier.modules() if isinstance(m, BatchRenorm2d | nn.BatchNorm2d)]
        free = {id(p) for m in (*norms, classifier.head) for p in m.parameters()}
    weights = [p for p in classifier.parameters() if p.requires_grad and id(p) not in free]
    match learner.penalty:
        case None:
            return NoPenalty()
        case SynapticIntelligenceRecipe() as spec:
            return SynapticIntelligence(weights, spec)
        case EWCRecipe() as spec:
            return EWC(weights, spec, rng)
        case RWalkRecipe() as spec:
            return RWalk(weights, spec)
