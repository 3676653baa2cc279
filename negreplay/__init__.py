"""Continual learning with generative negative replay."""

__version__ = "0.1.0"
