"""Faces of the library for other libraries."""
