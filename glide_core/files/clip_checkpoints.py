"""Noised CLIPs on disk: recognise, load and save. Published are two files, one for each encoder; ours are one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, OptionError
from ..models.clip import NoisedClip, own_names, published_names
from ..models.clip_config import PUBLISHED_CLIP, ClipConfig
from ..models.clip_tokenizer import ClipTokenizer
from ..models.tokenizer import Tokenizer
from .checkpoints import NO_NOTES, TINY_FOLDER, write
from .detect import StateDict, check
from .folders import models_dir, published_filename
from .reading import read

CONFIG_KEY = "glide_clip_config"
FOLDER = Path(__file__).parents[1] / "assets" / "clip"
EMBEDDED, PUBLISHED = "tiny-clip", "clip"
PARTS = ("image", "text")
HEAD_WIDTH = 64  # of the published encoders; tensors do not show it
SIGNATURE = {"image": "blocks.input.patch_proj", "text": "blocks.input.w_voc"}
BLOCK = re.compile(r"blocks\.block_(\d+)\.")


def find(name: str | Path) -> tuple[Path, ...]:
    """The file or the two files of a noised CLIP.

    Args:
        name: "tiny-clip" (embedded), "clip" (published, after ``glide fetch clip-image-enc clip-text-enc``), or the
            path of a file. Of a file with one encoder alone the other is looked for beside it, by the word "image" or
            "text" in its name.
    Raises:
        CheckpointError: a file is not there; the message says how to get it.
    """
    if Path(name).is_file():
        return (Path(name),)
    if name == EMBEDDED:
        return (FOLDER / f"{EMBEDDED}.safetensors",)
    if name == PUBLISHED:
        kinds = [f"clip-{part}-enc" for part in PARTS]
        paths = tuple(models_dir() / published_filename(kind) for kind in kinds)
        for path in paths:
            if not path.is_file():
                raise CheckpointError(f"{path} is not there: download it with `glide fetch {' '.join(kinds)}`")
        return paths
    raise CheckpointError(f"{name}: no such file, and no noised CLIP of this name (known: {EMBEDDED}, {PUBLISHED})")


def read_clip(*paths: str | Path) -> tuple[StateDict, ClipConfig]:
    """Read a noised CLIP and make sure that its tensors are exactly those of its config.

    Args:
        paths: one file with both encoders, or one with the image's and one with the text's, in any order.
    Returns:
        The tensors by the names of ``NoisedClip``, and the sizes.
    Raises:
        CheckpointError: a file is none of these, or the two encoders do not belong together.
    """
    parts: dict[str, StateDict] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        tensors, notes = read(path)
        for part, found in _parts(tensors, path).items():
            if part in parts:
                raise CheckpointError(f"{path} is a second {part} encoder: give one for the image and one for the text")
            parts[part] = found
        metadata |= notes
    if len(parts) == 1:
        (part,) = parts
        other = PARTS[1 - PARTS.index(part)]
        beside = _beside(Path(paths[0]), part, other)
        tensors, _ = read(beside)
        parts |= _parts(tensors, beside)
    names = " and ".join(str(path) for path in paths)
    try:
        config = _config(parts, metadata)
        state_dict = {f"{part}.{name}": t for part, found in parts.items() for name, t in own_names(found).items()}
        check(state_dict, shapes(config))
    except CheckpointError as error:
        raise CheckpointError(f"{names}: {error}") from error
    return state_dict, config


def _parts(tensors: StateDict, path: str | Path) -> dict[str, StateDict]:
    """The encoders that a file holds, by published names."""
    parts = {part: _inside(tensors, f"{part}.") for part in PARTS}
    if all(SIGNATURE[part] in found for part, found in parts.items()):
        return parts
    for part, name in SIGNATURE.items():
        if name in tensors:
            return {part: tensors}
    raise CheckpointError(f"{path} is no noised CLIP of GLIDE: it has no tensor {' or '.join(SIGNATURE.values())}")


def _inside(tensors: StateDict, prefix: str) -> StateDict:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _beside(path: Path, part: str, other: str) -> Path:
    beside = path.with_name(path.name.replace(part, other))
    if part in path.name and beside.is_file():
        return beside
    raise CheckpointError(
        f"{path} holds the {part} encoder alone: give the file of the {other} encoder, too, or put it beside it with "
        f"{other!r} in the place of {part!r} in its name"
    )


def _config(parts: dict[str, StateDict], metadata: dict[str, str]) -> ClipConfig:
    """By the metadata if ``save`` wrote it, else by the shapes. Raises CheckpointError where they do not fit."""
    try:
        if CONFIG_KEY in metadata:
            return ClipConfig.from_json(metadata[CONFIG_KEY])
        return _config_from_tensors(parts["image"], parts["text"])
    except (OptionError, KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"its tensors have sizes that no noised CLIP has: {error}") from error


def _config_from_tensors(image: StateDict, text: StateDict) -> ClipConfig:
    widths = [part["blocks.output.f.w"].shape[0] for part in (image, text)]
    if widths[0] != widths[1]:
        raise CheckpointError(
            f"the image encoder gives {widths[0]} numbers and the text encoder {widths[1]}: they were not trained "
            "together"
        )
    patch = image["blocks.input.patch_proj"]
    side = round((image["blocks.input.w_pos"].shape[0] - 1) ** 0.5)
    vocab_size, text_width = text["blocks.input.w_voc"].shape
    return ClipConfig(
        image_size=side * patch.shape[-1],
        patch_size=patch.shape[-1],
        embed_width=widths[0],
        text_ctx=text["blocks.input.w_pos"].shape[0],
        vocab_size=vocab_size,
        text_width=text_width,
        text_layers=_layers(text),
        text_heads=max(1, text_width // HEAD_WIDTH),
        image_width=patch.shape[0],
        image_layers=_layers(image),
        image_heads=max(1, patch.shape[0] // HEAD_WIDTH),
        timesteps=image["blocks.input.w_t"].shape[0],
        logit_scale=PUBLISHED_CLIP.logit_scale,
    )


def _layers(tensors: StateDict) -> int:
    return len({match[1] for match in map(BLOCK.match, tensors) if match})


def shapes(config: ClipConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a ``NoisedClip``, without building it in memory."""
    return {name: tuple(t.shape) for name, t in NoisedClip(config, device="meta").state_dict().items()}


