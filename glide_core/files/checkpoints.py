"""Checkpoints on disk: find, read, recognise, load and save.

A file is recognised by its content and its tensors, never by its name, and every refusal says what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..models.config import BASE, PUBLISHED, TINY_BASE, TINY_UPSAMPLE, ModelConfig
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer

TINY_FOLDER = Path(__file__).parents[1] / "assets" / "tiny"
CONFIG_KEY = "glide_config"

# Tensors that every GLIDE diffusion model has, with their number of dimensions.
SIGNATURE = {
    "positional_embedding": 2,
    "padding_embedding": 2,
    "token_embedding.weight": 2,
    "transformer_proj.weight": 2,
    "time_embed.0.weight": 2,
    "input_blocks.0.0.weight": 4,
    "middle_block.1.encoder_kv.weight": 3,
    "out.2.weight": 4,
}
TEXT_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.")
DOWN_STAGE = re.compile(r"input_blocks\.(\d+)\.")
ATTENTION_STAGE = re.compile(r"input_blocks\.(\d+)\.1\.")
UPSAMPLING_STAGE = re.compile(r"output_blocks\.(\d+)\.[1-9]\.in_layers\.")

StateDict = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def models_dir() -> Path:
    """Where downloaded models live: the folder in ``GLIDE_MODELS``, or ``~/.cache/glide``."""
    return Path(os.environ.get("GLIDE_MODELS") or "~/.cache/glide").expanduser()


def published_filename(kind: str) -> str:
    """The published file of a ``ModelConfig.kind``."""
    return kind.replace("-", "_") + ".pt"


def find(name: str | Path) -> Path:
    """Path of a checkpoint: an existing file, an embedded model ("tiny-base", ...) or a published one ("base", ...).

    Raises:
        CheckpointError: it is not there; the message says how to get it.
    """
    if Path(name).is_file():
        return Path(name)
    embedded = {path.stem: path for path in TINY_FOLDER.glob("*.safetensors")}
    if name in embedded:
        return embedded[name]
    if name in PUBLISHED:
        path = models_dir() / published_filename(name)
        if path.is_file():
            return path
        raise CheckpointError(f"{path} is not there: download it with `glide fetch {name}`")
    known = ", ".join(sorted(embedded) + list(PUBLISHED))
    raise CheckpointError(f"{name}: no such file, and no model of this name (known: {known})")


def tokenizer_for(config: ModelConfig, path: str | Path) -> Tokenizer:
    """The tokenizer a checkpoint was trained with.

    It is the first of these with ``config.vocab_size`` tokens: ``<stem>.tokenizer.json`` and ``tokenizer.json`` beside
    the checkpoint, the embedded models', GPT-2's encoder.json and vocab.bpe beside the checkpoint or in ``models_dir``.

    Raises:
        CheckpointError: there is none; the message says how to get it.
    """
    path = Path(path)
    own = path.with_name(f"{path.stem}.tokenizer.json")
    try:
        for file in (own, path.with_name("tokenizer.json"), TINY_FOLDER / "tokenizer.json"):
            if file.is_file():
                tokenizer = Tokenizer.from_file(file, config.text_ctx)
                if tokenizer.vocab_size == config.vocab_size:
                    return tokenizer
        if config.vocab_size == BASE.vocab_size:
            for folder in (path.parent, models_dir()):
                files = folder / "encoder.json", folder / "vocab.bpe"
                if all(file.is_file() for file in files):
                    return Tokenizer.from_gpt2(*files, config.text_ctx)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    if config.vocab_size == BASE.vocab_size:
        raise CheckpointError(f"{path} needs GPT-2's vocabulary: download it with `glide fetch vocab`")
    raise CheckpointError(
        f"no tokenizer of the {config.vocab_size} tokens of {path} is beside it: put {own.name} there"
    )


def read(path: str | Path) -> tuple[StateDict, dict[str, str]]:
    """Read a .safetensors or torch file without running its code. Tensors stay memory-mapped where the format allows.

    Returns:
        The tensors, freed of wrappers ({"state_dict": ...}, "module." prefixes), and the safetensors metadata.
    Raises:
        CheckpointError: no file, an empty, truncated or damaged one, a web page or a text instead of a checkpoint, or
            a file with anything but plain data in it.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file")
    with path.open("rb") as file:
        head = file.read(512)
    if b"\0" not in head:
        raise CheckpointError(f"{path} {_what_text(head)}")
    try:
        if head[8:9] == b"{":  # safetensors: 8 bytes of length, then JSON
            with safe_open(path, framework="pt") as file:
                names, metadata = file.keys(), file.metadata() or {}
                content = {name: file.get_tensor(name) for name in names}
        else:  # files older than torch 1.6 are no zip archives and cannot be mapped
            content, metadata = torch.load(path, map_location="cpu", weights_only=True, mmap=head[:2] == b"PK"), {}
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is damaged or holds more than tensors: save only its state_dict") from error
    except Exception as error:  # damaged data can raise anything
        raise CheckpointError(f"{path} is truncated or damaged: download or copy it again ({error})") from error
    tensors = _unwrap(content)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    return tensors, metadata


