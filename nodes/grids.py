"""Many pictures on one: a labelled grid, and how often each label fits."""

import numpy as np
import torch
from comfy_api.latest import io

from ..glide_core.study.bars import draw_bars, table
from ..glide_core.study.shares import counts
from .axes import labelled
from .checks import named
from .host import grid
from .host.feedback import show
from .host.grid import AxesSocket
from .judges import clip_input, judge_inputs, judged
from .schema import schema


class GlideGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideGrid",
            category="studies",
            display_name="GLIDE Grid",
            description="Makes one labelled picture of many, and saves each of them with its parameters. With the axes "
            "of GlideSweep or GlidePrompts it paints and saves one cell after the other, so that a cancelled run keeps "
            "what was done. The node shows all cells; a click on one enlarges it.",
            search_aliases=["xy plot", "grid", "contact sheet", "image grid", "compare", "labels"],
            is_input_list=True,
            is_output_node=True,
            enable_expand=True,
            inputs=[
                io.Image.Input("image", lazy=True, tooltip="The pictures of all cells, from any node."),
                AxesSocket.Input(
                    "axes", optional=True, tooltip="From GlideSweep or GlidePrompts: which picture is which cell."
                ),
                io.String.Input(
                    "labels",
                    optional=True,
                    force_input=True,
                    tooltip="Without axes: a text below each picture, as a list.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="glide/grid",
                    tooltip="The name of the files of the cells, perhaps with a folder in ComfyUI's output folder.",
                ),
            ],
            outputs=[io.Image.Output(tooltip="The labelled picture, for SaveImage or PreviewImage.")],
            hidden=[io.Hidden.prompt, io.Hidden.dynprompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
        )

    @classmethod
    def check_lazy_status(cls, image, axes=(None,), **others):
        if image[0] is not None or (axes[0] is not None and cls._is_swept(len(axes[0].slots[0]))):
            return []
        return ["image"]

    @classmethod
    def execute(cls, image, filename_prefix, axes=(None,), labels=(None,)) -> io.NodeOutput:
        prefix = filename_prefix[0]
        with named("GlideGrid"):
            if image[0] is None:
                own = cls._inputs()
                node_of = cls.hidden.dynprompt.get_node
                graph, link = grid.cell_by_cell(node_of, own["image"], own["axes"], axes[0].slots, prefix)
                return io.NodeOutput(link, expand=graph)
            pictures = [picture for batch in image for picture in batch]
            cells = axes[0] or labelled([label for label in labels if label is not None], len(pictures))
            grid.require_picture_each(len(pictures), len(cells.cells))
            saved = [grid.saved_cell(picture, cells, k, prefix, cls.hidden) for k, picture in enumerate(pictures)]
            drawn = grid.finished_grid(saved, cells, cls.hidden.unique_id)
        return io.NodeOutput(drawn, ui=grid.shown(saved))

    @classmethod
    def _inputs(cls):
        """The inputs of this node in the graph: links are still links."""
        return cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"]

    @classmethod
    def _is_swept(cls, slots: int) -> bool:
        """Whether the pictures are of the node that made the axes, by its first outputs, which are lists."""
        own = cls._inputs()
        return grid.is_swept(cls.hidden.dynprompt.get_node, own.get("image"), own.get("axes"), slots)


class GlideTally(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideTally",
            category="studies",
            display_name="GLIDE Tally",
            description="Tells for each image which label fits best, and counts them: what a model paints when a "
            "prompt leaves it open. The judge is GLIDE's noised CLIP, or any CLIP_VISION with its CLIP.",
            search_aliases=["bias", "zero-shot", "classify", "histogram", "count", "statistics"],
            inputs=[
                io.Image.Input("image", tooltip="A batch of images, of any size: the more, the surer the shares."),
                io.String.Input(
                    "labels",
                    multiline=True,
                    default="a red circle\na blue circle\na green circle",
                    tooltip="What an image may show, one a line. Two or more.",
                ),
                clip_input(optional=True),
                *judge_inputs(),
            ],
            outputs=[
                io.Image.Output(display_name="histogram", tooltip="The share of each label with its 95 % interval."),
                io.String.Output(display_name="table", tooltip="The same as a table, for a file: CSV."),
                io.Int.Output(display_name="counts", is_output_list=True, tooltip="How many of each, as a list."),
                io.String.Output(display_name="found", is_output_list=True, tooltip="The label of each image."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, labels):
        try:
            return bool(labels is None or _labels(labels))
        except ValueError as error:
            return str(error)

    @classmethod
    def execute(cls, image, labels, glide_clip=None, clip_vision=None, clip=None) -> io.NodeOutput:
        with named("GlideTally"):
            names = _labels(labels)
            scores = torch.tensor([judged(image, name, glide_clip, clip_vision, clip) for name in names])
        found = [names[place] for place in scores.argmax(dim=0).tolist()]
        seen = counts(found, names, None)
        show("\n".join(f"{one.label}: {one.count} of {one.of}" for one in seen), cls.hidden.unique_id)
        picture = torch.from_numpy(np.asarray(draw_bars(seen))[None].copy()).float() / 255
        return io.NodeOutput(picture, table(seen), [one.count for one in seen], found)


def _labels(text: str) -> list[str]:
    """The lines of a text. Raises ValueError unless there are two or more, each once."""
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"labels: give two or more, one a line and each once; here are {', '.join(names) or 'none'}")
    return names
