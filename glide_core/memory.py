"""How much memory a run needs, told before it starts."""

from __future__ import annotations

from pathlib import Path

import torch

from .errors import OptionError

GIB = 2**30
# Bytes that a U-Net needs at its peak for each pixel of a batch, channel of its first level and byte of a number. On a
# CPU the full-size base took 28, the upsampler 12 to 15, the embedded ones 15 to 17: the largest, and half as much.
UNET_FACTOR = 40
# A photo is held several times while it is edited: as it was, as it is, its masks, distances and crops.
PHOTO_BYTES_A_PIXEL = 64


def available(device: torch.device) -> int:
    """Bytes that can be had on a device: of a GPU what is free, else what the system calls available."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # other systems than Linux do not say it in one line
        return 2**62


def unet_bytes(batch: int, height: int, width: int, channels: int, dtype: torch.dtype) -> int:
    """An estimate of what one call of a U-Net needs beside its weights.

    Args:
        batch: pictures at a time, twice as many with guidance.
        channels: ``ModelConfig.num_channels``.
    """
    return batch * height * width * channels * dtype.itemsize * UNET_FACTOR


def require(what: str, needed: int, device: torch.device) -> None:
    """Raise OptionError that names ``what`` and the numbers, where more memory is needed than there is."""
    there = available(device)
    if needed > there:
        raise OptionError(f"{what} needs about {needed / GIB:.1f} GiB of memory, but {there / GIB:.1f} GiB are free")


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch tells it by RuntimeErrors, too."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))
