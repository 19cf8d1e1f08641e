"""The log of a training: ``log.csv``, and TensorBoard's event files where wanted."""

from __future__ import annotations

import csv
from pathlib import Path

FIELDS = ("step", "loss", "lr", "gradient_norm", "images_per_second")


class Log:
    """One row a step. A resumed training goes on below the rows of the steps before ``step``.

    Raises:
        ValueError: TensorBoard is wanted, but its package is not there.
    """

    def __init__(self, out: Path, step: int, tensorboard: bool):
        path = out / "log.csv"
        kept = _rows(path, step) if step else []
        self.file = path.open("w", newline="", encoding="utf-8", buffering=1)
        self.rows = csv.DictWriter(self.file, FIELDS)
        self.rows.writeheader()
        self.rows.writerows(kept)
        self.events = _events(out / "tensorboard", step) if tensorboard else None

    def __call__(self, **values: float) -> None:
        self.rows.writerow({name: f"{value:.6g}" if name != "step" else value for name, value in values.items()})
        if self.events:
            for name in FIELDS[1:]:
                self.events.add_scalar(name, values[name], values["step"])

    def close(self) -> None:
        self.file.close()
        if self.events:
            self.events.close()


def _rows(path: Path, step: int) -> list[dict]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = (row for row in csv.DictReader(file) if row[FIELDS[-1]])  # a full disk can cut the last one
        return [row for row in rows if int(row["step"]) < step]


def _events(folder: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(folder), purge_step=step)
