"""GlideGrid's work: each cell is painted and saved before the next one begins.

The host runs a node with lists once for each item before it goes on to the next node: all cells would be sampled before
the first is saved. So GlideGrid puts a graph in its own place, in which the nodes between the sweep and the grid are
there once for each cell, and a ``GlideGridCell`` after each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import GraphBuilder, is_link
from torch import Tensor

from ...glide_core.contact_sheet import draw_grid, draw_sheet, unreadable
from . import pictures
from .feedback import show

Node = Mapping[str, Any]
AxesSocket = io.Custom("GLIDE_AXES")
Saved = io.Custom("GLIDE_CELLS")
CELL = "GlideGridCell"
COLUMNS = 6  # of a grid with one axis


def nodes_between(node_of: Callable[[str], Node], last: str, source: str) -> list[str]:
    """The nodes through which what ``source`` gives reaches ``last``, which is one of them, or [] if it does not.

    Args:
        node_of: the node of a number, {"class_type": ..., "inputs": ...}.
    """
    reached: dict[str, bool] = {source: True}
    waiting = [last]
    while waiting:
        number = waiting[-1]
        before = [value[0] for value in node_of(number)["inputs"].values() if is_link(value)]
        unknown = [other for other in before if other not in reached]
        if unknown and number not in reached:
            waiting += unknown
            continue
        waiting.pop()
        reached.setdefault(number, any(reached[other] for other in before))
    return [number for number, found in reached.items() if found and number != source] if reached[last] else []


def is_swept(node_of: Callable[[str], Node], image: Any, axes: Any, slots: int) -> bool:
    """Whether the picture depends on the node that made the axes, by no other outputs than the first ``slots``."""
    if not is_link(image) or not is_link(axes):
        return False
    between = nodes_between(node_of, image[0], axes[0])
    links = [value for number in between for value in node_of(number)["inputs"].values() if is_link(value)]
    return bool(between) and all(slot < slots for number, slot in links if number == axes[0])


def is_connected(prompt: Mapping[str, Node], number: str, slot: int) -> bool:
    """Whether any node of a prompt takes this output."""
    return any([number, slot] == value for node in prompt.values() for value in node["inputs"].values())


def cell_by_cell(
    node_of: Callable[[str], Node],
    image: Sequence[Any],
    axes: Sequence[Any],
    slots: Sequence[Sequence[Any]],
    prefix: str,
) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """The graph that paints and saves one cell after the other, and the link to the finished grid.

    Args:
        image, axes: the links of GlideGrid's inputs.
        slots: for each cell the values of the outputs of the node that ``axes`` comes from.
        prefix: of the names of the files.
    """
    between = nodes_between(node_of, image[0], axes[0])
    root, graph, done = GraphBuilder.alloc_prefix(), dict[str, dict[str, Any]](), None
    for place, values in enumerate(slots):

        def moved(value: Any, place: int = place, values: Sequence[Any] = values) -> Any:
            if not is_link(value):
                return value
            if value[0] == axes[0]:
                return values[value[1]]
            return [f"{root}{place}.{value[0]}", value[1]] if value[0] in between else value

        for number in between:
            node = node_of(number)
            inputs = {name: moved(value) for name, value in node["inputs"].items()}
            new = {"class_type": node["class_type"], "inputs": inputs, "override_display_id": number}
            graph[f"{root}{place}.{number}"] = new
        cell = {"image": moved(list(image)), "axes": list(axes), "place": place, "filename_prefix": prefix}
        if done is not None:
            cell["saved"] = [done, 1]
        done = f"{root}{place}.cell"
        graph[done] = {"class_type": CELL, "inputs": cell}
    return graph, [done, 0]


class GlideGridCell(io.ComfyNode):
    """Saves a cell and tells the page; the last one gives the grid. It is in no graph but those of ``cell_by_cell``."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id=CELL,
            category="GLIDE/studies",
            display_name="GLIDE Grid Cell",
            description="GlideGrid makes one for each cell while it runs: it saves the cell. It is not meant to be "
            "used by hand.",
            is_deprecated=True,  # so that menus do not show it
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The picture of the cell."),
                AxesSocket.Input("axes", tooltip="What all cells are made with."),
                io.Int.Input("place", tooltip="Which cell it is, counted from 0."),
                io.String.Input("filename_prefix", tooltip="The name of the file."),
                Saved.Input("saved", optional=True, tooltip="The cells before it."),
            ],
            outputs=[
                io.Image.Output(tooltip="The cell; of the last one the labelled picture of all."),
                Saved.Output(tooltip="The cells up to this one."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, axes, place, filename_prefix, saved=()) -> io.NodeOutput:
        if len(image) != 1:
            raise ValueError(
                f"GlideGrid: image is a batch of {len(image)}, but a cell of the sweep is one picture: set batch_size "
                "to 1, and give seeds as an axis"
            )
        entry = saved_cell(image[0], axes, place, filename_prefix, cls.hidden)
        saved = (*saved, entry)
        grid = finished_grid(saved, axes, cls.hidden.unique_id) if len(saved) == len(axes.cells) else image
        return io.NodeOutput(grid, saved, ui=shown(saved if grid is not image else [entry]))


def require_picture_each(pictures: int, cells: int) -> None:
    """Raise ValueError unless there is one picture for each cell."""
    if pictures != cells:
        raise ValueError(f"image holds {pictures} pictures, but axes {cells} cells: connect both to the same sweep")


def shown(saved: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The ui output that shows saved cells in the node's contact sheet."""
    return {pictures.SHEET: list(saved)}


def saved_cell(image: Tensor, axes: Any, place: int, prefix: str, hidden: Any) -> dict[str, Any]:
    """Save one cell, an IMAGE [H, W, C] -> its entry in the contact sheet."""
    parameters = dict(axes.cells[place])
    texts = pictures.notes_of_graph(hidden.prompt, hidden.extra_pnginfo, parameters)
    entry = {**pictures.save(image, prefix, texts=texts), "place": place, "count": len(axes.cells)}
    told = {key: parameters[key] for key in ("seed", "prompt") if key in parameters}
    columns = len(axes.columns) if axes.rows != ("",) else COLUMNS
    return {**entry, **told, "caption": axes.captions[place], "columns": columns, "parameters": parameters}


def finished_grid(saved: Sequence[Mapping[str, Any]], axes: Any, node_id: str) -> Tensor:
    """The labelled picture of all cells as an IMAGE [1, H, W, 3]."""
    images = [pictures.read(entry) for entry in saved]
    if axes.rows == ("",):
        drawn = draw_sheet(images, axes.captions, COLUMNS, what="the grid")
    else:
        drawn = draw_grid(images, axes.columns, axes.rows)
    numbered = unreadable(axes.captions if axes.rows == ("",) else [*axes.columns, *axes.rows])
    if numbered:
        show("\n".join(numbered), node_id)
    return torch.from_numpy(np.asarray(drawn)[None].copy()).float() / 255
