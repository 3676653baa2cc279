"""Any network of timm, the library of image models, as a backbone.

timm is an optional dependency (`pip install 'negreplay[vision]'`), imported only where it is used.
"""

import re
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from negreplay.errors import UserError
from negreplay.nets.layers import IMAGENET_MEAN, IMAGENET_STD, Normalise

Colour = tuple[float, float, float]


def library_net(name: str, mean: Colour = IMAGENET_MEAN, std: Colour = IMAGENET_STD) -> nn.Module:
    """The network of that name in timm, without its classifier: RGB images in [0, 1] to features, random weights.

    Its layers have timm's names; before them, images go through `normalise`.

    Raises:
        UserError: timm is missing, or has no such network.
    """
    return _normalised(_create(name, pretrained=False), mean, std)


def net_as_trained(name: str) -> nn.Module:
    """The network of that name with random weights, which takes images as timm's own weights of it want them."""
    net = _create(name, pretrained=False)
    config = _timm().data.resolve_model_data_config(net)
    return _normalised(net, config["mean"], config["std"])


def pretrained_net(name: str) -> nn.Module:
    """The network of that name with the weights that timm offers for it, and their mean and standard deviation.

    The name may say which weights, as in `resnet18.a1_in1k`. They are downloaded once and kept where timm keeps them.

    Raises:
        UserError: timm is missing, has no such network or no weights for it, or they cannot be downloaded.
    """
    try:
        net = _create(name, pretrained=True)
    except UserError:
        raise
    except Exception as error:  # whatever the library, the hub and the network below them raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
        raise UserError(
            f"the weights of timm/{name} cannot be downloaded ({reason}): "
            "connect to a network, or name a file in classifier.weights."
        ) from error
    config = _timm().data.resolve_model_data_config(net)
    return _normalised(net, config["mean"], config["std"])


def classifiers(net: nn.Module) -> tuple[str, ...]:
    """The names of the layers that timm counts as the classifier; a file of the network's weights may have them."""
    config: Any = net.pretrained_cfg
    names = config.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def _create(name: str, pretrained: bool) -> nn.Module:
    timm = _timm()
    if not timm.is_model(name):
        close = _similar(name.split(".")[0], timm.list_models())
        remedy = f"did you mean timm/{' or timm/'.join(close)}?" if close else "timm.list_models() gives their names."
        raise UserError(f"classifier.backbone is 'timm/{name}', which timm does not have: {remedy}")
    if pretrained and not timm.models.get_pretrained_cfg(name).has_weights:
        raise UserError(f"timm has no weights for timm/{name}: set classifier.pretrained to false.")
    net = timm.create_model(name, pretrained=pretrained, num_classes=0)
    for module in net.modules():
        # In a network that is cut before it, an activation in place would overwrite the latents of a memory.
        if "inplace" in vars(module):
            module.inplace = False
    return net


def _similar(name: str, known: list[str]) -> list[str]:
    """Names up to three of the known ones: those that contain the name, or else those that are spelled like it."""
    containing = [other for other in known if name in other]
    if containing:
        return containing[:3]
    plain = {_without_separators(other): other for other in known}
    return [plain[close] for close in get_close_matches(_without_separators(name), plain, n=3, cutoff=0.75)]


def _without_separators(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _normalised(net: nn.Module, mean: Colour, std: Colour) -> nn.Module:
    """Gives a network a first layer `normalise`, and leaves the names of all others as they are."""
    kind = type(net)
    net.add_module("normalise", Normalise(mean, std))
    # torch.fx, with which `cut` records a network, looks up `forward` in its class: a hook would be overlooked.
    forward = {"forward": lambda self, images: kind.forward(self, self.normalise(images))}
    net.__class__ = type(kind.__name__, (kind,), forward)
    return net


@cache
def _timm() -> ModuleType:
    try:
        prepare_torchvision()
        return import_module("timm")
    except ModuleNotFoundError as error:
        raise UserError(
            f"classifier.backbone is of timm, but {error.name} is not installed: pip install 'negreplay[vision]'."
        ) from None


_DECLARED: list[torch.library.Library] = []
"""Declarations of operators; each lasts as long as the library that owns it, so that we keep the libraries here."""


def prepare_torchvision() -> None:
    """Imports torchvision, which timm needs, also where its compiled part was built for another device than torch.

    In that case the import fails for want of operators that the compiled part would have declared. Backbones never call
    them, so a declaration is enough (torchvision 0.22 to 0.29 beside a torch without CUDA).
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        _DECLARED.append(library)
        import_module("torchvision")
