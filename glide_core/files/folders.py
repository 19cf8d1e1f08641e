"""Where files are kept, and what the published ones are called."""

from __future__ import annotations

import os
from pathlib import Path


def models_dir() -> Path:
    """Where downloaded models live: the folder in ``GLIDE_MODELS``, or ``~/.cache/glide``."""
    return Path(os.environ.get("GLIDE_MODELS") or "~/.cache/glide").expanduser()


def published_filename(kind: str) -> str:
    """The published file of a ``ModelConfig.kind``."""
    return kind.replace("-", "_") + ".pt"
