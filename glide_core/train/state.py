"""The file ``state.pt`` from which a training resumes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from ..files import integrity

FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": dict,
    "ema": dict,
    "ema_count": torch.Tensor,
    "optimizer": dict,
    "config": str,
    "step": int,
    "positions": list,
    "auxiliary": (dict, list, type(None)),
}


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


def remove_leftovers(out: Path) -> None:
    """Remove what a training that was killed while it wrote left in its folder. Only one may write there at a time."""
    for path in (*out.glob(".*.tmp"), out / "state.tmp"):
        path.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """Read what ``write`` wrote.

    Raises:
        CheckpointError: the file does not exist, is damaged, or is something else; nothing is changed.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist: start without --resume")
    try:
        integrity.check_records(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        raise CheckpointError(
            f"{path} is damaged, so that the training cannot go on from it: nothing was changed. Copy the file again, "
            f"or start a training into another folder from the model beside it with --init ({error})"
        ) from error
    problems = _problems(state)
    if problems:
        raise CheckpointError(
            f"{path} is not the state of a training by this version of glide: {', '.join(problems)}. Nothing was "
            f"changed. Go on with the version that wrote it, or start a training into another folder from the model "
            "beside it with --init"
        )
    return dict(state)


def _problems(state: Any) -> list[str]:
    """What keeps a file's content from being a state, in words."""
    if not isinstance(state, dict):
        return [f"it holds a {type(state).__name__}"]
    problems = [f"it has no {name!r}" for name in FIELDS if name not in state]
    problems += [f"{str(name)[:40]!r} is unknown" for name in state if name not in FIELDS][:5]
    for name, kind in FIELDS.items():
        if name in state and not isinstance(state[name], kind):
            problems.append(f"{name!r} is a {type(state[name]).__name__}")
    if problems:
        return problems
    for name in ("model", "ema"):
        if not all(isinstance(tensor, torch.Tensor) for tensor in state[name].values()):
            problems.append(f"{name!r} holds other things than tensors")
    if state["step"] < 0 or state["ema_count"].numel() != 1:
        problems.append("its steps are not counted")
    if not state["positions"] or not all(isinstance(k, int) and k >= 0 for k in state["positions"]):
        problems.append("'positions' are no places in a data set")
    return problems
