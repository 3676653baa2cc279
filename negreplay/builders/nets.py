"""From a recipe to the network that it names."""

from collections import OrderedDict
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.files import find
from negreplay.nets.library import classifiers, library_net, pretrained_net
from negreplay.nets.mobilenet import MobileNetV1, load_weights
from negreplay.nets.resnet import SHAPES, ResNet
from negreplay.nets.small import Perceptron, SmallNet
from negreplay.nets.weights import fill
from negreplay.recipe import ClassifierRecipe, WeightsRecipe


def build_backbone(
    recipe: ClassifierRecipe, weights: Path, image: Float[Tensor, "1 channels height width"], rectified: bool = True
) -> nn.Module:
    """The network without a head, with pretrained weights where the recipe names them.

    Args:
        recipe: the classifier whose backbone is built.
        weights: the folder of files of weights.
        image: an example of the images that the network is to take.
        rectified: whether the features of residual networks end in a ReLU.
    """
    kind = recipe.weights or WeightsRecipe("")
    file = find(kind.file, weights, "weights") if recipe.weights is not None else None
    match recipe.backbone:
        case "small":
            return SmallNet(image.shape[1])
        case "mlp":
            return Perceptron(image.numel())
        case "pixels":
            return nn.Sequential(OrderedDict(flatten=nn.Flatten()))
        case "mobilenet_v1":
            net = MobileNetV1(recipe.width, kind.activation, kind.padding, kind.eps, kind.mean, kind.std)
            if file is not None:
                load_weights(net, file)
        case name if name in SHAPES:
            net = ResNet(SHAPES[name], kind.mean, kind.std, rectified)
            if file is not None:
                fill(net, file, ("fc",))
        case name if name.startswith("timm/"):
            name = name.removeprefix("timm/")
            net = pretrained_net(name) if recipe.pretrained else library_net(name, kind.mean, kind.std)
            if file is not None:
                fill(net, file, classifiers(net))
        case name:
            known = ", ".join(("mobilenet_v1", *SHAPES, "small", "mlp", "pixels"))
            raise UserError(
                f"classifier.backbone is {name!r}: give {known}, or timm/ and the name of a network of timm."
            )
    return net
