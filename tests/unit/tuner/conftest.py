"""The oracle library warns while it is imported; here, once, that is not an error."""

from __future__ import annotations

import warnings

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import botorch  # noqa: F401 - imported for its warnings

torch.set_num_threads(1)
