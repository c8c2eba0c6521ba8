"""What is being run, and how good it was."""
