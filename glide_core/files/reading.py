"""Reading the tensors of a checkpoint of any kind: without running its code, and within bounds."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import CheckpointError
from . import integrity, limits
from .detect import StateDict
from .wrappers import unwrap


def read(path: str | Path) -> tuple[StateDict, dict[str, str]]:
    """Read a .safetensors or torch file without running its code. Tensors stay memory-mapped where the format allows.

    Args:
        path: the file; what it is is told by its content, not by its name.
    Returns:
        The tensors, freed of wrappers and prefixes (see ``wrappers``), and the safetensors metadata.
    Raises:
        CheckpointError: there is no file; it is empty, truncated or damaged; it is a web page or a text; it holds
            anything but plain data; or it claims to be larger than it is.
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
            content, metadata = _read_safetensors(path)
        else:
            content, metadata = _read_torch(path, zipped=head[:2] == b"PK"), {}
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is damaged or holds more than tensors: save only its state_dict") from error
    except Exception as error:  # damaged data can raise anything
        raise CheckpointError(f"{path} is truncated or damaged: download or copy it again ({error})") from error
    tensors = unwrap(content)
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    limits.check_tensors(tensors, path)
    return tensors, metadata


def _read_safetensors(path: Path) -> tuple[object, dict[str, str]]:
    limits.check_safetensors(path)
    with safe_open(path, framework="pt") as file:
        names, metadata = list(file.keys()), file.metadata() or {}
        if len(names) > limits.MAX_TENSORS:
            raise CheckpointError(f"{path} is no GLIDE model: it has {len(names)} tensors")
        return {name: file.get_tensor(name) for name in names}, metadata


def _read_torch(path: Path, *, zipped: bool) -> object:
    """Read a file of ``torch.save``. Those older than torch 1.6 are no zip archives and cannot be mapped."""
    if zipped:
        limits.check_zip(path)
        integrity.check_records(path)
    else:
        limits.check_legacy(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def _what_text(head: bytes) -> str:
    """What a file is that begins with text instead of a checkpoint, and what to do."""
    text = head.decode("utf-8", "replace").strip()
    if not text:
        return "is empty: download or copy it again"
    if text.startswith("<"):
        return "is a web page, not a checkpoint: the download went wrong, get the file again"
    return f"is a text file, not a checkpoint; it begins with {text[:40]!r}"
