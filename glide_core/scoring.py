"""How well pictures fit texts, and which fit best: by GLIDE's noised CLIP, or by a user's own model of open_clip."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .diffusion.clip_guidance import Clip, resized, said
from .errors import CheckpointError, MissingPackageError, OptionError
from .files import clip_checkpoints
from .files.folders import models_dir

GLIDE_CLIP = "glide-clip"
OPEN_CLIP = "open-clip:"
SUFFIXES = (".safetensors", ".pt", ".bin")


class Scorer(Protocol):
    """Something that tells how well pictures fit texts.

    Attributes:
        side: of the square that it makes of each picture before it looks.
    """

    side: int

    def scores(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """[B] numbers, more is better.

        Args:
            pictures: [B, 3, H, W] in -1..1.
            texts: one for each.
        Raises:
            OptionError: a text is empty.
            ImageError: a picture is too small.
        """


def load_clip(*source: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Clip:
    """Load a noised CLIP.

    Args:
        source: "tiny-clip" (embedded), "clip" (published, once fetched), the path of a file, or the two paths of its
            encoders.
    Raises:
        CheckpointError: see ``clip_checkpoints.load``.
    """
    return Clip(*clip_checkpoints.load(*source, device=device, dtype=dtype), name=" and ".join(map(str, source)))


def load_scorer(
    name: str,
    *,
    clip: str | Path = clip_checkpoints.EMBEDDED,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Scorer:
    """Load a scorer by its name.

    Args:
        name: "glide-clip"; or "open-clip:NAME" for an architecture of the package open_clip such as ViT-L-14, whose
            weights are the file of that name in the folder ``open_clip`` of ``models_dir``, or "open-clip:NAME:FILE".
        clip: which noised CLIP "glide-clip" is, see ``load_clip``.
    Raises:
        OptionError: there is no such scorer.
        CheckpointError: its file is missing or broken.
        MissingPackageError: open_clip is not installed.
    """
    if name == GLIDE_CLIP:
        return ClipScorer(load_clip(clip, device=device, dtype=dtype))
    return OpenClipScorer(*_open_clip(name), device)


def scorer_files(name: str, clip: str | Path = clip_checkpoints.EMBEDDED) -> tuple[Path, ...]:
    """The files that a scorer of ``load_scorer`` is loaded from. Raises what that raises where there are none."""
    if name == GLIDE_CLIP:
        return clip_checkpoints.find(clip)
    architecture, path = _open_clip(name)
    if not path.is_file():
        raise CheckpointError(f"{path} is not there: put the weights of {architecture} there")
    return (path,)


class ClipScorer:
    """GLIDE's noised CLIP as a ``Scorer``, told that the pictures have no noise."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.side = clip, clip.model.config.image_size

    def scores(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """The cosines of the embeddings, see ``Scorer.scores``."""
        return self.clip.scores(pictures, texts).cpu()


class OpenClipScorer:
    """A model of the package open_clip as a ``Scorer``.

    Args:
        architecture: open_clip's name of it.
        file: its weights. Nothing is ever downloaded.
    Raises:
        CheckpointError: the file is missing or of another model.
        MissingPackageError: open_clip is not installed.
        OptionError: open_clip knows no such architecture.
    """

    def __init__(self, architecture: str, file: Path, device: str | torch.device) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        try:
            import open_clip
        except ImportError as error:
            raise MissingPackageError("this scorer needs the package open_clip: pip install open_clip_torch") from error
        if architecture not in open_clip.list_models():
            raise OptionError(f"open_clip has no architecture {architecture!r}: see open_clip.list_models()")
        if not file.is_file():
            raise CheckpointError(f"{file} is not there: put the weights of {architecture} there")
        try:
            self.model: Any = open_clip.create_model(architecture, pretrained=str(file), device=device)
            self.tokenizer: Any = open_clip.get_tokenizer(architecture)
        except Exception as error:  # the package raises no narrower class
            raise CheckpointError(f"{file} cannot be loaded as {architecture}: {error}") from error
        self.model.eval()
        size = self.model.visual.image_size
        self.side = size if isinstance(size, int) else size[0]
        self.device = device
        self.mean, self.std = self.model.visual.image_mean, self.model.visual.image_std

    @torch.no_grad()
    def scores(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """The cosines of the embeddings, see ``Scorer.scores``."""
        plain = said(texts)
        x = (resized(pictures.to(self.device, torch.float32), self.side) + 1) / 2
        mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        image = F.normalize(self.model.encode_image((x - mean) / std).float(), dim=-1)
        text = F.normalize(self.model.encode_text(self.tokenizer(plain).to(self.device)).float(), dim=-1)
        return (image * text).sum(dim=-1).cpu()


def _open_clip(name: str) -> tuple[str, Path]:
    """The architecture and the file of a scorer. Raises OptionError: there is no such scorer."""
    if not name.startswith(OPEN_CLIP):
        raise OptionError(f"no scorer is called {name[:60]!r}: use {GLIDE_CLIP} or {OPEN_CLIP}NAME")
    architecture, _, file = name.removeprefix(OPEN_CLIP).partition(":")
    folder = models_dir() / "open_clip"
    if file:
        return architecture, Path(file)
    for suffix in SUFFIXES:
        if (folder / f"{architecture}{suffix}").is_file():
            return architecture, folder / f"{architecture}{suffix}"
    return architecture, folder / f"{architecture}{SUFFIXES[0]}"


def best(scores: Tensor, keep: int) -> list[int]:
    """The indices of the ``keep`` highest of some scores [N], the best first; of equal ones the first comes first.

    Raises:
        OptionError: there are not so many.
    """
    if not 1 <= keep <= len(scores):
        raise OptionError(f"the best {keep} of {len(scores)} pictures: keep a number from 1 to {len(scores)}")
    return torch.argsort(scores, descending=True, stable=True)[:keep].tolist()
