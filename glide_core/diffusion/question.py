"""What every step of a run asks the U-Net, and what is kept from one step to the next."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..models.unet import Context, Deep, UNet
from .composition import Composition
from .cuda_graph import Replay
from .tiles import tiled


class Question:
    """The U-Net with the texts of a run.

    Args:
        unet: called with x, timesteps, the text and its vector.
        text: [R, N, xf_width], the encoded texts of all rows, of which each block makes keys and values once.
        y: [R, 4 * num_channels], their vectors.
        composition: which of the rows are about which picture.
        cache_interval: in how many steps the deep layers are computed once (DeepCache, Ma 2023); 1 is in each.
    """

    def __init__(
        self, unet: Callable[..., Tensor], text: Tensor, y: Tensor, composition: Composition, *, cache_interval: int = 1
    ) -> None:
        self.composition = composition
        self._unet, self._text, self._y = unet, text, y
        self._context: Context = text
        if text.is_cuda and cache_interval == 1:
            self._unet = Replay(unet)  # which takes tensors alone
        elif isinstance(unet, UNet):
            self._context = unet.text_keys(text)
        self._interval, self._asked = cache_interval, 0
        self._deep: list[Deep] = []  # of each window

    def rows(self, numbers: Tensor, composition: Composition, *, cache_interval: int = 1) -> Question:
        """The question of the rows with these numbers [r] alone."""
        unet = self._unet.function if isinstance(self._unet, Replay) else self._unet
        return Question(unet, self._text[numbers], self._y[numbers], composition, cache_interval=cache_interval)

    def __call__(self, inputs: Tensor, timesteps: Tensor, tile: int | None) -> Tensor:
        """inputs [R, in_channels, H, W], timesteps [R] -> [R, 6, H, W], see ``UNet`` and ``tiled``."""
        if self._interval == 1:
            return tiled(lambda part: self._unet(part, timesteps, self._context, self._y), inputs, tile)
        if self._asked % self._interval == 0:
            self._deep = []
        self._asked += 1
        computed = iter(list(self._deep))

        def ask(part: Tensor) -> Tensor:
            deep = next(computed, None)
            if deep is None:
                deep = Deep()
                self._deep.append(deep)
            return self._unet(part, timesteps, self._context, self._y, deep)

        return tiled(ask, inputs, tile)
