"""What GlideSweep and GlidePrompts tell GlideGrid: the cells of a grid, and what each was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..glide_core.errors import OptionError
from ..glide_core.prompts import Prompt
from ..glide_core.study.axes import Axis, Value, parse_axis
from ..glide_core.train.lora import named

MOST_CELLS = 1000
# The outputs of GlideSweep, in their order. The first ones have a value also where they are on no axis.
SWEPT = ("guidance", "steps", "sampler", "temperature", "seed", "prompt", "negative")
LOADED = ("checkpoint", "lora_name", "lora_strength", "clip_guidance")
OUTPUTS = (*SWEPT, *LOADED)


@dataclass(frozen=True)
class Axes:
    """The cells of a grid, row by row.

    Attributes:
        columns, rows: the labels of the sides; rows is [""] where there is one row without a label.
        cells: what each cell is made with, by the names of axes.
        captions: what stands below each cell in the viewer.
        slots: for each cell the values of the outputs of the node that made this, in their order.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: tuple[Mapping[str, Value], ...]
    captions: tuple[str, ...]
    slots: tuple[tuple[Any, ...], ...]


def swept(x: str, y: str, base: Mapping[str, Value]) -> Axes:
    """Cross two axes.

    Args:
        x, y: texts as in ``parse_axis``; y may be empty.
        base: the value of each of ``SWEPT`` where it is on no axis; outputs of ``LOADED`` are None then.
    Raises:
        OptionError: an axis or a value is wrong, or there are more than ``MOST_CELLS``.
    """
    across = parse_axis(x, "x")
    down = parse_axis(y, "y") if y.strip() else None
    if down is not None and down.name == across.name:
        raise OptionError(f"x and y are both {down.name}: sweep two different things, or leave y empty")
    count = len(across.values) * (len(down.values) if down else 1)
    if count > MOST_CELLS:
        raise OptionError(f"x and y make {count} cells: give fewer values, {MOST_CELLS} cells at most")
    rows = list(zip(down.labels, _outputs(down))) if down else [("", {})]
    columns = list(zip(across.labels, _outputs(across)))
    cells = tuple({**base, **row, **column} for _, row in rows for _, column in columns)
    captions = tuple(", ".join(filter(None, (column, row))) for row, _ in rows for column, _ in columns)
    slots = tuple(tuple(_sockets(cell).get(name) for name in OUTPUTS) for cell in cells)
    return Axes(across.labels, down.labels if down else ("",), cells, captions, slots)


def listed(prompts: Sequence[Prompt]) -> Axes:
    """A cell for each prompt, which is its label, too."""
    cells = tuple({"prompt": prompt.text, "negative": prompt.negative or ""} for prompt in prompts)
    captions = tuple(prompt.text for prompt in prompts)
    slots = tuple((prompt.text, prompt.negative or "") for prompt in prompts)
    return Axes(captions, ("",), cells, captions, slots)


def labelled(labels: Sequence[str], count: int) -> Axes:
    """A cell for each of so many pictures, with the labels that there are.

    Raises OptionError where there are labels, but not one for each.
    """
    if labels and len(labels) != count:
        raise OptionError(f"labels: there are {len(labels)} for {count} pictures: give one for each, or none")
    texts = tuple(labels) or tuple(str(place) for place in range(count))
    return Axes(texts, ("",), tuple({"label": text} for text in texts), texts, ((),) * count)


def _outputs(axis: Axis) -> list[dict[str, Value]]:
    """For each value of an axis the outputs that it decides."""
    if axis.name != "lora":
        return [{axis.name.replace("-", "_"): value} for value in axis.values]
    parts = [named(str(value)) if value else (None, 0.0) for value in axis.values]
    some = next(path for path, _ in parts if path is not None)
    # LoraLoader has no choice for none: it adds nothing at a strength of 0.
    return [{"lora_name": str(path or some), "lora_strength": strength} for path, strength in parts]


def _sockets(cell: Mapping[str, Value]) -> dict[str, Value]:
    """The values as inputs of nodes take them: KSampler takes steps as a number, GlideSampler a respacing, too."""
    steps = cell["steps"]
    return {**cell, "steps": int(steps) if str(steps).isdecimal() else steps}
