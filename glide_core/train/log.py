"""The log of a training: ``log.csv``, and TensorBoard's event files for those who want them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingPackageError
from ..images import write_text_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FIELDS = ("step", "loss", "lr", "gradient_norm", "images_per_second")


class Log:
    """Writes one row for each step.

    Args:
        out: the folder that gets ``log.csv`` and ``tensorboard``.
        step: the first step to come; a resumed training keeps the rows of the steps before it.
        tensorboard: also write event files.
    Raises:
        MissingPackageError: TensorBoard is wanted but not installed.
    """

    def __init__(self, out: Path, step: int, tensorboard: bool) -> None:
        path = out / "log.csv"
        _start(path, _rows(path, step) if step else [])
        self.file = path.open("a", newline="", encoding="utf-8", buffering=1)
        self.rows = csv.DictWriter(self.file, FIELDS, lineterminator="\n")
        self.events = _events(out / "tensorboard", step) if tensorboard else None

    def write(self, step: int, *, loss: float, lr: float, gradient_norm: float, images_per_second: float) -> None:
        """Add the row of a step."""
        values = {"loss": loss, "lr": lr, "gradient_norm": gradient_norm, "images_per_second": images_per_second}
        self.rows.writerow({"step": step, **{name: f"{value:.6g}" for name, value in values.items()}})
        if self.events:
            for name, value in values.items():
                self.events.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        if self.events:
            self.events.close()


def _rows(path: Path, step: int) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        complete = (row for row in csv.DictReader(file) if row[FIELDS[-1]])  # a full disk can cut the last row short
        return [row for row in complete if row["step"].isdecimal() and int(row["step"]) < step]


def _start(path: Path, rows: list[dict[str, str]]) -> None:
    """Make the log one of these rows, all or nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_whole(path, text.getvalue())


def _events(folder: Path, step: int) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingPackageError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(folder), purge_step=step)
