"""Continual learning with generative negative replay."""
