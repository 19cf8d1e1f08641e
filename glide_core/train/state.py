"""The file ``state.pt`` from which a training resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError


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
        CheckpointError: the file does not exist or is damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: start without --resume")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(
            f"{path} is damaged, so that the training cannot go on from it: start another one from the model beside it "
            f"with --init ({error})"
        ) from error
    return state
