"""Pure decisions on the learned model: which setting to measure next, which to keep (torch)."""
