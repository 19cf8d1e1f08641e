"""The file ``state.pt`` from which a training resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..files import integrity

FIELDS = ("model", "ema", "ema_count", "optimizer", "config", "step", "positions", "auxiliary")


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a training's state under a temporary name and rename it, so that a failure leaves what was there.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_suffix(".tmp")
    try:
        torch.save(state, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except RuntimeError as error:  # this is how torch reports a full disk
        raise OSError(f"{path} cannot be written, is the disk full? ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Read what ``write`` wrote.

    Raises:
        CheckpointError: the file does not exist, is damaged, or is something else; nothing is changed.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: start without --resume")
    try:
        integrity.check_records(path)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        missing = [name for name in FIELDS if name not in state]
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(
            f"{path} is damaged, so that the training cannot go on from it: nothing was changed. Copy the file again, "
            f"or start a training into another folder from the model beside it with --init ({error})"
        ) from error
    if missing:
        raise CheckpointError(f"{path} is not the state of a training: it has no {missing[0]!r}")
    return state
