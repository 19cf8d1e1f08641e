"""Where to compute, and in which precision, when the user leaves it open."""

from __future__ import annotations

import torch

from .errors import OptionError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """ "auto" is the GPU if there is one, else the CPU. Raises ValueError: there is no such device here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"torch cannot compute on {name!r} here: use auto or cpu") from error
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> str:
    """A name of ``DTYPES``; "auto" is the one that the hardware computes fastest in."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """False also where torch is too old to tell."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def exact_fp32() -> None:
    """Let GPUs convolve fp32 in fp32: torch's default there is TF32, which has 10 bits."""
    torch.backends.cudnn.allow_tf32 = False
