"""What a learner is built for, where only a shape and a device are known."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from negreplay.errors import UserError


def example_on(device: Any, shape: tuple[int, ...]) -> Float[Tensor, "*shape"]:
    """A black image of that shape in main memory, for a learner that computes on this device.

    Raises:
        UserError: the device cannot be used.
    """
    try:
        return torch.zeros(shape, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device is {str(device)!r}, which cannot be used here: give cpu.") from error
