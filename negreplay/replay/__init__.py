"""What is recalled."""
