"""The training loop's consumers, and the command line."""
