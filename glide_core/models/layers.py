"""torch.nn's layers without initial values, for models whose weights come from a file.

torch fills new weights with random numbers. On the meta device, where a model is built before its file is read, that
would import torch's compiler, which takes seconds.
"""

from __future__ import annotations

from torch import nn


class _Unfilled:
    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Conv1d(_Unfilled, nn.Conv1d):
    """See the module."""


class Conv2d(_Unfilled, nn.Conv2d):
    """See the module."""


class Embedding(_Unfilled, nn.Embedding):
    """See the module."""


class GroupNorm(_Unfilled, nn.GroupNorm):
    """See the module."""


class LayerNorm(_Unfilled, nn.LayerNorm):
    """See the module."""


class Linear(_Unfilled, nn.Linear):
    """See the module."""
