"""A machine in memory whose files answer as Linux's do: for fast tests and, by FUSE, for the real program."""
