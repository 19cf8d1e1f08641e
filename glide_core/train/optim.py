"""Muon for the hidden matrices, AdamW for everything else, as one optimiser."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..model import Text2Im

NOT_HIDDEN = re.compile(r"^input_blocks\.0\.|^out\.|embedding")
MAX_NORM = 1.0


class Optimizer:
    """AdamW, or with ``muon`` Muon (Jordan 2024) for matrices and convolutions inside the network.

    Muon learns several times faster per step from scratch; AdamW is the safe choice for fine-tuning. Only what requires
    gradients is trained.

    Args:
        scaler: of the loss, for fp16; it must have scaled what the gradients are of.
        others: parameters outside of the model that AdamW is to train, too.
    """

    def __init__(
        self,
        model: Text2Im,
        lr: float,
        *,
        muon: bool,
        scaler: torch.amp.GradScaler | None = None,
        others: Iterable[nn.Parameter] = (),
    ):
        named = trained(model)
        hidden = [p for name, p in named.items() if muon and p.ndim > 1 and not NOT_HIDDEN.search(name)]
        hidden_ids = {id(p) for p in hidden}
        rest = [*(p for p in named.values() if id(p) not in hidden_ids), *others]
        # Muon wants matrices: views that share the storage of convolution weights.
        self.matrices = [(p, nn.Parameter(p.detach().flatten(1))) for p in hidden]
        self.parts: list[torch.optim.Optimizer] = []
        if rest:
            self.parts.append(torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True))
        if hidden:
            views = [view for _, view in self.matrices]
            # On a small model Muon's 5 Newton-Schulz iterations take as long as the rest of a step; 3 do.
            options = {"weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}
            self.parts.append(torch.optim.Muon(views, lr, **options))
        self.lr = lr
        self.scaler = scaler or torch.amp.GradScaler(enabled=False)
        self.parameters: list[Tensor] = [*hidden, *rest]
        self.updated = [p for part in self.parts for group in part.param_groups for p in group["params"]]

    def step(self, scale: float) -> float:
        """Update by the gradients, at ``scale`` times the learning rate, and clear them.

        Returns:
            The norm of the gradients before they were clipped. If it is not finite, nothing was updated.
        """
        for p, view in self.matrices:
            view.grad = p.grad.flatten(1)
        for part in self.parts:
            self.scaler.unscale_(part)
            for group in part.param_groups:
                group["lr"] = self.lr * scale
        norm = nn.utils.clip_grad_norm_(self.updated, MAX_NORM)
        if norm.isfinite():
            for part in self.parts:
                self.scaler.step(part)
        self.scaler.update()
        for p in (*self.parameters, *self.updated):
            p.grad = None
        return float(norm)

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts], "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        for part, values in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(values)
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])


def trained(model: Text2Im) -> dict[str, nn.Parameter]:
    """The parameters that are trained, by their names in a checkpoint."""
    named = (*model.unet.named_parameters(), *model.text.named_parameters())
    return {name: p for name, p in named if p.requires_grad}
