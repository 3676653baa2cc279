"""The studies that ship with the library."""
