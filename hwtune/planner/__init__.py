"""The torch process and the pipe to it."""
