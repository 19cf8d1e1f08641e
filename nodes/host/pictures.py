"""Pictures for the contact sheets of nodes: written into the host's folders, and described to the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy.cli_args import args
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ...glide_core.images import to_channels_first, to_uint8

SHEET = "glide_sheet"  # the key of a node's ui output that web/js/sheet.js reads
TEMPORARY = "glide-sheet"
MOST = 256  # pictures in the sheet of a batch


def sheet(
    images: Tensor, seeds: Sequence[int | None], prompts: Sequence[str], scores: Sequence[float] = ()
) -> dict[str, list[dict[str, Any]]]:
    """What shows a batch of pictures in the contact sheet of a node, whose files are temporary.

    Args:
        images: [B, H, W, C] in 0..1, of which the first ``MOST`` are shown.
        seeds, prompts: of each picture, as the page can send them to a node; a seed may be unknown.
        scores: of each picture, or none.
    """
    entries: list[dict[str, Any]] = []
    for place, image in enumerate(images[:MOST]):
        told = {"place": place, "count": len(images), "prompt": prompts[place]}
        if seeds[place] is not None:
            told["seed"] = seeds[place]
        if scores:
            told["score"] = round(scores[place], 4)
        entries.append({**save(image, TEMPORARY, folder="temp"), **told})
    return {SHEET: entries}


def save(
    image: Tensor, prefix: str, *, folder: str = "output", texts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write a PNG -> where it is, as the host's page asks for it.

    Args:
        image: [H, W, C] in 0..1.
        prefix: of the name, perhaps with a folder inside of the host's.
        folder: "output", or "temp" for pictures that go when the host ends.
        texts: what the file notes, see ``notes_of_graph``.
    """
    root = folder_paths.get_temp_directory() if folder == "temp" else folder_paths.get_output_directory()
    height, width = image.shape[:2]
    path, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, root, width, height)
    file = f"{name}_{counter:05}_.png"
    pixels = to_uint8(to_channels_first(image[None]))[0].numpy()
    notes = PngInfo()
    for key, text in (texts or {}).items():
        notes.add_text(key, text)
    Image.fromarray(pixels).save(Path(path) / file, pnginfo=notes, compress_level=4)
    return {"filename": file, "subfolder": subfolder, "type": folder}


def notes_of_graph(prompt: Any, extra: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> dict[str, str]:
    """What stock nodes write into a file, so that a drop on the canvas opens the graph, and the cell's parameters.

    Nothing where the host was told to write no metadata.
    """
    if args.disable_metadata:
        return {}
    found = {"prompt": prompt, **(extra or {}), "parameters": parameters}
    return {key: json.dumps(value) for key, value in found.items() if value is not None}


def read(saved: Mapping[str, str]) -> Image.Image:
    """A picture that ``save`` has written into the output folder."""
    path = Path(folder_paths.get_output_directory()) / saved["subfolder"] / saved["filename"]
    with Image.open(path) as image:
        return image.convert("RGB")
