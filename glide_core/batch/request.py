"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..choices import SHARD_SIZE
from ..diffusion.options import SAMPLING, UPSAMPLING, Sampling
from ..errors import OptionError

FIRST_MODEL = {"generate": "base", "upsample": "upsampler", "inpaint": "base_inpaint"}  # that reads a task's prompt


@dataclass(frozen=True)
class Models:
    """The checkpoints, paths or names; None where there is none for a task.

    Attributes:
        base, upsampler: for rows with a prompt alone; without an upsampler they stay as small as the base paints.
            The upsampler also enlarges rows with a picture.
        base_inpaint, upsample_inpaint: for rows with a picture and a mask.
    """

    base: str | None = "tiny-base"
    upsampler: str | None = "tiny-upsample"
    base_inpaint: str | None = "tiny-base-inpaint"
    upsample_inpaint: str | None = "tiny-upsample-inpaint"

    def of_task(self, task: str) -> dict[str, str]:
        """The checkpoints that a task needs. Raises OptionError: one of them is None."""
        names = {
            "generate": ("base", "upsampler") if self.upsampler else ("base",),
            "upsample": ("upsampler",),
            "inpaint": ("base_inpaint", "upsample_inpaint"),
        }[task]
        for name in names:
            if getattr(self, name) is None:
                option = f"--{name.replace('_', '-')}"
                raise OptionError(f"some rows are to {task}, which needs {option}: name it, and leave out --stage base")
        return {name: str(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Painting:
    """How rows become pictures.

    Attributes:
        models: the checkpoints.
        negative, seed: of rows that have none of their own; the seed of row i is ``seed + i``.
        sampling, upsampling: of the base models and the upsamplers, where a row does not say otherwise.
        device: "cpu" or "cuda"; dtype: a name of ``device.DTYPES``.
        batch: how many pictures are painted at once. Smaller groups are filled up to it, because the same picture may
            differ in its last bits between batches of other sizes.
        threads: that a worker computes with on a CPU; they decide the last bits, too.
        best_of: how often each row is painted, of which the best is kept; None paints once and scores nothing.
        scorer, clip: what tells which is the best, see ``scoring.load_scorer``.
        dry_run: make flat pictures without any model, and score nothing.
    """

    models: Models = field(default_factory=Models)
    negative: str = ""
    seed: int = 0
    sampling: Sampling = SAMPLING
    upsampling: Sampling = UPSAMPLING
    device: str = "cpu"
    dtype: str = "fp32"
    batch: int = 1
    threads: int = 1
    best_of: int | None = None
    scorer: str = "glide-clip"
    clip: str = "tiny-clip"
    dry_run: bool = False


@dataclass(frozen=True)
class BatchRequest:
    """A whole run.

    Attributes:
        source, output: paths or URLs that fsspec knows.
        columns: our name of a column -> the input's.
        painting: see there.
        shard_size: rows in a shard.
        shard_index, shard_count: this driver does each ``shard_count``-th shard, from number ``shard_index`` on.
        files: write one file a picture beside the tables, and no tar files.
        format: of the pictures: png, jpg or webp.
        retry_errors: paint the rows again that failed in shards that are done.
        max_errors: the run stops when more rows than these have failed.
    """

    source: str
    output: str
    columns: Mapping[str, str] = field(default_factory=dict)
    painting: Painting = field(default_factory=Painting)
    shard_size: int = SHARD_SIZE
    shard_index: int = 0
    shard_count: int = 1
    files: bool = False
    format: str = "png"
    retry_errors: bool = False
    max_errors: int = 1000


@dataclass(frozen=True)
class ShardTask:
    """The rows of one shard.

    Attributes:
        shard: its number; first: the number of its first row in the input.
        records: what the input has for each row, see ``records.Record``.
    """

    shard: int
    first: int
    records: list[Any]
