"""The optional packages of this room, with an error that says how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import MissingPackageError


def need(name: str, extra: str = "batch") -> Any:
    """Import a module of an optional package. Raises MissingPackageError: it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingPackageError(
            f'batches and shards need the package {package}: pip install "glide-nodes[{extra}]"'
        ) from error
