"""A page on this machine on which a model is taught from photographs and asked."""
