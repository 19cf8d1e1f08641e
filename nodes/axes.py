"""What GlideSweep and GlidePrompts tell GlideGrid: the cells of a grid, and what each was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..glide_core.errors import OptionError
from ..glide_core.prompts import Prompt
from ..glide_core.study.axes import AXES, Axis, Value, label, parse_axis

MOST_CELLS = 1000
SWEPT = ("guidance", "steps", "sampler", "temperature", "seed", "prompt", "negative")  # in the order of the outputs


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
        base: the value of each of ``SWEPT`` where it is on no axis.
    Raises:
        OptionError: an axis or a value is wrong, or there are more than ``MOST_CELLS``.
    """
    across = _axis(x, "x")
    down = _axis(y, "y") if y.strip() else None
    if down is not None and down.name == across.name:
        raise OptionError(f"x and y are both {down.name}: sweep two different things, or leave y empty")
    count = len(across.values) * (len(down.values) if down else 1)
    if count > MOST_CELLS:
        raise OptionError(f"x and y make {count} cells: give fewer values, {MOST_CELLS} cells at most")
    own = [{down.name: value} for value in down.values] if down else [{}]
    cells = [{**base, **row, across.name: value} for row in own for value in across.values]
    names = [axis.name for axis in (across, down) if axis]
    captions = tuple(", ".join(label(name, cell[name]) for name in names) for cell in cells)
    slots = tuple(tuple(_output(name, cell[name]) for name in SWEPT) for cell in cells)
    return Axes(across.labels, down.labels if down else ("",), tuple(cells), captions, slots)


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


def _axis(text: str, name: str) -> Axis:
    axis = parse_axis(text, name)
    if axis.name not in SWEPT:
        others = ", ".join(other for other in AXES if other not in SWEPT)
        raise OptionError(
            f"{name}: {axis.name} is no axis of this node: use one of {', '.join(SWEPT)}. `glide study` sweeps {others}"
        )
    return axis


def _output(name: str, value: Value) -> Value:
    """A value as inputs of nodes take it: KSampler takes steps as a number, GlideSampler a respacing, too."""
    return int(value) if name == "steps" and str(value).isdecimal() else value
