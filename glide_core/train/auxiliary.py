"""What the trainer asks of a loss that is learned beside the diffusion loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..models.text2im import Text2Im


class AuxiliaryLoss(Protocol):
    """A second loss, about the labels of a ``LabelledDataset``; an ``nn.Module`` has the last four methods already.

    It is made from the model and may read the model's features through forward hooks. In every step ``loss`` is called
    after the model's forward pass. Its own parameters are trained together with the model by AdamW, are part of
    ``state.pt``, and are not exported.
    """

    def targets(self, labels: Sequence[Any], side: int) -> tuple[Tensor, ...]:
        """Turn the labels of a batch into the tensors that ``pixel_weights`` and ``loss`` take.

        Args:
            labels: one for each picture, as ``LabelledDataset.labelled_batch`` returns them.
            side: of the pictures that the model is shown in this step, in pixels.
        Returns:
            Tensors on the CPU; the trainer moves them to the device.
        """

    def pixel_weights(self, targets: Sequence[Tensor]) -> Tensor | None:
        """What to add to each pixel's weight in the diffusion loss, [B, 1, side, side], or None to add nothing."""

    def loss(self, targets: Sequence[Tensor]) -> Tensor:
        """The loss of the batch that the model has just seen: one number, already weighted, to add to the other."""

    def to(self, device: torch.device) -> object:
        """Move the parameters to a device, in place."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters to train beside the model's."""

    def state_dict(self) -> dict[str, Any]:
        """The parameters by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Take over parameters that ``state_dict`` returned."""


MakeAuxiliaryLoss = Callable[[Text2Im], AuxiliaryLoss]
