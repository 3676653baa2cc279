"""What arrives when."""
