"""hwtune learns how one machine answers to its power-management knobs, and sets them by what it has learned."""

__version__ = "0.1.0"
