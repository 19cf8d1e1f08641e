"""The cells of a study become pictures: those that can be are painted together, and one that fails stops no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .. import pipeline
from ..device import DTYPES, exact_fp32
from ..diffusion.clip_guidance import Clip, ClipGuide
from ..diffusion.options import Sampling
from ..errors import CheckpointError, GlideError
from ..files import checkpoints, clip_checkpoints
from ..files.integrity import sha256
from ..pipeline import Stage
from ..scoring import load_clip
from ..train import lora
from .cells import Cell, Machine, lora_file
from .store import Store

BATCH = 8  # pictures that are painted together, unless the user says otherwise
KEPT_STAGES = 2

Advance = Callable[[float], None]


class Models:
    """The models that cells name, each loaded when the first cell needs it.

    Args:
        device: where they run.
        dtype: a name of ``device.DTYPES``.
    """

    def __init__(self, device: torch.device, dtype: str) -> None:
        self.device, self.dtype = device, dtype
        self._stages: dict[tuple[str, str], Stage] = {}
        self._clips: dict[str, Clip] = {}
        exact_fp32()

    def stage(self, source: str, kind: str, additions: str = "") -> Stage:
        """A model, with the additions of a ``Cell.lora``.

        Raises:
            CheckpointError: a file is missing, broken, or of another kind.
        """
        key = source, additions
        if key not in self._stages:
            while len(self._stages) >= KEPT_STAGES:
                self._stages.pop(next(iter(self._stages)))
            stage = Stage.load(source, device=self.device, dtype=DTYPES[self.dtype])
            pipeline.require_kind(stage, kind)
            if additions:
                lora.onto(stage, additions)
            _warm_up(stage)
            self._stages[key] = stage
        return self._stages[key]

    def guide(self, cell: Cell) -> ClipGuide | None:
        """What guides the base of a cell. Raises CheckpointError: the noised CLIP is missing or broken."""
        if not cell.clip_guidance:
            return None
        if cell.clip not in self._clips:
            self._clips[cell.clip] = load_clip(cell.clip, device=self.device, dtype=DTYPES[self.dtype])
        return ClipGuide(self._clips[cell.clip], scale=cell.clip_guidance)


def _warm_up(stage: Stage) -> None:
    """Take a step that does not count: the first one prepares much, and would be part of its picture's time."""
    if stage.model.config.low_res:
        side = stage.model.config.image_size // 4
        pipeline.upsample(stage, [""], torch.zeros(1, 3, side, side), Sampling("1", "ddim"))
    else:
        pipeline.generate(stage, [""], Sampling("1", "ddim"))


def machine_of(cells: Iterable[Cell], device: torch.device, dtype: str) -> Machine:
    """Where the cells will be made, with the hashes of their models; a model that is not there has none."""
    cells = list(cells)
    found = {cell.checkpoint for cell in cells} | {cell.upsampler for cell in cells if cell.upsampler}
    digests = {name: _digest(name, lambda name: (checkpoints.find(name),)) for name in sorted(found)}
    files = {lora_file(cell.lora) for cell in cells if cell.lora}
    digests |= {name: _digest(name, lambda name: (Path(name),)) for name in sorted(files)}
    clips = {cell.clip for cell in cells if cell.clip_guidance}
    digests |= {name: _digest(name, clip_checkpoints.find) for name in sorted(clips)}
    return Machine(device.type, dtype, digests)


def _digest(name: str, find: Callable[[str], tuple[Path, ...]]) -> str:
    try:
        return " ".join(map(sha256, find(name)))
    except (CheckpointError, OSError):  # the cells that need it will say so
        return ""


def stages_of(cells: Iterable[Cell]) -> list[Cell]:
    """The cells with the small pictures that they are made from, each once, the small pictures first."""
    cells = list(cells)
    return list(dict.fromkeys([*(cell.small for cell in cells), *(cell for cell in cells if cell.upsampler)]))


def make(cells: Iterable[Cell], store: Store, models: Models, batch: int, advance: Advance) -> dict[Cell, str]:
    """Paint the pictures that are not in the store yet.

    Args:
        batch: at most so many pictures are painted together.
        advance: is told after each model step how much was done, in the unit of ``Cell.cost``.
    Returns:
        What went wrong, for each cell whose picture could not be made.
    Raises:
        OSError: a picture cannot be written.
    """
    failed: dict[Cell, str] = {}
    for group in _groups(cell for cell in stages_of(cells) if not store.has(cell)):
        for start in range(0, len(group), batch):
            some = [cell for cell in group[start : start + batch] if cell.small not in failed]
            failed |= {cell: failed[cell.small] for cell in group[start : start + batch] if cell.small in failed}
            if some:
                failed |= _make_together(some, store, models, advance)
    return failed


def _groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The cells that can be painted together; those of one model come after each other, so that it is loaded once."""
    groups: dict[Cell, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.batch_key, []).append(cell)
    models = list(dict.fromkeys((key.upsampler or "", key.checkpoint, key.lora) for key in groups))
    order = {model: place for place, model in enumerate(models)}
    ordered = sorted(groups, key=lambda key: order[key.upsampler or "", key.checkpoint, key.lora])
    return [groups[key] for key in sorted(ordered, key=lambda key: key.upsampler is not None)]


def _make_together(cells: list[Cell], store: Store, models: Models, advance: Advance) -> dict[Cell, str]:
    """Paint a batch; where that fails each by itself, to find out which cell is to blame."""
    try:
        _loaded(cells[0], models)
        started = time.perf_counter()
        samples = _painted(cells, store, models, advance)
    except (GlideError, MemoryError, RuntimeError) as error:
        if len(cells) == 1:
            return {cells[0]: str(error) or type(error).__name__}
        failed: dict[Cell, str] = {}
        for cell in cells:
            failed |= _make_together([cell], store, models, advance)
        return failed
    store.add(cells, samples, time.perf_counter() - started)
    return {}


def _painted(cells: Sequence[Cell], store: Store, models: Models, advance: Advance) -> Tensor:
    """Samples [B, 3, H, W] in -1..1 of cells with one ``batch_key``."""
    first = cells[0]
    prompts, negatives = [cell.prompt for cell in cells], [cell.negative for cell in cells]
    seeds = [cell.seed for cell in cells]

    def step(number: int, total: int, x_start: Tensor) -> None:
        advance(sum(cell.cost for cell in cells) / total)

    stage = _loaded(first, models)
    if first.upsampler is None:
        guide = models.guide(first)
        return pipeline.generate(
            stage, prompts, first.sampling, negative=negatives, seed=seeds, clip=guide, callback=step
        )
    small = store.samples([cell.small for cell in cells])
    return pipeline.upsample(stage, prompts, small, first.upsampling, negative=negatives, seed=seeds, callback=step)


def _loaded(cell: Cell, models: Models) -> Stage:
    """The model that paints a cell. Raises CheckpointError."""
    if cell.upsampler is None:
        return models.stage(cell.checkpoint, "base", cell.lora)
    return models.stage(cell.upsampler, "upsample")
