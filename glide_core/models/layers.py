"""torch.nn's layers for models whose weights come from a file: without initial values, and quick on CPUs.

torch fills new weights with random numbers. On the meta device, where a model is built before its file is read, that
would import torch's compiler, which takes seconds.

oneDNN, which computes torch's convolutions on CPUs, brings a weight into an order of its own at each call. After
``keep_packed`` a convolution keeps its weight in that order, from its first call on, and in no other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LOCK = threading.Lock()  # a weight is packed and unpacked by one thread at a time


def keep_packed(module: nn.Module) -> None:
    """Let all layers of this module that can keep their weights packed do so; on other hardware nothing changes."""
    for child in module.children():
        if isinstance(child, _Convolution):
            child.packs = True
        keep_packed(child)


@cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this torch computes with packed weights here. Its functions for that are not public, so it is tried."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return False
    x, weight = torch.ones(1, 16, 4, 4, dtype=dtype), torch.ones(16, 16, 3, 3, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    try:
        packed = pack(weight, (1, 1), x)
        found, unpacked = convolve(x, packed, None, (1, 1)), packed.to_dense()
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.equal(found, F.conv2d(x, weight, padding=1)) and torch.equal(unpacked, weight)


def pack(weight: Tensor, padding: tuple[int, int], x: Tensor) -> Tensor:
    """A weight [out, in, h, w] in the order that oneDNN wants for inputs like x [B, in, H, W]."""
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight  # torch's stubs lack an argument
    return reorder(weight.to_mkldnn(), list(padding), [1, 1], [1, 1], 1, list(x.shape))


def convolve(x: Tensor, packed: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """The convolution of x [B, in, H, W] with the weight that ``pack`` gave."""
    return torch.ops.mkldnn._convolution_pointwise(x, packed, bias, list(padding), [1, 1], [1, 1], 1, "none", [], "")


class _Unfilled:
    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class _Convolution(_Unfilled, nn.Module):
    """A convolution that can keep its weight packed.

    As soon as anything but ``forward`` looks at a packed weight, it is an ordinary parameter again, and stays one: who
    has looked may change it at any time, and a packed copy would not know.

    Attributes:
        packs: pack the weight at the next call.
    """

    packs = False
    packed: Tensor | None = None
    kernel_size: Any
    bias: Any

    def _convolved(self, x: Tensor, padding: tuple[int, int]) -> Tensor | None:
        """The packed convolution of x [B, in, H, W], or None where the ordinary one has to do it."""
        if not self.packs or x.device.type != "cpu" or not can_pack(x.dtype) or _is_differentiated(x, self.bias):
            return None
        packed = self.packed
        if packed is None:
            packed = self._pack(x, padding)
        return None if packed is None or packed.dtype != x.dtype else convolve(x, packed, self.bias, padding)

    def _pack(self, x: Tensor, padding: tuple[int, int]) -> Tensor | None:
        with _LOCK:
            weight = self._parameters.get("weight")
            if self.packs and weight is not None and weight.dtype == x.dtype and weight.device == x.device:
                kernel = weight.detach()
                self.packed = pack(kernel if kernel.ndim == 4 else kernel[:, :, None], padding, x)
                del self._parameters["weight"]
            return self.packed

    def unpack(self) -> None:
        """Make the weight an ordinary parameter again, for good."""
        with _LOCK:
            self.packs = False
            if self.packed is not None:
                kernel = self.packed.to_dense()
                if len(self.kernel_size) == 1:
                    kernel = kernel[:, :, 0]
                weight = nn.Parameter(kernel, requires_grad=False)
                self._parameters = {"weight": weight, **self._parameters}
                self.packed = None

    def __getattr__(self, name: str) -> Any:
        if name == "weight" and "weight" not in self._parameters:
            self.unpack()
        return super().__getattr__(name)

    def __reduce_ex__(self, protocol: Any) -> Any:  # copies and pickles
        self.unpack()
        return super().__reduce_ex__(protocol)

    def named_modules(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # parameters() asks for these
        self.unpack()
        return super().named_modules(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:  # to(), half(), cuda()
        self.unpack()
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unpack()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unpack()
        super()._load_from_state_dict(*args, **kwargs)


def _is_differentiated(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)


class Conv1d(_Convolution, nn.Conv1d):
    """A convolution of size 1, as attention has them; others are never packed."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, in, N] -> [B, out, N]."""
        out = self._convolved(x[:, :, None], (0, 0)) if self.kernel_size == (1,) else None
        return super().forward(x) if out is None else out[:, :, 0]


class Conv2d(_Convolution, nn.Conv2d):
    """A convolution with a stride of 1."""

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, in, H, W] -> [B, out, H, W]."""
        out = self._convolved(x, self.padding)  # type: ignore[arg-type]  # a string only where one was given
        return super().forward(x) if out is None else out


class Embedding(_Unfilled, nn.Embedding):
    """See the module."""


class GroupNorm(_Unfilled, nn.GroupNorm):
    """See the module."""


class LayerNorm(_Unfilled, nn.LayerNorm):
    """See the module."""


class Linear(_Unfilled, nn.Linear):
    """See the module."""
