"""The published models: which of them lie in models/glide, and what the loader calls those that do not."""

from __future__ import annotations

import folder_paths

from ...glide_core.files import download
from ...glide_core.files.folders import published_filename
from ...glide_core.models.config import PUBLISHED

FOLDER = "glide"
_MARK = " (OpenAI, "


def label(name: str) -> str:
    """What the loader calls a published model that is not there: "base (OpenAI, 1.5 GB, not downloaded)"."""
    return f"{name}{_MARK}{download.GIGABYTES[name]} GB, not downloaded)"


def name_of(choice: str) -> str | None:
    """The published model that a choice of the loader means, from its label, name or file; None for any other."""
    name = choice.partition(_MARK)[0].removesuffix(".pt").replace("_", "-")
    return name if name in download.CHECKPOINTS else None


def is_there(name: str) -> bool:
    """Whether the file of a published model is in models/glide, by its published file name."""
    return published_filename(name) in folder_paths.get_filename_list(FOLDER)


def missing_labels() -> list[str]:
    """Labels of the published diffusion models that are not there, those for text to image first."""
    return [label(name) for name in sorted(PUBLISHED, key=reading_order) if not is_there(name)]


def reading_order(name: str) -> tuple[bool, bool, str]:
    """A sort key of names of models: those for text to image first, of these the base model first."""
    return "inpaint" in name, "upsample" in name, name
