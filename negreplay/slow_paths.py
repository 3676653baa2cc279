"""Two slow paths of processors that a training loop falls into; a program closes them for all of its process."""

import ctypes
import sys

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names of glibc's `mallopt` parameters."""


def avoid_slow_paths() -> None:
    """Keeps freed memory, and takes numbers too small for float32's usual form (below 1.2e-38) for 0.

    To be called before the first tensor is made: threads take over how their maker computes, when they start.
    """
    # A weight whose gradient has become 0 leaves Adam a mean that shrinks by 0.9 a step, which after 800 steps is such
    # a number and, rounded, stays one for good; a processor takes many times as long for it.
    torch.set_flush_denormal(True)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Large activations are no longer mapped and unmapped at every step (glibc on Linux; elsewhere nothing)."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**31 - 1)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 256 * 2**20)
