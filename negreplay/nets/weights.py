"""Files of pretrained weights: safetensors, which hold numbers and no code."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from negreplay.errors import UserError

CHECKSUMS = {
    "mobilenet_v1_1.0_imagenet.safetensors": "74a6a3728e62e10e5dcb4983b9c51b1be00d828172e8e96ab74a6615b85b09ef"
}
"""The SHA-256 of files that shipped studies name: in them a flipped bit is noticed that leaves a number finite."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a safetensors file by their names.

    Raises:
        UserError: the file is missing, is no safetensors file, holds a number that is not finite in float32, or has the
            name of a file with another checksum.
    """
    if not path.is_file():
        raise UserError(f"there is no file of weights {path}: give weights.file the path of a safetensors file.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        if _is_pickle(path):
            # We never unpickle it ourselves, for a pickle may run any code.
            raise UserError(
                f"{path} was saved with torch.save, but weights.file must be a safetensors file: convert it with "
                f"safetensors.torch.save_file(torch.load({str(path)!r}, weights_only=True), 'NEW.safetensors')."
            ) from None
        raise UserError(f"{path} is no safetensors file, or only a part of one ({error}): download it again.") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.float().isfinite().all():
            raise UserError(f"{path} is damaged, for {name!r} has values that are not finite: download it again.")
    if (known := CHECKSUMS.get(path.name)) and hashlib.sha256(path.read_bytes()).hexdigest() != known:
        raise UserError(
            f"{path} is not the file of this name that the studies are measured with, or is damaged: copy it again, or "
            "rename your own and give weights.file that name."
        )
    return tensors


def _is_pickle(path: Path) -> bool:
    """Whether a file is one of `torch.save`: a zip archive, or, before torch 1.6, a bare pickle."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or start[:1] == b"\x80"


def copy_tensor(path: Path, name: str, source: Tensor, target: Tensor) -> None:
    """Copies a tensor of a file of weights into one of a network's, which has the same shape.

    Raises:
        UserError: one of them holds floating-point numbers and the other one integers or truth values.
    """
    if _kind(source) != _kind(target):
        types = f"{source.dtype}, not {target.dtype}".replace("torch.", "")
        raise UserError(f"{path} does not fit, for {name!r} is of type {types}: give weights.file another file.")
    target.copy_(source)


def _kind(tensor: Tensor) -> tuple[bool, ...]:
    return tensor.is_floating_point(), tensor.is_complex(), tensor.dtype is torch.bool


@torch.no_grad()
def fill(net: nn.Module, path: Path, classifiers: tuple[str, ...]) -> None:
    """Fills a network whose first layer is `normalise` from a file that has the names of the network's own state.

    The file may have more names only for the layers called `classifiers`, which the network was built without. It may
    lack only the names of `normalise` and of counters of minibatches.

    Raises:
        UserError: the file is refused by `read_weights`, or its names, shapes or types are not the network's.
    """
    tensors, state = read_weights(path), net.state_dict()
    for key, tensor in state.items():
        if key.startswith("normalise.") or (key.endswith(".num_batches_tracked") and key not in tensors):
            continue
        if key not in tensors:
            raise UserError(
                f"{path} has no {key!r}: weights.file must be of classifier.backbone, saved with its names."
            )
        if tensors[key].shape != tensor.shape:
            shapes = f"{tuple(tensors[key].shape)}, not {tuple(tensor.shape)}"
            raise UserError(f"{path} is of another network, its {key!r} is {shapes}: change classifier.backbone.")
        copy_tensor(path, key, tensors[key], tensor)
    for key in tensors.keys() - state.keys():
        if not any(key.startswith(f"{classifier}.") for classifier in classifiers):
            raise UserError(f"{path} is of another network, it has {key!r} too: change classifier.backbone.")