def _what_text(head: bytes) -> str:
    """What a file is that begins with text instead of a checkpoint, and what to do."""
    text = head.decode("utf-8", "replace").strip()
    if not text:
        return "is empty: download or copy it again"
    if text.startswith("<"):
        return "is a web page, not a checkpoint: the download went wrong, get the file again"
    return f"is a text file, not a checkpoint; it begins with {text[:40]!r}"


def _unwrap(content: object) -> StateDict:
    """The tensors inside what fine-tuning tools save around them."""
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        return {}
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def detect_config(state_dict: StateDict, metadata: dict[str, str]) -> ModelConfig:
    """Which GLIDE model this is: by its metadata if ``save`` wrote it, else by the names and shapes of its tensors.

    Raises:
        CheckpointError: it is something else; the message names what is missing.
    """
    if CONFIG_KEY not in metadata:
        return _config_from_tensors(state_dict)
    try:
        return ModelConfig.from_json(metadata[CONFIG_KEY])
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"its metadata {CONFIG_KEY!r} cannot be understood: {error}") from error


def _config_from_tensors(state_dict: StateDict) -> ModelConfig:
    """What tensors do not show (heads, norm groups, noise schedule) is taken from the nearest known model."""
    for name, ndim in SIGNATURE.items():
        if name not in state_dict:
            raise CheckpointError(f"this is {_other_model(state_dict)}: it has no tensor {name!r}")
        if state_dict[name].ndim != ndim:
            shape = tuple(state_dict[name].shape)
            raise CheckpointError(f"tensor {name!r} has shape {shape}, expected {ndim} dimensions")
    channels = state_dict["input_blocks.0.0.weight"].shape[1]
    kinds = {config.in_channels: config for config in PUBLISHED.values()}
    if channels not in kinds:
        raise CheckpointError(f"its U-Net reads {channels} channels, but GLIDE's read one of {sorted(kinds)}")
    width = state_dict["time_embed.0.weight"].shape[1]
    vocab_size, xf_width = state_dict["token_embedding.weight"].shape
    tiny = TINY_UPSAMPLE if kinds[channels].low_res else TINY_BASE
    family = tiny if width % 64 else kinds[channels]
    return dataclasses.replace(
        family,
        **_unet_levels(state_dict, width),
        num_channels=width,
        text_ctx=state_dict["positional_embedding"].shape[0],
        xf_width=xf_width,
        xf_layers=len(_matches(TEXT_LAYER, state_dict)),
        xf_heads=max(1, xf_width * family.xf_heads // family.xf_width),
        vocab_size=vocab_size,
        inpaint=kinds[channels].inpaint,
    )


def _unet_levels(state_dict: StateDict, width: int) -> dict[str, object]:
    """The part of the config that says what the levels of the U-Net are made of.

    On the way down a level is ``num_res_blocks`` stages and one that halves the picture; on the way up the last of its
    stages holds a second residual block, which doubles it. The bottom level needs neither: ``input_blocks.0`` makes up.
    """
    stages = len(_matches(DOWN_STAGE, state_dict))
    levels = 1 + len(_matches(UPSAMPLING_STAGE, state_dict))
    if stages % levels:
        raise CheckpointError(f"its {stages} input blocks do not divide into {levels} levels")
    starts = range(1, stages, stages // levels)
    attention = _matches(ATTENTION_STAGE, state_dict)
    image_size = 2 ** (levels + 2)
    convolutions = [f"input_blocks.{start}.0.in_layers.2.weight" for start in starts]
    for name in convolutions:
        if name not in state_dict:
            raise CheckpointError(f"tensor {name!r} is missing")
    return {
        "image_size": image_size,
        "num_res_blocks": stages // levels - 1,
        "channel_mult": tuple(state_dict[name].shape[0] // width for name in convolutions),
        "attention_resolutions": tuple(
            image_size >> level for level, start in enumerate(starts) if str(start) in attention
        ),
    }


def _other_model(names: StateDict) -> str:
    """What a state dict that is no GLIDE diffusion model seems to be."""
    if any(name.startswith("blocks.input.") for name in names):
        return "GLIDE's noised CLIP encoder, not a diffusion model"
    if any("lora" in name.lower() for name in names):
        return "a LoRA, not a whole model"
    if any(name.startswith(("model.diffusion_model.", "diffusion_model.")) for name in names):
        return "a Stable Diffusion checkpoint, not a GLIDE model"
    return "not a GLIDE model"


def _matches(pattern: re.Pattern, names: Iterable[str]) -> set[str]:
    """What the group of ``pattern`` stands for in the names that begin with it."""
    return {match[1] for match in map(pattern.match, names) if match}


def shapes(config: ModelConfig) -> Shapes:
    """Names and shapes of the tensors of a model, without building it in memory."""
    return {name: tuple(tensor.shape) for name, tensor in _empty(config).state_dict().items()}


def _empty(config: ModelConfig) -> Text2Im:
    """The model without storage. Raises CheckpointError when the sizes do not fit together."""
    try:
        return Text2Im(config, device="meta")
    except Exception as error:  # a file's metadata can hold any nonsense
        raise CheckpointError(f"no model can be built with these sizes: {error}") from error


def check(state_dict: StateDict, expected: Shapes) -> None:
    """Raise CheckpointError that names the first missing, mis-shaped, non-float or unexpected tensor."""
    for name, shape in expected.items():
        if name not in state_dict:
            raise CheckpointError(f"tensor {name!r} is missing (expected shape {shape})")
        tensor = state_dict[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(f"tensor {name!r} has shape {tuple(tensor.shape)}, expected {shape}")
        if not tensor.is_floating_point():
            raise CheckpointError(f"tensor {name!r} is {tensor.dtype}, expected floating point")
    for name, tensor in state_dict.items():
        if name not in expected:
            raise CheckpointError(f"tensor {name!r} of shape {tuple(tensor.shape)} is unexpected in this model")


def read_model(path: str | Path) -> tuple[StateDict, ModelConfig]:
    """Read a diffusion model and make sure that its tensors are exactly those of its config.

    Raises:
        CheckpointError: the file or its tensors are not those of a GLIDE diffusion model.
    """
    state_dict, metadata = read(path)
    try:
        config = detect_config(state_dict, metadata)
        check(state_dict, shapes(config))
        if state_dict["out.2.weight"].isnan().any():
            raise CheckpointError("its weights are NaN: the training that made it diverged")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return state_dict, config


def load(source: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> Text2Im:
    """Load a model for inference: eval mode, no gradients.

    Args:
        source: a path or a name that ``find`` knows.
    Raises:
        CheckpointError: see ``find`` and ``read_model``.
    """
    state_dict, config = read_model(find(source))
    model = Text2Im(config, device="meta", dtype=dtype)
    model.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state_dict.items()}, assign=True)
    return model.eval().requires_grad_(False)


def save(
    state_dict: StateDict,
    config: ModelConfig,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    **metadata: object,
) -> None:
    """Write a .safetensors file whose metadata holds the config, all or nothing: a failure leaves what was there.

    Args:
        dtype: what to store the tensors as (default: as they are).
        metadata: more to note in the file, stored as text.
    Raises:
        CheckpointError: the tensors are not those of the config.
    """
    check(state_dict, shapes(config))
    write(state_dict, path, dtype=dtype, **metadata, **{CONFIG_KEY: config.to_json()})


def write(tensors: StateDict, path: str | Path, *, dtype: torch.dtype | None = None, **metadata: object) -> None:
    """Write a .safetensors file, all or nothing; for the arguments see ``save``. Raises OSError."""
    path = Path(path)
    stored = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(stored, temporary, {key: str(value) for key, value in metadata.items()})
        temporary.chmod(mode)  # safetensors makes files that only their owner can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
