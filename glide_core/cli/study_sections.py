"""What the options of ``glide study`` ask for: its sections, with built-in prompts where none are given."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..choices import family_member
from ..diffusion.options import Sampling, parse_noise_offset
from ..errors import CheckpointError, OptionError
from ..files import checkpoints
from ..prompts import read_prompts
from ..study import sections
from ..study.axes import Value, parse_axis, parse_values
from ..study.builtin import EMBEDDED, PUBLISHED, BuiltIn
from ..study.cells import Cell
from ..study.counting import require_labels
from ..study.labels import require_drawable
from ..study.sections import Section
from . import clip

SUBJECT = "{}"  # stands for the subject in a style


def sections_of(args: argparse.Namespace) -> list[Section]:
    """The sections of a study. Raises OptionError: a value, a file or the upsampler is not there or does not fit."""
    built_in = EMBEDDED if args.checkpoint == "tiny" else PUBLISHED
    asked = _Asked(args, built_in, _base_cell(args, built_in.sampling, built_in.upsampling))
    names = [name for name in _BUILDERS if name != "axes"] if args.kind == "all" else [args.kind]
    return [section for name in names for section in _BUILDERS[name](asked)]


class _Asked:
    """The options with the built-in study behind them."""

    def __init__(self, args: argparse.Namespace, built_in: BuiltIn, base: Cell) -> None:
        self.args, self.built_in, self.base = args, built_in, base

    def option(self, name: str) -> Any:
        """An option, or None where this kind of study does not have it."""
        return getattr(self.args, name, None)

    def seeds(self, built_in: int | None = None) -> range:
        """As many seeds as are asked for, from --seed on."""
        return range(self.args.seed, self.args.seed + (self.args.seeds or built_in or self.built_in.seeds))

    def prompts(self, built_in: Sequence[str]) -> list[str]:
        """The prompts that are given, or the built-in ones."""
        given = self.option("prompts") or built_in
        return [str(value) for value in parse_values("prompt", given, "PROMPT")]

    def values(self, axis: str, built_in: Sequence[Value]) -> tuple[Value, ...]:
        """The values that are given, or the built-in ones."""
        return parse_values(axis, self.option("values") or list(map(str, built_in)), "--values")


def _guidance(asked: _Asked) -> list[Section]:
    values = asked.values("guidance", asked.built_in.guidance_values)
    return [sections.guidance(asked.base, asked.prompts(asked.built_in.guidance), values, asked.seeds())]


def _temperature(asked: _Asked) -> list[Section]:
    values = asked.values("temperature", asked.built_in.temperature_values)
    return [sections.temperature(asked.base, asked.prompts(asked.built_in.temperature), values, asked.seeds())]


def _steps(asked: _Asked) -> list[Section]:
    samplers = asked.option("sampler") if isinstance(asked.option("sampler"), list) else None
    samplers = list(dict.fromkeys(samplers or asked.built_in.samplers))
    values = asked.values("steps", asked.built_in.steps_values)
    return [
        sections.steps(
            asked.base, asked.prompts(asked.built_in.steps), values, samplers, asked.seeds(asked.built_in.steps_seeds)
        )
    ]


def _styles(asked: _Asked) -> list[Section]:
    file: Path | None = asked.option("styles")
    patterns = list(asked.built_in.patterns)
    if file is not None:
        patterns = [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        patterns = [line.strip() for line in patterns if not line.startswith("#")]
        if not patterns:
            raise OptionError(
                f"--styles {file}: there is no style in it, write one a line with {SUBJECT} for the subject"
            )
    for pattern in patterns:
        if SUBJECT not in require_drawable(pattern, f"--styles {file or ''}".strip()):
            raise OptionError(f"--styles {file}: {pattern[:40]!r} has no {SUBJECT} where the subject belongs")
    subjects = asked.prompts(asked.built_in.subjects)
    return [sections.styles(asked.base, subjects, list(dict.fromkeys(patterns)), asked.seeds())]


def _novelty(asked: _Asked) -> list[Section]:
    file: Path | None = asked.option("file")
    texts = list(asked.built_in.novelty) if file is None else [prompt.text for prompt in read_prompts(file)]
    for text in texts:
        require_drawable(text, str(file))
    return [sections.novelty(asked.base, list(dict.fromkeys(texts)), asked.seeds())]


def _bias(asked: _Asked) -> list[Section]:
    prompt, labels = asked.option("prompts"), asked.option("labels")
    if (prompt is None) != (labels is None):
        raise OptionError("PROMPT and --labels belong together: give both, or none for the built-in prompts")
    asks = list(asked.built_in.bias) if prompt is None else [(prompt, tuple(labels))]
    count = asked.option("count") or asked.built_in.count
    seeds = range(asked.args.seed, asked.args.seed + count)
    base = _base_cell(asked.args, asked.built_in.bias_sampling, asked.built_in.upsampling)
    if asked.built_in.bias_small:
        base = replace(base, upsampler=None)
    if asked.args.noise_offset is None:
        base = replace(base, sampling=replace(base.sampling, noise_offset=_trained_noise_offset(base.checkpoint)))
    found = []
    for k, (text, names) in enumerate(asks):
        require_labels(names)
        for name in names:
            require_drawable(name, "--labels")
        require_drawable(text, "PROMPT")
        found.append(sections.bias(base, text, names, seeds, "bias" if k == 0 else f"bias-{k + 1}"))
    return found


def _trained_noise_offset(checkpoint: str) -> tuple[float, ...]:
    """See ``checkpoints.trained_noise_offset``; of a model that is not there, its cells will say so."""
    with suppress(CheckpointError):
        return checkpoints.trained_noise_offset(checkpoint)
    return ()


def _axes(asked: _Asked) -> list[Section]:
    x, y = parse_axis(asked.args.x, "--x"), parse_axis(asked.args.y, "--y") if asked.args.y else None
    names = [axis.name for axis in (x, y) if axis]
    if len(set(names)) < len(names):
        raise OptionError(f"--y: {names[1]} is the axis of --x, too: take another one")
    prompt = asked.option("prompts")
    if (prompt is None) == ("prompt" not in names):
        raise OptionError("PROMPT: give one, or else an axis of prompts, and not both")
    base = asked.base.with_value("prompt", require_drawable(prompt or "", "PROMPT"))
    seeds = range(asked.args.seed, asked.args.seed + (asked.args.seeds or 1))
    return [sections.two_axes(base, x, y, seeds)]


_BUILDERS: dict[str, Callable[[_Asked], list[Section]]] = {
    "guidance": _guidance,
    "temperature": _temperature,
    "steps": _steps,
    "styles": _styles,
    "novelty": _novelty,
    "bias": _bias,
    "axes": _axes,
}


def _base_cell(args: argparse.Namespace, sampling: Sampling, upsampling: Sampling) -> Cell:
    """The cell that all others are variations of, from these settings and the options."""
    upsampler = args.upsampler or family_member(args.checkpoint, "upsample")
    if args.stage == "base":
        upsampler = None
    elif upsampler is None:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}, or use --stage base")
    sampler = None if isinstance(args.sampler, list) else args.sampler
    offset = None if args.noise_offset is None else parse_noise_offset(args.noise_offset)
    given = _given(steps=args.steps, sampler=sampler, guidance_scale=args.guidance_scale, noise_offset=offset)
    upsampler_given = _given(
        steps=args.upsample_steps, sampler=args.upsample_sampler, temperature=args.upsample_temperature
    )
    return Cell(
        prompt="",
        negative=args.negative,
        seed=args.seed,
        checkpoint=family_member(args.checkpoint, "base") or args.checkpoint,
        upsampler=upsampler,
        sampling=replace(sampling, **given),
        upsampling=replace(upsampling, **upsampler_given),
        clip_guidance=args.clip_guidance,
        clip=clip.clip_name(args),
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
