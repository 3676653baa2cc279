"""Files of a text and of tensors by name, in which every flipped bit is noticed.

They are safetensors files, whose metadata has the text and two checksums: of the text alone, which can be read without
the tensors, and of all. Reading executes nothing.
"""

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

NOT_AS_WRITTEN = "its bits are not those that were written"


class Sealed(NamedTuple):
    """What is in a file: its text, or None if it is no sealed file; its tensors; whether every bit is as written."""

    text: str | None
    tensors: dict[str, Tensor]
    intact: bool


def seal(text: str, tensors: dict[str, Tensor]) -> bytes:
    """The content of a file."""
    whole = {name: of.detach().cpu().contiguous() for name, of in tensors.items()}
    return save(whole, {"negreplay": text, "text": _checksum(text, {}), "digest": _checksum(text, whole)})


def read_sealed(path: Path) -> Sealed:
    """Everything in a file.

    Raises:
        SafetensorError, OSError: it is no safetensors file, or cannot be read.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    text = metadata.get("negreplay")
    return Sealed(text, tensors, text is not None and metadata.get("digest") == _checksum(text, tensors))


class Header(NamedTuple):
    """The text of a file, or None if it is no sealed file, and the checksum of everything in it."""

    text: str | None
    digest: str


def read_header(path: Path) -> Header:
    """What can be read of a file without its tensors.

    Raises:
        SafetensorError, OSError: as above.
        ValueError: the text is not as it was written.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    text = metadata.get("negreplay")
    if text is not None and metadata.get("text") != _checksum(text, {}):
        raise ValueError(NOT_AS_WRITTEN)
    return Header(text, metadata.get("digest", ""))


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    total = blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
