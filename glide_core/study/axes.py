"""The axes of a study: their names, and their values as text. Free of torch until steps are parsed.

``guidance=1,2,3`` is an axis. Values are separated by commas, or by semicolons or line breaks where there is one: so
``steps=20; 10,10,3,2,2`` has two values, and prompts may hold commas. ``seed=0..3`` stands for ``seed=0,1,2,3``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..choices import SAMPLERS
from ..errors import OptionError
from .labels import plain_number, require_drawable

Value = str | float | int

MOST_VALUES = 10_000
LARGEST_SEED = 2**64
_SEPARATOR = re.compile(r"[;\n]")
_RANGE = re.compile(r"\s*(\d{1,20})\s*\.\.\s*(\d{1,20})\s*")


@dataclass(frozen=True)
class Axis:
    """One axis with its values, each different from the others.

    Attributes:
        name: a key of ``AXES``.
        values: texts, or numbers where the axis is one of numbers.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside each value, such as "guidance 3"."""
        return tuple(label(self.name, value) for value in self.values)


def parse_axis(text: str, place: str) -> Axis:
    """Read ``NAME=VALUE,VALUE,...``.

    Args:
        place: what errors call it, such as "--x".
    Raises:
        OptionError: there is no such axis, it has no value, or a value does not fit it.
    """
    name, equals, values = text.partition("=")
    if not equals:
        raise OptionError(f"{place} {text[:40]!r}: write NAME=VALUE,VALUE with a name of {', '.join(AXES)}")
    return Axis(name.strip(), parse_values(name.strip(), values, place))


def parse_values(name: str, values: str | Iterable[str], place: str) -> tuple[Value, ...]:
    """Read the values of an axis.

    Args:
        name: of the axis.
        values: one text that holds all, or one for each.
        place: what errors call them.
    Raises:
        OptionError: see ``parse_axis``; or a value is there twice.
    """
    if name not in AXES:
        raise OptionError(f"{place}: there is no axis {name[:40]!r}: use one of {', '.join(AXES)}")
    texts = _split(name, values) if isinstance(values, str) else list(values)
    texts = [text.strip() for text in texts if text.strip() or name in MAY_BE_EMPTY]
    if not any(texts):
        raise OptionError(f"{place}: {name} has no value: write {name}={EXAMPLES[name]}")
    parsed = tuple(_parsed(name, text, place) for text in texts)
    if len(parsed) > MOST_VALUES:
        raise OptionError(f"{place}: {name} has {len(parsed)} values, at most {MOST_VALUES} are understood")
    twice = next((value for k, value in enumerate(parsed) if value in parsed[:k]), None)
    if twice is not None:
        raise OptionError(f"{place}: {name} has the value {twice!r} twice")
    return parsed


def label(name: str, value: Value) -> str:
    """What stands beside a value, such as "guidance 3"; of prompts, checkpoints and samplers the value alone."""
    if name in ("prompt", "sampler", "checkpoint"):
        return str(value)
    shown = plain_number(value) if isinstance(value, float) else str(value)
    return f"{name} {shown or 'none'}"


def _split(name: str, text: str) -> list[str]:
    parts = _SEPARATOR.split(text) if _SEPARATOR.search(text) else text.split(",")
    return [each for part in parts for each in _unrolled(part)] if name == "seed" else parts


def _unrolled(part: str) -> list[str]:
    """The seeds of a range such as 0..3, or the part itself."""
    found = _RANGE.fullmatch(part)
    if found is None:
        return [part]
    first, last = int(found[1]), int(found[2])
    return [str(seed) for seed in range(first, min(last, first + MOST_VALUES) + 1)] or [part]


def _parsed(name: str, text: str, place: str) -> Value:
    require_drawable(text, f"{place} {name}")
    try:
        return AXES[name](text)
    except ValueError as error:
        raise OptionError(f"{place}: {name} {text[:40]!r}: {error}") from error


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise OptionError(f"give a number from {low:g} to {high:g}")
        return value

    return parse


def _steps(text: str) -> str:
    from ..diffusion.schedule import NoiseSchedule

    NoiseSchedule("linear").respaced_sigmas(text)
    return text


def _sampler(text: str) -> str:
    if text not in SAMPLERS:
        raise OptionError(f"use one of {', '.join(SAMPLERS)}")
    return text


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,20}", text) or int(text) >= LARGEST_SEED:
        raise OptionError("give a whole number from 0, or a range such as 0..3")
    return int(text)


AXES: dict[str, Callable[[str], Value]] = {
    "steps": _steps,
    "sampler": _sampler,
    "guidance": _number(0, 100),
    "clip-guidance": _number(0, 1000),
    "temperature": _number(0, 10),
    "seed": _seed,
    "prompt": str,
    "negative": str,
    "checkpoint": str,
    "lora": str,
}
MAY_BE_EMPTY = ("negative", "lora")  # an empty value is none of it: "lora=,mine.safetensors" compares without and with
EXAMPLES = {
    "steps": "10,20,50",
    "sampler": "ddim,ddpm",
    "guidance": "1,2,3",
    "clip-guidance": "0,1,3",
    "temperature": "0.95,0.997,1",
    "seed": "0..3",
    "prompt": "'a red circle; a blue star'",
    "negative": "',blurry'",
    "checkpoint": "tiny,mine.safetensors",
    "lora": "',mine.safetensors'",
}
