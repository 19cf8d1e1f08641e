"""The pictures of a study on disk: each is there whole with its parameters, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..choices import PAINTED_IN
from ..images import from_uint8, read_parameters, save_image
from .cells import Cell, Machine

CELLS = "cells"
SECONDS = "seconds.csv"  # how long each picture took, a line each
PENDING, READY = ".pending", ".ready"


class Store:
    """The folder of a study.

    Pictures that were painted together appear together, so that a run which is stopped at any moment and goes on paints
    the same batches as one that is not: they are written into one hidden folder, that is renamed, and only then do they
    move to their places. Whoever opens the store finishes a move that was stopped.

    Args:
        folder: it is made where it is not there.
        machine: where the pictures are made; it is part of their names.
    Raises:
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder, self.machine = folder / CELLS, machine
        self.folder.mkdir(parents=True, exist_ok=True)
        self._seconds_file = folder / SECONDS
        shutil.rmtree(self.folder / PENDING, ignore_errors=True)
        self._move()
        self.seconds = _read_seconds(self._seconds_file)

    def path(self, cell: Cell) -> Path:
        """Where the picture of a cell is, or will be."""
        return self.folder / f"{self.machine.file_name(cell)}.png"

    def has(self, cell: Cell) -> bool:
        """Is the picture of the cell there?"""
        return self.path(cell).is_file()

    def pixels(self, cell: Cell) -> np.ndarray:
        """The picture of a cell: uint8 [H, W, 3]."""
        with Image.open(self.path(cell)) as image:
            return np.asarray(image.convert("RGB"))

    def samples(self, cells: Sequence[Cell]) -> Tensor:
        """Pictures of one size: [B, 3, H, W] in -1..1."""
        return from_uint8(np.stack([self.pixels(cell) for cell in cells]))

    def add(self, cells: Sequence[Cell], samples: Tensor, seconds: float) -> None:
        """Write pictures that were painted together.

        Args:
            samples: [B, 3, H, W] in -1..1.
            seconds: that they took, all together.
        Raises:
            OSError: they cannot be written; none is there then.
        """
        pending = self.folder / PENDING
        pending.mkdir(exist_ok=True)
        for cell, picture in zip(cells, samples):
            notes = {**self.machine.parameters(cell), PAINTED_IN: self._painted_in(cell, len(cells))}
            save_image(pending / self.path(cell).name, picture, notes)
        os.replace(pending, self.folder / READY)
        self._move()
        self._note_seconds({self.machine.fingerprint(cell): seconds / len(cells) for cell in cells})

    def seconds_of(self, cell: Cell) -> float | None:
        """How long a picture took with the small picture that it was made from, or None where nobody noted that."""
        parts = [cell.small, cell] if cell.upsampler else [cell]
        found = [self.seconds.get(self.machine.fingerprint(part)) for part in parts]
        return None if None in found else sum(each for each in found if each is not None)

    def _painted_in(self, cell: Cell, count: int) -> str:
        if cell.upsampler is None:
            return f"{count},1"
        small = str(read_parameters(self.path(cell.small)).get(PAINTED_IN, "1,1"))
        return f"{small.partition(',')[0]},{count}"

    def _move(self) -> None:
        """Bring pictures to their places that are all written."""
        ready = self.folder / READY
        if ready.is_dir():
            for path in sorted(ready.iterdir()):
                os.replace(path, self.folder / path.name)
            ready.rmdir()

    def _note_seconds(self, seconds: Mapping[str, float]) -> None:
        self.seconds.update(seconds)
        with self._seconds_file.open("a", encoding="ascii") as file:
            file.write("".join(f"{fingerprint},{value:.3f}\n" for fingerprint, value in seconds.items()))


def _read_seconds(path: Path) -> dict[str, float]:
    """Lines that a killed run left unfinished are passed over."""
    found = {}
    lines = path.read_text(encoding="ascii", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        fingerprint, _, value = line.partition(",")
        try:
            found[fingerprint] = float(value)
        except ValueError:
            continue
    return found
