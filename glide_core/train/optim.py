"""Muon for the hidden matrices, AdamW for everything else, as one optimiser."""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

NOT_HIDDEN = re.compile(r"^input_blocks\.0\.|^out\.|embedding")


class Optimizer:
    """AdamW, or with ``muon`` Muon (Jordan 2024) for matrices and convolutions inside the network.

    Muon learns several times faster per step from scratch; AdamW is the safe choice for fine-tuning. Parameters that
    the last backward did not reach stay as they are.
    """

    def __init__(self, model: nn.Module, lr: float, *, muon: bool):
        named = [(name.removeprefix("unet.").removeprefix("text."), p) for name, p in model.named_parameters()]
        named = [(name, p) for name, p in named if p.requires_grad]
        hidden = [p for name, p in named if muon and p.ndim > 1 and not NOT_HIDDEN.search(name)]
        hidden_ids = {id(p) for p in hidden}
        rest = [p for _, p in named if id(p) not in hidden_ids]
        # Muon wants matrices: views that share the storage of convolution weights.
        self.matrices = [(p, nn.Parameter(p.detach().flatten(1))) for p in hidden]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=0.0)
        ]
        if hidden:
            views = [view for _, view in self.matrices]
            # On a small model Muon's 5 Newton-Schulz iterations take as long as the rest of a step; 3 do.
            options = {"weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3}
            self.parts.append(torch.optim.Muon(views, lr, **options))
        self.lr = lr
        self.parameters: list[Tensor] = [p for _, p in named]

    def step(self, scale: float) -> None:
        """Update by the gradients, at ``scale`` times the learning rate, and clear them."""
        for p, view in self.matrices:
            view.grad = None if p.grad is None else p.grad.flatten(1)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.lr * scale
            part.step()
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
