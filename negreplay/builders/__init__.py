"""From a recipe to the objects it names: one `match` a kind, no registry."""
