"""A run whose network gives NaN or infinite numbers ends with an error, and not as a black picture."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import NotFiniteError


class FiniteCheck:
    """Looks at what a network gives in each step of a run.

    On an accelerator the answer stays in its memory until ``require``: reading it in each step would make the program
    wait for the device before it can hand over the next step's work.

    Args:
        model: what the error calls the model.
        sigmas: [steps + 1] of the run, descending: the error counts the steps by them.
    """

    def __init__(self, model: str, sigmas: Tensor) -> None:
        self.model, self.sigmas = model, sigmas.tolist()
        self._worst: Tensor | None = None  # the largest sigma at which a number was not finite, else -1

    def look(self, output: Tensor, sigma: Tensor) -> None:
        """Look at the output of a step.

        Args:
            output: of any shape; sigma: [B], of the step.
        Raises:
            NotFiniteError: on a CPU, at once.
        """
        found = torch.where(output.isfinite().all(), -1.0, sigma.max().float())
        self._worst = found if self._worst is None else torch.maximum(self._worst, found)
        if output.device.type == "cpu":
            self.require()

    def require(self) -> None:
        """Call it at the end of a run. Raises NotFiniteError where a number was not finite."""
        sigma = -1.0 if self._worst is None else float(self._worst)
        if sigma < 0:
            return
        steps = len(self.sigmas) - 1
        step = 1 + min(range(steps), key=lambda i: abs(self.sigmas[i] - sigma))
        raise NotFiniteError(
            f"{self.model} gave NaN or infinite numbers at step {step} of {steps} (sigma {sigma:.4g}): either its file "
            "is damaged (fetch or export it again), or its values are too large for fp16 (choose bf16 or fp32), or the "
            "temperature or guidance_scale is far too large"
        )
