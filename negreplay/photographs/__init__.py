"""A model in one file that is taught from photographs: what it is, what it learns from, and what it says."""
