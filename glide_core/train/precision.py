"""The precision that a training computes in."""

from __future__ import annotations

import torch

from ..device import pick_dtype


def training_precision(name: str, device: torch.device) -> str:
    """Decide what "auto" means on a device: bf16 where its hardware computes in it, else fp32.

    fp16 must be asked for, because its small range makes a training skip steps.

    Args:
        name: "auto" or a name in ``DTYPES``.
    Returns:
        A name in ``DTYPES``.
    """
    if name == "auto" and device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return pick_dtype(name, device)
