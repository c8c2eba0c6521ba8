"""The only learned part: log time and log power as functions of the knobs (torch)."""
