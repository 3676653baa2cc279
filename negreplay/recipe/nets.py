"""What is trained, as values: the classifier's network and the generator."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from negreplay.recipe.checks import LARGEST, MOST_AT_ONCE, MOST_EPOCHS, MOST_STEPS, WIDEST, Strict, above_zero, in_range


class Mean(StrEnum):
    """The mean subtracted from a row before it is consolidated.

    `PER_CLASS` is the mean of the paper (Section 3.3). `GLOBAL` is the one scalar of the authors' released code.
    """

    PER_CLASS = "per-class"
    GLOBAL = "global"


class HeadKind(StrEnum):
    """How the head keeps the rows of earlier classes.

    `CWR_STAR` consolidates its rows (Algorithm 1). Its forerunners `CWR` and `CWR_PLUS` copy them. `PLAIN` is a linear
    layer, which keeps nothing.
    """

    CWR = "cwr"
    CWR_PLUS = "cwr+"
    CWR_STAR = "cwr*"
    PLAIN = "plain"


class Outputs(StrEnum):
    """Which outputs of a plain head take part in the softmax of a training pattern.

    `ALL` are all outputs. `SEEN` are those of the classes seen so far. `CURRENT` are those of the current experience
    only (the labels trick). `OWN` are those of the experience in which the pattern arrived (task-incremental learning);
    this experience must be known when the classifier predicts, too.
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
    """A file of pretrained weights, and how the network that they come from normalised, padded and activated.

    `mean` and `std` are per colour channel on images in [0, 1]. The other fields are for `mobilenet_v1` only:
    `activation` is `relu` or `relu6`, `padding` says where convolutions of stride 2 pad (`symmetric` or
    `right-bottom`), and `eps` is added to the variance in batch normalisation.
    """

    file: str
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    activation: str = "relu"
    padding: str = "symmetric"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        activations, paddings = ("relu", "relu6"), ("symmetric", "right-bottom")
        if self.activation not in activations:
            raise ValueError(f"weights.activation is {self.activation!r}: give one of {activations}.")
        if self.padding not in paddings:
            raise ValueError(f"weights.padding is {self.padding!r}: give one of {paddings}.")
        if not all(abs(value) <= LARGEST for value in self.mean):
            raise ValueError(f"weights.mean is {self.mean}: give three numbers of size {LARGEST} or less.")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"weights.std is {self.std}: give three numbers above 0.")
        if max(self.std) > LARGEST:
            raise ValueError(f"weights.std is {self.std}: give three numbers of {LARGEST} or less.")
        above_zero(self, "weights", "eps")


@dataclass(frozen=True)
class RenormRecipe(Strict):
    """The schedule of batch renormalisation.

    The paper gives no values, so these are those of the released code of AR1*. In the first experience the limits of r
    and d open from (1, 0) to (`r_max`, `d_max`), by `opening` for each pattern seen.
    """

    first_momentum: float = 0.01
    momentum: float = 5e-5
    r_max: float = 1.25
    d_max: float = 0.5
    opening: float = 4.1e-5

    def __post_init__(self) -> None:
        for name in ("first_momentum", "momentum"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"renorm.{name} is {value}: give a number from 0 to 1.")
        in_range(self, "renorm", 1, LARGEST, "r_max")
        in_range(self, "renorm", 0, LARGEST, "d_max", "opening")


@dataclass(frozen=True)
class ClassifierRecipe(Strict):
    """The network: `backbone`, cut after its layer named `replay_layer`.

    A backbone is `mobilenet_v1` (of a `width` from 1/32 to 8), `resnet18`, `resnet18-32`, `resnet20-32` (the last two
    for images of 32x32), `small`, or any network of timm as `timm/NAME`. It starts from the file `weights`. With
    `pretrained` it starts from the weights that timm downloads, and images are normalised by the mean and standard
    deviation that belong to these. Without either it starts from random weights.
    """

    backbone: str
    replay_layer: str
    front: Front = Front.BLOCKED
    width: float = 1.0
    weights: WeightsRecipe | None = None
    renorm: RenormRecipe | None = field(default_factory=RenormRecipe)
    pretrained: bool = False

    def __post_init__(self) -> None:
        mobile, library = self.backbone == "mobilenet_v1", self.backbone.startswith("timm/")
        above_zero(self, "classifier", "width")
        if self.width != 1 and not mobile:
            raise ValueError("classifier.width has no effect: only mobilenet_v1 has one; remove it.")
        in_range(self, "classifier", 1 / 32, 8, "width")  # from 1 channel in the narrowest layer to 8192 in the widest
        if self.pretrained and not library:
            raise ValueError("classifier.pretrained is true: only timm/... has weights to download.")
        if self.weights is None:
            return
        if self.backbone == "small":
            raise ValueError("classifier.weights has no effect: small is not pretrained; remove it.")
        if self.pretrained:
            raise ValueError("classifier.weights and classifier.pretrained exclude one another: remove one.")
        if not mobile and replace(self.weights, activation="relu", padding="symmetric", eps=1e-5) != self.weights:
            raise ValueError("weights.activation, padding and eps are of mobilenet_v1 only: remove them.")


@dataclass(frozen=True)
class GeneratorRecipe(Strict):
    """The conditional VAE (Section 4.1, Appendices D and G), and how long an experience trains it.

    An experience lasts for `epochs`, or the first one for `first_iterations` and each later one for `iterations`. A
    minibatch has `minibatch` patterns, of which `per_minibatch` are replayed; None mixes them in proportion, as for the
    classifier. `body` is `conv` or `dense`, and `width` is its number of channels or units. In the decoder each class
    does without the share `silent` of them. `beta` weighs the divergence of the latent space from the normal
    distribution. `eta` weighs the classifier's loss on reconstructions; 0 is better where the classifier forgets, for
    the generator would learn to forget from it.

    Each experience has a fresh optimiser, `adam` or plain `sgd`, with the learning rate `lr`. Where `floor` is given,
    the rate is multiplied by Equation 16 of the experience's number, which falls from 1 to `floor` (Table 11).
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
        if self.body not in ("conv", "dense"):
            raise ValueError(f"generator.body is {self.body!r}: give conv or dense.")
        in_range(self, "generator", 1, WIDEST, "width", "latent_dim")
        in_range(self, "generator", 1, MOST_AT_ONCE, "minibatch")
        in_range(self, "generator", 1, MOST_EPOCHS, "epochs")
        in_range(self, "generator", 1, MOST_STEPS, "first_iterations", "iterations")
        in_range(self, "generator", 0, LARGEST, "beta", "eta", "lr")
        if not 0 <= self.silent < 1:
            raise ValueError(f"generator.silent is {self.silent}: give a number from 0 to below 1.")
        if self.optimizer not in ("adam", "sgd"):
            raise ValueError(f"generator.optimizer is {self.optimizer!r}: give adam or sgd.")
        if self.floor is not None and not 0 < self.floor <= 1:
            raise ValueError(f"generator.floor is {self.floor}: give a number above 0, up to 1.")
        given = (self.epochs is not None, self.first_iterations is not None, self.iterations is not None)
        if given not in ((True, False, False), (False, True, True)):
            raise ValueError("generator needs either epochs, or both first_iterations and iterations.")
        share = self.per_minibatch
        if share is not None and not 1 <= share < self.minibatch:
            raise ValueError(
                f"generator.per_minibatch is {share}: give 1 to {self.minibatch - 1}, fewer than generator.minibatch."
                if self.minibatch > 1
                else "generator.per_minibatch is given, but a generator.minibatch of 1 has no room for it: remove it."
            )
