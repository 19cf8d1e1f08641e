"""Packed weights beside the plain ones, for the time of one run: for hosts that own the weights and move them.

See ``layers`` for what packing is. Between two runs nothing is kept, so that no change of a weight can be missed. What
a host does to a weight within a run, it does by functions of the layer, and a layer with such functions is not packed;
or it puts another one in its place, which is packed anew; or it says so (``pack_no_more``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .layers import can_pack, convolve, pack
from .unet import Operations


def packing(operations: Operations) -> SimpleNamespace:
    """The layers that a U-Net needs, as these operations have them, with convolutions that can be packed for a run."""

    class Conv1d(_Packable, operations.Conv1d):  # type: ignore[misc]
        pass

    class Conv2d(_Packable, operations.Conv2d):  # type: ignore[misc]
        pass

    return SimpleNamespace(Conv1d=Conv1d, Conv2d=Conv2d, GroupNorm=operations.GroupNorm, Linear=operations.Linear)


def weight_bytes(module: nn.Module) -> int:
    """What packing the convolutions of a module takes."""
    return sum(layer.weight.nbytes for layer in module.modules() if isinstance(layer, _Packable))


def pack_no_more(module: nn.Module) -> None:
    """Compute with the plain weights from now on: something changes them within the run."""
    for layer in module.modules():
        if isinstance(layer, _Packable):
            layer.packs, layer.packed, layer.packed_of = False, None, ()


@contextmanager
def packed_for_a_run(module: nn.Module) -> Iterator[None]:
    """Within this context, each convolution on a CPU packs its weight at its first call."""
    try:
        for layer in module.modules():
            if isinstance(layer, _Packable):
                layer.packs = True
        yield
    finally:
        pack_no_more(module)


class _Packable(nn.Module):
    packs = False
    packed: Tensor | None = None
    packed_of: tuple[Tensor, ...] = ()  # the weight; in a tuple, because modules take parameters for their own
    weight: Tensor
    bias: Any
    padding: Any
    stride: Any

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self.packs or not self._can_be_packed(x):
            out: Tensor = super().forward(x, *args, **kwargs)
            return out
        kernel, flat = self.weight.detach(), x.ndim == 3
        if flat:
            kernel, x = kernel[:, :, None], x[:, :, None]
        padding = (0, 0) if flat else self.padding
        if self.packed is None or self.packed_of[0] is not self.weight:
            self.packed, self.packed_of = pack(kernel, padding, x), (self.weight,)
        out = convolve(x, self.packed, self.bias, padding)
        return out[:, :, 0] if flat else out

    def _can_be_packed(self, x: Tensor) -> bool:
        weight = self.weight
        plain = type(weight) in (Tensor, nn.Parameter) and weight.device == x.device and weight.dtype == x.dtype
        changed = any(getattr(self, name, ()) for name in ("weight_function", "bias_function"))  # ComfyUI's
        differentiated = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
        small = x.ndim == 4 or weight.shape[2:] == (1,)
        return plain and x.device.type == "cpu" and not (changed or differentiated) and small and can_pack(x.dtype)
