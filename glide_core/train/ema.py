"""The running average of the weights, which is what a training exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


Model = TypeVar("Model", bound=nn.Module)


class WeightAverage(AveragedModel, Generic[Model]):
    """An exponential moving average of a model's weights, in a copy of the model named ``module``.

    Args:
        decay: share of the average that each update keeps, 0..1. It grows towards this number during the first
            updates, or the random initial weights would stay in the average for long.
    """

    module: Model

    def __init__(self, model: Model, decay: float) -> None:
        super().__init__(model, multi_avg_fn=_growing(decay))


def _growing(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return update
