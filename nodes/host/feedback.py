"""What a node tells its user while it runs."""

from __future__ import annotations

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from server import PromptServer
from torch import Tensor

EMPTY = "The mask is empty: there is nothing to repaint, and the image is returned as it came."


def show(text: str, node_id: str) -> None:
    """Write a line on the face of a node."""
    PromptServer.instance.send_progress_text(text, node_id)


def untouched(node_id: str, samples: Tensor, image: Tensor) -> io.NodeOutput:
    """The LATENT and IMAGE outputs of a node whose mask is empty, and a line on its face that says so.

    Args:
        samples: [B, 3, H, W] in -1..1.
        image: [B, H, W, C] in 0..1.
    """
    show(EMPTY, node_id)
    return io.NodeOutput({"samples": samples}, image, ui=ui.PreviewText(EMPTY))


def missing(text: str) -> ExecutionBlocker:
    """The value of an output that there is none of: a node that is connected to it ends with the text as its error."""
    return ExecutionBlocker(text)
