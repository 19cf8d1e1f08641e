"""``--preset``: a name for how much time to take, which stands for steps and samplers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..choices import PRESETS
from ..diffusion.presets import changes


def preset_option(parser: argparse.ArgumentParser, *, base: str | None = None, upsampler: str | None = None) -> None:
    """Add ``--preset``.

    Args:
        base, upsampler: the prefixes of these models' options, as in ``common.sampling_options``; None: there are none.
    """
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="how much time to take: it stands for steps and samplers. Options for these that are given go before it "
        "(default: the defaults of these options)",
    )
    models = (("base", base), ("upsampler", upsampler))
    parser.set_defaults(preset_prefixes={model: prefix for model, prefix in models if prefix is not None})


def use_as_defaults(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Make the values of a preset the defaults of the options that it stands for.

    This is done before the command line is parsed: an option that is given then goes before the preset, wherever it
    stands.
    """
    prefixes: dict[str, str] = parser.get_default("preset_prefixes") or {}
    preset = _given(argv)
    if preset in PRESETS:
        parser.set_defaults(**_values(preset, prefixes))


def _given(argv: Sequence[str]) -> str:
    ahead = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    ahead.add_argument("--preset", default="")
    with suppress(argparse.ArgumentError):  # the real parser will complain
        return str(ahead.parse_known_args(argv)[0].preset)
    return ""


def _values(preset: str, prefixes: dict[str, str]) -> dict[str, Any]:
    """The preset's values by the names of the options."""
    return {
        prefix.replace("-", "_") + name: value
        for model, prefix in prefixes.items()
        for name, value in changes(preset, upsampler=model == "upsampler").items()
    }
