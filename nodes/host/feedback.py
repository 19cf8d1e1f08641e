"""What a node tells its user while it runs."""

from server import PromptServer


def show(text: str, node_id: str) -> None:
    """Write a line on the face of a node."""
    PromptServer.instance.send_progress_text(text, node_id)
