"""A tuned process computes without the numbers that processors are slow with, in all of its threads."""

import subprocess
import sys

import pytest
import torch

PROGRAM = """
import torch
from negreplay.slow_paths import avoid_slow_paths
avoid_slow_paths()
torch.set_num_threads(2)
small = torch.full((4_000_000,), 1e-41)
print(int((small * 1.0 != 0).sum()))
"""


def test_every_thread_takes_the_smallest_numbers_for_zero():
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormal numbers")
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(told.stdout) == 0
