"""The optimiser: Muon for the matrices inside the network, AdamW for everything else."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..models.text2im import Text2Im

NOT_HIDDEN = re.compile(r"^input_blocks\.0\.|^out\.|embedding|\.blocks\.(input|output)\.")
MAX_NORM = 1.0
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the coefficients that Jordan found
ITERATIONS = 3  # Jordan takes 5; the embedded models were trained with 3


class Muon(torch.optim.Optimizer):
    """Muon (Jordan 2024) for matrices and convolutions, with updates that are scaled to the size of AdamW's.

    ``torch.optim.Muon`` always computes in bf16, which took as long as the rest of the step on a CPU without bf16
    hardware. With that hardware it takes less than half of fp32's time. Here matrices of one shape are orthogonalised
    together.

    Args:
        dtype: what the matrices are orthogonalised in; weights and momentum stay as they are.
    """

    def __init__(
        self, params: Sequence[nn.Parameter], lr: float, momentum: float = 0.95, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: nothing here would call it
        """Update all parameters; each must have a gradient."""
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
            for p in group["params"]:
                alike[p.shape[0], p[0].numel()].append(p)
            for shape, params in alike.items():
                gradients = torch.stack([self._nesterov(p, group["momentum"]) for p in params])
                for p, update in zip(params, orthogonalised(gradients, self.dtype)):
                    p.sub_(update.view(p.shape), alpha=0.2 * math.sqrt(max(shape)) * group["lr"])

    def _nesterov(self, p: nn.Parameter, momentum: float) -> Tensor:
        assert p.grad is not None, "Muon updates parameters that have gradients"
        gradient, state = p.grad.flatten(1), self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        average: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonalised(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring all singular values of the matrices [K, M, N] near 1 by a few Newton-Schulz iterations in a dtype."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalised(matrices.mT, dtype).mT.contiguous()
    x: Tensor = (matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-7)).to(dtype)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.to(matrices.dtype)


class Optimizer:
    """AdamW, or with ``muon`` a pair of optimisers: Muon for the inner matrices and convolutions, AdamW for the rest.

    From random weights Muon learns several times more in each step; AdamW is the safe choice for fine-tuning.

    Args:
        model: those of its parameters that require gradients are trained.
        lr: learning rate.
        muon: use Muon, too.
        scaler: the one that scaled the loss before the backward pass, as fp16 needs it.
        others: parameters outside of the model that AdamW trains, too.
        muon_dtype: see ``Muon``.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        muon: bool,
        scaler: torch.amp.GradScaler | None = None,
        others: Iterable[nn.Parameter] = (),
        muon_dtype: torch.dtype = torch.float32,
    ) -> None:
        named = trained(model)
        hidden = [p for name, p in named.items() if muon and p.ndim > 1 and not NOT_HIDDEN.search(name)]
        hidden_ids = {id(p) for p in hidden}
        rest = [*(p for p in named.values() if id(p) not in hidden_ids), *others]
        self.parts: list[torch.optim.Optimizer] = []
        if rest:
            self.parts.append(torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True))
        if hidden:
            self.parts.append(Muon(hidden, lr, dtype=muon_dtype))
        self.lr = lr
        self.scaler = scaler or torch.amp.GradScaler(enabled=False)
        self.parameters: list[Tensor] = [*hidden, *rest]

    def step(self, scale: float) -> float:
        """Update the parameters at ``scale`` times the learning rate, and clear their gradients.

        Returns:
            The norm of the gradients before they were clipped. If it is not finite, nothing was updated.
        """
        for part in self.parts:
            self.scaler.unscale_(part)
            for group in part.param_groups:
                group["lr"] = self.lr * scale
        norm = nn.utils.clip_grad_norm_(self.parameters, MAX_NORM)
        if norm.isfinite():
            for part in self.parts:
                self.scaler.step(part)
        self.scaler.update()
        for p in self.parameters:
            p.grad = None
        return float(norm)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs."""
        return {"parts": [part.state_dict() for part in self.parts], "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned."""
        for part, values in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(values)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a model that require gradients, by their names in a checkpoint."""
    parts = (model.unet, model.text) if isinstance(model, Text2Im) else (model,)
    return {name: p for part in parts for name, p in part.named_parameters() if p.requires_grad}
