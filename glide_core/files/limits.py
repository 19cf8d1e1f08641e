"""Limits on what a file may make this process read or reserve, looked up before anything of it is built.

A checkpoint can come from anywhere. Its directory, its header and the instructions in its pickle say how large it
claims to be; these are read first, in bounded time and memory.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from pathlib import Path
from typing import IO

import torch

from ..errors import CheckpointError
from .detect import StateDict

MAX_TENSORS = 20_000  # the largest published model has 720, a training's state about five times as many
MAX_HEADER = 8 << 20  # bytes of a safetensors header, or of the pickle in a zip archive
MAX_INSTRUCTIONS = 200_000  # of a pickle; the largest published model has 24,000, with its optimizer four times that
LEGACY_PICKLES = 5  # magic number, protocol, system, content, keys: then the data of the tensors


def check_safetensors(path: Path) -> None:
    """Raise CheckpointError where the header of a safetensors file claims to be longer than a model's can be."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > path.stat().st_size - 8:
        raise CheckpointError(f"{path} is truncated or damaged: download or copy it again")
    if length > MAX_HEADER:
        raise CheckpointError(f"{path} is no GLIDE model: its header has {length} bytes, more than any model needs")


def check_zip(path: Path) -> None:
    """Raise CheckpointError where a zip archive is not one that ``torch.save`` wrote, or claims to hold too much.

    ``torch.save`` never compresses, so that a compressed record is no checkpoint's and may expand without limit.
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if len(records) > MAX_TENSORS:
            raise CheckpointError(f"{path} is no GLIDE model: it holds {len(records)} records, more than any model")
        if any(r.compress_type != zipfile.ZIP_STORED or r.compress_size != r.file_size for r in records):
            raise CheckpointError(f"{path} is a compressed archive, not a checkpoint: unpack it and use what is inside")
        if sum(record.file_size for record in records) > path.stat().st_size:
            raise CheckpointError(f"{path} claims to hold more than its size: it is damaged or was made to do harm")
        for record in records:
            if record.filename.endswith("/data.pkl"):
                if record.file_size > MAX_HEADER:
                    raise CheckpointError(
                        f"{path} is no GLIDE model: its table of tensors has {record.file_size} bytes"
                    )
                with path.open("rb") as file:
                    file.seek(_start(file, record))
                    _check_pickles(path, file, pickles=1)


def _start(file: IO[bytes], record: zipfile.ZipInfo) -> int:
    """Where the bytes of a record begin: behind its local header, its name and its padding.

    ``ZipFile.open`` would also compare the checksum, which not every file has (see ``integrity``).
    """
    file.seek(record.header_offset + 26)
    name, padding = struct.unpack("<HH", file.read(4))
    return record.header_offset + 30 + int(name) + int(padding)


def check_legacy(path: Path) -> None:
    """Raise CheckpointError where the pickles at the start of a file older than torch 1.6 are too long for a model."""
    with path.open("rb") as file:
        _check_pickles(path, file, pickles=LEGACY_PICKLES)


def _check_pickles(path: Path, file: IO[bytes], *, pickles: int) -> None:
    """Look through pickles without obeying them. Whatever runs code is refused later, by ``torch.load``."""
    count = 0
    for _ in range(pickles):
        for opcode, argument, _ in pickletools.genops(file):
            count += 1
            if count > MAX_INSTRUCTIONS:
                raise CheckpointError(f"{path} is no GLIDE model: it describes more things than any model has")
            if opcode.name == "GLOBAL" and str(argument).endswith(" bytearray"):  # of any size, filled with zeros
                raise CheckpointError(f"{path} holds more than tensors: save only its state_dict")


def check_tensors(tensors: StateDict, path: Path) -> None:
    """Make sure that the tensors are plain ones in memory, of which all elements are in the file.

    Raises:
        CheckpointError: there are too many tensors, or one is sparse, nested, quantized, without data, or shows the
            same few bytes of the file as many elements.
    """
    if len(tensors) > MAX_TENSORS:
        raise CheckpointError(f"{path} is no GLIDE model: it has {len(tensors)} tensors")
    total = 0
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
        if not plain or tensor.device.type != "cpu":
            raise CheckpointError(f"{path}: tensor {name!r} is not plain data, but sparse, nested, quantized or empty")
        size = tensor.numel() * tensor.element_size()
        total += size
        if size > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: tensor {name!r} of shape {tuple(tensor.shape)} is larger than its data")
    if total > 2 * path.stat().st_size:  # a few tensors may share their data
        raise CheckpointError(f"{path}: its tensors are larger than the file: it was made to fill the memory")
