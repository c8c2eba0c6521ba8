"""A campaign of faults against the hands: a machine, its settings, a run of hwtune, and what goes wrong in it."""