def load(
    *paths: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[NoisedClip, ClipTokenizer]:
    """Load a noised CLIP for inference, and its tokenizer.

    Args:
        paths: one name that ``find`` knows, or two files.
    Raises:
        CheckpointError: see ``find``, ``read_clip`` and ``tokenizer_for``.
    """
    files = find(paths[0]) if len(paths) == 1 else tuple(Path(path) for path in paths)
    state_dict, config = read_clip(*files)
    model = NoisedClip(config, device="meta", dtype=dtype)
    model.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state_dict.items()}, assign=True)
    return model.eval().requires_grad_(False), tokenizer_for(config, files[0])


def tokenizer_for(config: ClipConfig, path: str | Path) -> ClipTokenizer:
    """The tokenizer of a noised CLIP: ``<stem>.tokenizer.json`` or ``tokenizer.json`` beside it, the embedded models',
    or OpenAI's, whichever has as many ids as the model.

    Raises:
        CheckpointError: there is none.
    """
    path = Path(path)
    own = path.with_name(f"{path.stem}.tokenizer.json")
    for file in (own, path.with_name("tokenizer.json"), TINY_FOLDER / "tokenizer.json"):
        if file.is_file():
            tokenizer = of_words(Tokenizer.from_file(file, config.text_ctx), config.text_ctx)
            if tokenizer.vocab_size == config.vocab_size:
                return tokenizer
    if config.vocab_size == PUBLISHED_CLIP.vocab_size:
        return ClipTokenizer.openai(config.text_ctx)
    raise CheckpointError(
        f"no tokenizer of the {config.vocab_size} tokens of {path} is beside it (two less, for start and end): put "
        f"{own.name} there"
    )


def of_words(tokenizer: Tokenizer, text_ctx: int) -> ClipTokenizer:
    """A noised CLIP's tokenizer with the words of a diffusion model's."""
    return ClipTokenizer(tokenizer.library, text_ctx)


def save(
    model: nn.Module | NoisedClip,
    config: ClipConfig,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    notes: Mapping[str, object] = NO_NOTES,
) -> None:
    """Write both encoders as one .safetensors file with their config, all or nothing.

    Args:
        model: a ``NoisedClip`` of this config.
        path, dtype, notes: see ``checkpoints.save``.
    Raises:
        OSError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        encoder = getattr(model, part)
        tensors |= {f"{part}.{name}": t for name, t in published_names(encoder.state_dict()).items()}
    write(tensors, path, dtype=dtype, notes={**notes, CONFIG_KEY: config.to_json()})
