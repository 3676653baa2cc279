"""Files of pretrained weights: safetensors, which hold numbers and no code."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from negreplay.errors import UserError


def read_weights(path: Path) -> dict[str, Tensor]:
    """What a safetensors file holds.

    Raises:
        UserError: the file is missing or no safetensors file.
    """
    if not path.is_file():
        raise UserError(f"there is no file of weights {path}: give weights.file the path of a safetensors file.")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file, or only a part of one ({error}): download it again.") from None


@torch.no_grad()
def fill(net: nn.Module, path: Path, classifiers: tuple[str, ...]) -> None:
    """Fills a network whose first layer is `normalise` from a file with the names of its own state, no more, no less.

    Only what belongs to one of the `classifiers`, layers that the network has been built without, is left in the file.
    What belongs to `normalise`, and counters of minibatches, may be missing in it.

    Raises:
        UserError: the file is missing or no safetensors file, or its names or shapes are not the network's.
    """
    found, state = read_weights(path), net.state_dict()
    for key, tensor in state.items():
        if key.startswith("normalise.") or (key.endswith(".num_batches_tracked") and key not in found):
            continue
        if key not in found:
            raise UserError(
                f"{path} has no {key!r}: weights.file must be of classifier.backbone, saved with its names."
            )
        if found[key].shape != tensor.shape:
            shapes = f"{tuple(found[key].shape)}, not {tuple(tensor.shape)}"
            raise UserError(f"{path} is of another network, its {key!r} is {shapes}: change classifier.backbone.")
        tensor.copy_(found[key])
    for key in found.keys() - state.keys():
        if not any(key.startswith(f"{classifier}.") for classifier in classifiers):
            raise UserError(f"{path} is of another network, it has {key!r} too: change classifier.backbone.")
