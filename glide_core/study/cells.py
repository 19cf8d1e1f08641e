"""A cell of a study: one picture and all that decides it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from .. import __version__
from ..choices import family_member
from ..diffusion.options import SAMPLING, UPSAMPLING, Sampling
from .axes import Value

SLUG = 40  # characters of a prompt in the name of its picture


@dataclass(frozen=True)
class Cell:
    """One picture and what decides it.

    Attributes:
        prompt, negative, seed: as in ``Stage.sample``.
        checkpoint: of the base, a name or a file.
        upsampler: the same, or None where the base's small picture is wanted; then ``upsampling`` is the default.
        lora: a file of additions to the base, perhaps with their strength, see ``lora.named``; or "".
        clip_guidance: the scale of a noised CLIP that guides the base.
        clip: that CLIP, a name or a file; it counts only where it guides.
    """

    prompt: str
    negative: str = ""
    seed: int = 0
    checkpoint: str = "tiny-base"
    upsampler: str | None = "tiny-upsample"
    lora: str = ""
    sampling: Sampling = SAMPLING
    upsampling: Sampling = UPSAMPLING
    clip_guidance: float = 0.0
    clip: str = "tiny-clip"

    def __post_init__(self) -> None:
        if self.upsampler is None:
            object.__setattr__(self, "upsampling", UPSAMPLING)  # so that equal pictures are equal cells

    @property
    def small(self) -> Cell:
        """The base's picture of this cell: cells that differ in what the upsampler does share it."""
        return replace(self, upsampler=None)

    @property
    def batch_key(self) -> Cell:
        """Equal for cells that can be painted together: they differ in prompt, negative and seed alone."""
        return replace(self, prompt="", negative="", seed=0)

    @property
    def cost(self) -> float:
        """How long its last stage takes, in passes of a base model for one picture."""
        options, weight = (self.upsampling, UPSAMPLER_COST) if self.upsampler else (self.sampling, 1.0)
        return weight * step_count(options.steps) * (1 if options.guidance_scale == 1 else 2)

    def with_value(self, axis: str, value: Value) -> Cell:
        """The cell with another value on an axis.

        Args:
            axis: a key of ``axes.AXES``; the temperature is the upsampler's where there is one.
        """
        return _SETTERS[axis](self, value)

    def parameters(self) -> dict[str, Any]:
        """What decides the picture, under the names of the options of ``glide generate``."""
        found: dict[str, Any] = {
            "command": "generate",
            "prompt": self.prompt,
            "negative": self.negative,
            "stage": "all" if self.upsampler else "base",
            "checkpoint": self.checkpoint,
            "seed": self.seed,
            **_options("", self.sampling),
        }
        if self.lora:
            found["lora"] = self.lora
        if self.clip_guidance:
            found |= {"clip-guidance": self.clip_guidance, "clip": self.clip}
        if self.upsampler:
            found |= {"upsampler": self.upsampler, **_options("upsample-", self.upsampling)}
        return found


UPSAMPLER_COST = 5.0  # a pass of an upsampler, by that of the base: 4.6 to 6.4 were measured


@dataclass(frozen=True)
class Machine:
    """Where pictures are made, as far as it decides them.

    Attributes:
        device: such as "cpu".
        dtype: a name of ``device.DTYPES``.
        digests: the SHA-256 of each model that cells name.
    """

    device: str
    dtype: str
    digests: Mapping[str, str] = field(default_factory=dict)

    def parameters(self, cell: Cell) -> dict[str, Any]:
        """All that decides the picture of a cell here, for its file and for its fingerprint."""
        sources = {"checkpoint": cell.checkpoint, "upsampler": cell.upsampler, "lora": lora_file(cell.lora)}
        if cell.clip_guidance:
            sources["clip"] = cell.clip
        hashes = {f"{name}-sha256": self.digests.get(source, "") for name, source in sources.items() if source}
        return {**cell.parameters(), **hashes, "device": self.device, "dtype": self.dtype, "version": __version__}

    def fingerprint(self, cell: Cell) -> str:
        """20 hexadecimal digits, another for each picture that may differ."""
        text = json.dumps(self.parameters(cell), sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]

    def file_name(self, cell: Cell) -> str:
        """The name of the cell's picture, without a suffix: words of the prompt, and the fingerprint."""
        words = re.sub(r"[^a-z0-9]+", "-", cell.prompt.lower()).strip("-")[:SLUG].strip("-")
        return f"{words}-{self.fingerprint(cell)}".lstrip("-")


def lora_file(lora: str) -> str:
    """The file of a ``Cell.lora``, without the strength; "" of none."""
    from ..train.lora import named

    return str(named(lora)[0]) if lora else ""


def step_count(steps: str | int) -> int:
    """How many steps a respacing has."""
    from ..diffusion.schedule import NoiseSchedule

    return len(NoiseSchedule("linear").respaced_sigmas(steps)) - 1


def with_checkpoint(cell: Cell, name: str) -> Cell:
    """The cell with another base model, and the upsampler that belongs to it where ``name`` is a family."""
    base = family_member(name, "base")
    if base is not None:
        return replace(cell, checkpoint=base, upsampler=family_member(name, "upsample") if cell.upsampler else None)
    return replace(cell, checkpoint=name)


def _options(prefix: str, options: Sampling) -> dict[str, Any]:
    """The options that are noted; those of later versions are noted only where they are set."""
    plain, values = asdict(Sampling()), asdict(options)
    always = ("steps", "sampler", "guidance_scale", "eta", "temperature")
    chosen = {name: value for name, value in values.items() if name in always or value != plain[name]}
    if options.noise_offset:
        chosen["noise_offset"] = ",".join(map(str, options.noise_offset))
    return {f"{prefix}{name.replace('_', '-')}": value for name, value in chosen.items()}


def _with_temperature(cell: Cell, value: Value) -> Cell:
    if cell.upsampler is None:
        return replace(cell, sampling=replace(cell.sampling, temperature=float(value)))
    return replace(cell, upsampling=replace(cell.upsampling, temperature=float(value)))


_SETTERS: dict[str, Callable[[Cell, Any], Cell]] = {
    "steps": lambda cell, value: replace(cell, sampling=replace(cell.sampling, steps=value)),
    "sampler": lambda cell, value: replace(cell, sampling=replace(cell.sampling, sampler=value)),
    "guidance": lambda cell, value: replace(cell, sampling=replace(cell.sampling, guidance_scale=value)),
    "clip-guidance": lambda cell, value: replace(cell, clip_guidance=value),
    "temperature": _with_temperature,
    "seed": lambda cell, value: replace(cell, seed=value),
    "prompt": lambda cell, value: replace(cell, prompt=value),
    "negative": lambda cell, value: replace(cell, negative=value),
    "checkpoint": with_checkpoint,
    "lora": lambda cell, value: replace(cell, lora=value),
}
