"""A record becomes a row: checked values, with the run's defaults where it does not say."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ..choices import BATCH_COLUMNS, MOST_GUIDANCE
from ..diffusion.composition import compose, leads_somewhere, predicted_parts
from ..diffusion.noise import picture_seeds
from ..diffusion.options import Sampling
from ..diffusion.schedule import NoiseSchedule
from ..errors import GlideError, OptionError
from .records import Record
from .request import Painting

RESULTS = ("index", "picture_width", "picture_height", "picture_sha256", "warnings", "error", "rest")  # our own columns
SCORES = ("score", "try_seed")  # those of the best of several
LONGEST_KEY = 200
WHOLE = re.compile(r"(-?\d{1,20})(?:\.0*)?")
Picture = bytes | str


@dataclass(frozen=True)
class Row:
    """One picture to paint.

    Attributes:
        index: its number in the input, from 0.
        id: what the input calls it, or its number.
        task: generate, upsample or inpaint; empty where the row cannot be painted.
        sampling: of the first model that paints it.
        image, mask: the content of a file, or its path.
        extra: columns that pass through.
        parts: of the prompt, of the negative and of both together that the model is asked for: see ``composition``.
        problem: why it cannot be painted.
        warnings: what the model does not get of the prompt.
    """

    index: int
    id: str
    task: str = ""
    prompt: str = ""
    negative: str = ""
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    image: Picture | None = None
    mask: Picture | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[int, int, int] = (0, 0, 0)
    problem: str = ""
    warnings: str = ""

    @property
    def key(self) -> str:
        """The name of its files: the id with what means something in names of files or tar members as %XX."""
        return file_key(self.id)


def file_key(id: str) -> str:
    """See ``Row.key``."""
    return quote(id, safe="").replace(".", "%2E").replace("~", "%7E")


def own_id(record: Record, index: int, columns: Mapping[str, str]) -> str:
    """The id of a record: its own, or its number."""
    found = record.values.get(columns.get("id", "id"))
    return f"{index:08d}" if found is None else str(found)


def make_row(record: Record, index: int, columns: Mapping[str, str], painting: Painting) -> Row:
    """Check a record. What is wrong with it stands in the row's ``problem``; this never raises for a bad record."""
    id = own_id(record, index, columns)
    values = renamed(record.values, columns)
    extra = {name: value for name, value in values.items() if passes(name, painting)}
    if record.problem:
        return Row(index, id, extra=extra, problem=record.problem)
    try:
        if len(file_key(id)) > LONGEST_KEY:
            raise OptionError(f"the id is too long for the name of a file: {id[:40]!r}...")
        return Row(index, id, extra=extra, **_checked(values, index, painting))
    except GlideError as error:
        prompt = values.get("prompt")
        return Row(index, id, extra=extra, prompt=prompt if isinstance(prompt, str) else "", problem=str(error))


def passes(name: str, painting: Painting) -> bool:
    """Whether a column of the input passes through to the output."""
    own = (*BATCH_COLUMNS, *RESULTS, *(SCORES if painting.best_of else ()))
    return name not in own


def task_of(values: Mapping[str, Any]) -> str:
    """What a row asks for, by the columns that it has."""
    if values.get("image") is None:
        return "generate"
    return "upsample" if values.get("mask") is None else "inpaint"


def renamed(values: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The values under our names; a column that another one takes the place of passes through under its own name."""
    ours = {theirs: name for name, theirs in columns.items()}
    return {ours.get(name, name): value for name, value in values.items() if name in ours or name not in columns}


def _checked(values: Mapping[str, Any], index: int, painting: Painting) -> dict[str, Any]:
    image, mask = _picture("image", values.get("image")), _picture("mask", values.get("mask"))
    if mask is not None and image is None:
        raise OptionError("there is a mask, but no image")
    task = task_of(values)
    prompt = _text("prompt", values.get("prompt"))
    if prompt is None and image is None:
        raise OptionError("there is no prompt")
    negative = _text("negative", values.get("negative"))
    negative = painting.negative if negative is None else negative
    seed = values.get("seed")
    if painting.best_of and not leads_somewhere(prompt or ""):
        raise OptionError("--best-of compares pictures with what their prompt should show, and it says nothing of that")
    return {
        "task": task,
        "prompt": prompt or "",
        "negative": negative,
        "seed": picture_seeds([painting.seed + index if seed is None else _whole("seed", seed)], 1)[0],
        "sampling": _sampling(values, painting.upsampling if task == "upsample" else painting.sampling),
        "image": image,
        "mask": mask,
        "parts": _parts(prompt or "", negative),
    }


def _parts(prompt: str, negative: str) -> tuple[int, int, int]:
    together = compose([prompt], [negative])
    return len(predicted_parts(prompt)), len(predicted_parts(negative)), len(together.pictures)


def _sampling(values: Mapping[str, Any], default: Sampling) -> Sampling:
    changes: dict[str, Any] = {}
    if values.get("guidance_scale") is not None:
        changes["guidance_scale"] = _number("guidance_scale", values["guidance_scale"], MOST_GUIDANCE)
    if values.get("sampler") is not None:
        changes["sampler"] = _text("sampler", values["sampler"])
    if values.get("steps") is not None:
        steps = values["steps"]
        plain = not isinstance(steps, str) or WHOLE.fullmatch(steps)
        changes["steps"] = str(_whole("steps", steps)) if plain else steps
        _require_steps(changes["steps"])
    return replace(default, **changes) if changes else default


@functools.lru_cache(maxsize=64)
def _require_steps(steps: str) -> None:
    NoiseSchedule("linear").respaced_sigmas(steps)


def _text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{name} is {value!r:.60}, which is no text")
    return value


def _whole(name: str, value: object) -> int:
    """Tables without a type for missing numbers turn whole ones into 7.0."""
    found = None if isinstance(value, bool) else WHOLE.fullmatch(str(value))
    if found is None:
        raise OptionError(f"{name} is {value!r:.60}, which is no whole number")
    return int(found[1])


def _number(name: str, value: object, most: float) -> float:
    try:
        found = float(str(value))
    except ValueError:
        found = math.nan
    if isinstance(value, bool) or not 0 <= found <= most:
        raise OptionError(f"{name} is {value!r:.60}, which is no number from 0 to {most:g}")
    return found


def _picture(name: str, value: object) -> Picture | None:
    """A path, the content, or both as data sets of Hugging Face store them."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None or isinstance(value, (bytes, str)):
        return value
    raise OptionError(f"{name} is neither a path nor the content of a file")
