"""Checkpoints on disk: find, read, recognise, load and save.

A file is recognised by its content and its tensors, never by its name, and every refusal says what is wrong with it.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..errors import CheckpointError
from ..models import layers
from ..models.config import BASE, PUBLISHED, TINY_NOISE_OFFSET, ModelConfig
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from .detect import CONFIG_KEY, StateDict, check, detect_config, shapes
from .folders import models_dir, published_filename
from .reading import read

NO_NOTES: Mapping[str, object] = MappingProxyType({})
NOISE_OFFSET_KEY = "noise_offset"
LEFTOVER_AGE = 3600.0  # seconds
TINY_FOLDER = Path(__file__).parents[1] / "assets" / "tiny"


def find(name: str | Path) -> Path:
    """Path of a checkpoint: an existing file, an embedded model ("tiny-base", ...) or a published one ("base", ...).

    Args:
        name: a path, or one of these names.
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
    the checkpoint, the embedded models', GPT-2's from ``encoder.json`` and ``vocab.bpe`` beside the checkpoint, GPT-2's
    that is embedded.

    Args:
        config: of the checkpoint.
        path: of the checkpoint; it need not exist yet.
    Raises:
        CheckpointError: there is none, or one beside the checkpoint is broken; the message says what to do.
    """
    path = Path(path)
    own = path.with_name(f"{path.stem}.tokenizer.json")
    for file in (own, path.with_name("tokenizer.json"), TINY_FOLDER / "tokenizer.json"):
        if file.is_file():
            tokenizer = Tokenizer.from_file(file, config.text_ctx)
            if tokenizer.vocab_size == config.vocab_size:
                return tokenizer
    if config.vocab_size == BASE.vocab_size:
        files = path.with_name("encoder.json"), path.with_name("vocab.bpe")
        if all(file.is_file() for file in files):
            return Tokenizer.from_gpt2(*files, config.text_ctx)
        return Tokenizer.gpt2(config.text_ctx)
    raise CheckpointError(
        f"no tokenizer of the {config.vocab_size} tokens of {path} is beside it: put {own.name} there"
    )


def read_model(path: str | Path) -> tuple[StateDict, ModelConfig]:
    """Read a diffusion model and make sure that its tensors are exactly those of its config.

    Args:
        path: a file of any kind that ``reading.read`` reads.
    Returns:
        The tensors, as they are in the file, and what they are a model of.
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


def trained_noise_offset(source: str | Path) -> tuple[float, ...]:
    """The ``Sampling.noise_offset`` that a model was trained with; () where its file does not say.

    Args:
        source: a path or a name that ``find`` knows.
    Raises:
        CheckpointError: it is not there or cannot be read, or the note is no such thing.
    """
    path = find(source)
    _, metadata = read(path)
    if NOISE_OFFSET_KEY not in metadata and path.parent == TINY_FOLDER and path.stem.startswith("tiny-base"):
        return TINY_NOISE_OFFSET  # these files are older than the note
    try:
        return tuple(float(part) for part in metadata.get(NOISE_OFFSET_KEY, "").split(",") if part)
    except ValueError as error:
        raise CheckpointError(f"{path}: its note {NOISE_OFFSET_KEY!r} holds no numbers: {error}") from error


def load_model(
    source: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Text2Im:
    """Load a model for inference: eval mode, no gradients.

    Args:
        source: a path or a name that ``find`` knows.
        device: where the weights go.
        dtype: of the weights.
    Raises:
        CheckpointError: see ``find`` and ``read_model``.
    """
    state_dict, config = read_model(find(source))
    model = Text2Im(config, operations=layers, device="meta", dtype=dtype)
    model.load_state_dict({name: tensor.to(device, dtype) for name, tensor in state_dict.items()}, assign=True)
    return model.eval().requires_grad_(False)


def save(
    state_dict: StateDict,
    config: ModelConfig,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    notes: Mapping[str, object] = NO_NOTES,
) -> None:
    """Write a .safetensors file whose metadata holds the config, all or nothing: a failure leaves what was there.

    Args:
        state_dict: the tensors of a ``Text2Im`` of this config.
        config: of the model.
        path: the file; its folder is made.
        dtype: what to store the tensors as (default: as they are).
        notes: more to note in the file, stored as text.
    Raises:
        CheckpointError: the tensors are not those of the config.
        OSError: the file cannot be written.
    """
    check(state_dict, shapes(config))
    write(state_dict, path, dtype=dtype, notes={**notes, CONFIG_KEY: config.to_json()})


def write(
    tensors: StateDict,
    path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    notes: Mapping[str, object] = NO_NOTES,
) -> None:
    """Write any tensors as a .safetensors file, all or nothing.

    Args:
        tensors: by their names.
        path, dtype, notes: see ``save``.
    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    stored = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(stored, temporary, {key: str(value) for key, value in notes.items()})
        temporary.chmod(mode)  # safetensors makes files that only their owner can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of earlier writes of ``path`` that were killed.

    A process that still writes touches its file all the time, so that a file of an hour ago is nobody's.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if time.time() - leftover.stat().st_mtime > LEFTOVER_AGE:
            leftover.unlink(missing_ok=True)
