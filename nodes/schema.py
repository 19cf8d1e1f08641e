"""What the schemas of all nodes have in common."""

import dataclasses

from comfy_api.latest import io

_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def schema(*, search_aliases: list[str], **fields) -> io.Schema:
    """A schema in the category GLIDE; other names to find the node by, where the host has them."""
    aliases = {"search_aliases": search_aliases} if "search_aliases" in _FIELDS else {}
    return io.Schema(category="GLIDE", **aliases, **fields)
