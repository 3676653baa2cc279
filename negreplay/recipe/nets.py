"""What is trained, as values: the classifier's network and the generator."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from negreplay.recipe.checks import Strict, at_least, check


class Mean(StrEnum):
    """The mean subtracted from a row before it is consolidated.

    `PER_CLASS` is the paper's (Section 3.3), `GLOBAL` the one scalar of the authors' released code.
    """

    PER_CLASS = "per-class"
    GLOBAL = "global"


class HeadKind(StrEnum):
    """`CWR_STAR` consolidates its rows (Algorithm 1), its forerunners copy them; `PLAIN` is a linear layer."""

    CWR = "cwr"
    CWR_PLUS = "cwr+"
    CWR_STAR = "cwr*"
    PLAIN = "plain"


class Outputs(StrEnum):
    """Which outputs of a plain head take part in the softmax of a training pattern.

    `ALL`; those of the classes `SEEN` so far; those of the `CURRENT` experience only (the labels trick); or those that
    arrived in the pattern's `OWN` experience, which is then to be known when the classifier is asked, too
    (task-incremental learning).
    """

    ALL = "all"
    SEEN = "seen"
    CURRENT = "current"
    OWN = "own-experience"


class Front(StrEnum):
    """When the layers up to the replay layer learn: never, in the first experience only, or always."""

    BLOCKED = "blocked"
    FIRST = "first-experience"
    TRAINED = "trained"


@dataclass(frozen=True)
class WeightsRecipe(Strict):
    """A file of pretrained weights with what belongs to it: how its network normalised, padded and activated.

    `mean` and `std` are per colour channel on images in [0, 1]. Of `mobilenet_v1` only: `activation` is `relu` or
    `relu6`; `padding` is `symmetric` or `right-bottom` (where stride-2 convolutions pad); `eps` is the batch norm's.
    """

    file: str
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    activation: str = "relu"
    padding: str = "symmetric"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        activations, paddings = ("relu", "relu6"), ("symmetric", "right-bottom")
        check(self.activation in activations, f"weights.activation is {self.activation!r}: give one of {activations}.")
        check(self.padding in paddings, f"weights.padding is {self.padding!r}: give one of {paddings}.")
        check(min(self.std) > 0, f"weights.std is {self.std}: give three numbers above 0.")
        check(self.eps > 0, f"weights.eps is {self.eps}: give a number above 0.")


@dataclass(frozen=True)
class RenormRecipe(Strict):
    """The batch-renormalisation schedule: the released AR1* values, for the paper gives none.

    In the first experience r and d open from (1, 0) to (`r_max`, `d_max`) by `opening` per pattern seen.
    """

    first_momentum: float = 0.01
    momentum: float = 5e-5
    r_max: float = 1.25
    d_max: float = 0.5
    opening: float = 4.1e-5

    def __post_init__(self) -> None:
        for name in ("first_momentum", "momentum"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"renorm.{name} is {value}: give a number from 0 to 1.")
        at_least(1, self, "renorm", "r_max")
        at_least(0, self, "renorm", "d_max", "opening")


@dataclass(frozen=True)
class ClassifierRecipe(Strict):
    """The network: `backbone`, cut after its layer named `replay_layer`.

    A backbone is `mobilenet_v1` (of any `width`), `resnet18`, `resnet18-32`, `resnet20-32` (the last two for images of
    32x32), `small`, or any network of timm as `timm/NAME`. It starts from `weights`, a file; with `pretrained`, from
    those that timm downloads, with the mean and standard deviation that belong to them; or from random ones.
    """

    backbone: str
    replay_layer: str
    front: Front = Front.BLOCKED
    width: float = 1.0
    weights: WeightsRecipe | None = None
    renorm: RenormRecipe | None = field(default_factory=RenormRecipe)
    pretrained: bool = False

    def __post_init__(self) -> None:
        check(self.width > 0, f"classifier.width is {self.width}: give a number above 0.")
        mobile, library = self.backbone == "mobilenet_v1", self.backbone.startswith("timm/")
        check(mobile or self.width == 1, "classifier.width has no effect: only mobilenet_v1 has one; remove it.")
        check(library or not self.pretrained, "classifier.pretrained is true: only timm/... has weights to download.")
        weights = self.weights
        if weights is not None:
            check(self.backbone != "small", "classifier.weights has no effect: small is not pretrained; remove it.")
            check(not self.pretrained, "classifier.weights and classifier.pretrained exclude one another: remove one.")
            plain = replace(weights, activation="relu", padding="symmetric", eps=1e-5) == weights
            check(mobile or plain, "weights.activation, padding and eps are of mobilenet_v1 only: remove them.")


@dataclass(frozen=True)
class GeneratorRecipe(Strict):
    """The conditional VAE (Section 4.1, Appendices D and G) and how long an experience trains it.

    Either `epochs`, or `first_iterations` and `iterations` (the first experience and each later one), with minibatches
    of `minibatch` patterns of which `per_minibatch` are replayed (None: in proportion, as for the classifier).
    `body` is `conv` or `dense`, `width` its number of channels or units; in the decoder each class does without the
    share `silent` of them. `eta` weighs what the classifier says of reconstructions; it is better 0 where the
    classifier forgets, for the generator would learn to forget from it. The optimiser, a fresh one in each experience,
    is `adam` or plain `sgd`; its rate `lr` is multiplied by Equation 16 of the experience's number, which falls from 1
    to its `floor`, where that is given (Table 11).
    """

    body: str = "dense"
    width: int = 512
    silent: float = 0.7
    latent_dim: int = 100
    beta: float = 0.1
    eta: float = 0.01
    optimizer: str = "adam"
    lr: float = 2e-3
    floor: float | None = None
    minibatch: int = 128
    per_minibatch: int | None = None
    epochs: int | None = None
    first_iterations: int | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        check(self.body in ("conv", "dense"), f"generator.body is {self.body!r}: give conv or dense.")
        at_least(1, self, "generator", "width", "latent_dim", "minibatch", "epochs", "first_iterations", "iterations")
        at_least(0, self, "generator", "beta", "eta", "lr")
        check(0 <= self.silent < 1, f"generator.silent is {self.silent}: give a number from 0 to below 1.")
        known = self.optimizer in ("adam", "sgd")
        check(known, f"generator.optimizer is {self.optimizer!r}: give adam or sgd.")
        falls = self.floor is None or 0 < self.floor <= 1
        check(falls, f"generator.floor is {self.floor}: give a number above 0, up to 1.")
        counted = self.first_iterations is not None and self.iterations is not None
        check(
            counted != (self.epochs is not None) and (counted or self.first_iterations is self.iterations),
            "generator needs either epochs, or both first_iterations and iterations.",
        )
        share = self.per_minibatch
        check(
            share is None or 1 <= share < self.minibatch,
            f"generator.per_minibatch is {share}: give 1 to {self.minibatch - 1}, fewer than generator.minibatch.",
        )
