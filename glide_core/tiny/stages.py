"""Runs the stages of a recipe one after the other, and goes on where it was stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..train import session
from ..train.request import TrainingRequest


class Stage(Protocol):
    """One training of a recipe."""

    def request(self, start: Path, out: Path, *, scale: float, device: str, precision: str) -> TrainingRequest:
        """The training of this stage from a checkpoint into a folder. It goes on if it was stopped there.

        Args:
            scale: of the numbers of steps.
            device, precision: see ``TrainingRequest`` and ``Options``.
        """


class Interrupted(Exception):
    """A stage was stopped and has saved its state; the recipe goes on there when it is started again."""


def run(result: Path, source: Path, stages: Sequence[Stage], *, scale: float, device: str, precision: str) -> Path:
    """Train a model through its stages, each in a folder beside the result.

    Args:
        result: the .safetensors to write.
        source: the checkpoint that the first stage starts from.
        scale, device, precision: see ``Stage.request``.
    Returns:
        The result.
    Raises:
        Interrupted: a stage was stopped, for example by Ctrl-C.
    """
    for k, stage in enumerate(stages):
        out = result.with_name(f"{result.stem}.{k}")
        outcome = session.run(stage.request(source, out, scale=scale, device=device, precision=precision))
        if outcome.interrupted:
            raise Interrupted(f"{out.name} was stopped after step {outcome.step}")
        (source,) = out.glob("*.safetensors")
    temporary = result.with_name(f".{result.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(result)
    return result
