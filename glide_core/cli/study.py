"""``glide study``: grids of pictures that answer a question, with figures, on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ..choices import SAMPLERS
from ..errors import CheckpointError, GlideError, OptionError, counted
from ..study.axes import AXES, EXAMPLES
from . import clip, common, outputs, study_notes, study_shards, words

ASKED_FROM = 10_000  # pictures; more than these are made only after a question
KINDS = {
    "guidance": "what the guidance scale does",
    "temperature": "what the temperature of the upsampler does",
    "steps": "what the number of steps does, for several samplers",
    "styles": "which styles a model knows",
    "novelty": "what a model makes of things that it has never seen together",
    "bias": "what a model draws where the prompt leaves it open",
    "axes": "any two axes: " + ", ".join(AXES),
    "shards": "the pictures that `glide batch` made, or any webdataset",
    "all": "every section, with the built-in prompts",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kinds of study, each with its options."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, summary in KINDS.items():
        kind = kinds.add_parser(name, help=summary, description=f"Study {summary}.")
        _OWN[name](kind)
        if name != "shards":
            _shared_options(kind, "study" if name == "all" else f"study-{name}", many_samplers=name == "steps")


def _prompts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="what to draw (default: built-in prompts)")


def _values(axis: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        _prompts(parser)
        help = f"such as {EXAMPLES[axis].replace(',', ' ')} (default: built-in values)"
        parser.add_argument("--values", nargs="+", metavar="VALUE", help=help)

    return add


def _styles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="*", metavar="SUBJECT", help="what to draw (default: built-in subjects)")
    help = "a style a line, {} is the subject, as in 'an oil painting of {}' (default: a built-in list)"
    parser.add_argument("--styles", type=Path, metavar="FILE", help=help)


def _novelty(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a prompt a line (default: a built-in list)")


def _bias(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="?", metavar="PROMPT", help="what to draw (default: built-in prompts)")
    help = "what to tell apart in the pictures, such as a church, a mosque; colours, shapes, sizes, styles and "
    help += "'COLOUR background' with the embedded models are told by their judge, others by CLIP"
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help=help)
    parser.add_argument("--count", type=_count, metavar="N", help="how many pictures (default: 64)")


def _axes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompts", nargs="?", metavar="PROMPT", help="what to draw, unless an axis says it")
    help = "NAME=VALUE,VALUE,... for the columns; values that hold commas are separated by semicolons"
    parser.add_argument("--x", required=True, metavar="AXIS", help=help)
    parser.add_argument("--y", metavar="AXIS", help="the same for the rows")


def _count(text: str) -> int:
    value = common.count(text)
    if value > ASKED_FROM:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {ASKED_FROM:,}")
    return value


_OWN: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "guidance": _values("guidance"),
    "temperature": _values("temperature"),
    "steps": _values("steps"),
    "styles": _styles,
    "novelty": _novelty,
    "bias": _bias,
    "axes": _axes,
    "shards": study_shards.add_arguments,
    "all": lambda parser: None,
}


def _shared_options(parser: argparse.ArgumentParser, output: str, *, many_samplers: bool) -> None:
    add = parser.add_argument
    add("-o", "--output", type=Path, default=Path(output), metavar="FOLDER", help="default: %(default)s")
    add("--seeds", type=_count, metavar="N", help="pictures of each prompt, of the seeds from --seed on")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    add("--stage", choices=("base", "all"), default="all", help="base stops at 64x64 (default: all, 256x256)")
    common.model_options(parser, "tiny (embedded; the default), openai, or the file of a base model")
    add("--upsampler", metavar="FILE", help="the upsampler that belongs to the file in --checkpoint")
    add("--batch", type=common.count, metavar="N", help="pictures that are painted together (default: 8)")
    add("--yes", action="store_true", help=f"do not ask before more than {ASKED_FROM:,} pictures are made")
    clip.clip_option(parser)
    add("--scorer", metavar="NAME", help=clip.SCORER_HELP)
    add = parser.add_argument_group(
        "sampling",
        "by default: 20 steps of ddim (of bias 50), and 5 for the upsampler; with OpenAI's 50 of ddpm, and fast27",
    ).add_argument
    add("--steps", type=common.steps_option, metavar="STEPS", help="see `glide generate --help`")
    many = {"nargs": "+"} if many_samplers else {}
    add("--sampler", choices=SAMPLERS, **many, help="one of ddpm, ddim, plms, dpmpp_2m, euler")  # type: ignore[arg-type]
    add("--guidance-scale", type=common.number(0, 100), metavar="SCALE", help="default: 3; of bias 1, or 3 of OpenAI's")
    offset_help = "see `glide generate --help` (default: 0; of bias that of the base model's training)"
    add("--noise-offset", type=common.noise_offset_option, metavar="STD,STD", help=offset_help)
    add("--clip-guidance", type=common.number(0, 1000), default=0.0, metavar="SCALE", help="default: 0")
    add("--upsample-steps", type=common.steps_option, metavar="STEPS", help="of the upsampler")
    add("--upsample-sampler", choices=SAMPLERS, help="of the upsampler (default: ddim)")
    add("--upsample-temperature", type=common.number(0, 10), metavar="SCALE", help="default: 0.997")


def run(args: argparse.Namespace) -> None:
    """Make the study. A command that was stopped goes on when it is given again."""
    from ..study import plots

    plots.require_packages()
    if args.kind == "shards":
        return study_shards.run(args)
    from ..study.run import Study, cells_of, require_counter
    from ..study.run import run as run_study
    from .study_sections import sections_of

    sections = sections_of(args)
    cells = cells_of(sections)
    _require_consent(len(cells), args.yes)
    outputs.require_folder("--output", args.output)
    where = common.compute(args)
    for checkpoint in dict.fromkeys(cell.checkpoint for cell in cells):
        _warn_of_words(checkpoint, [cell.prompt for cell in cells if cell.checkpoint == checkpoint])
    scorer, scored_by = study_notes.scorer(args, where)
    require_counter(sections, scorer)
    models = {"tiny": "the embedded models", "openai": "OpenAI's published models"}
    notes = study_notes.notes(models.get(args.checkpoint, str(args.checkpoint)), scored_by, where)
    study = Study(sections, args.output, where.device, where.dtype, scorer, scored_by, notes, args.batch or Study.batch)
    try:
        outcome = run_study(study)
    except KeyboardInterrupt:
        outputs.note("the same command goes on from here")
        raise
    for path in outcome.files:
        outputs.say(path)
    if outcome.errors:
        reason = next(iter(outcome.errors.values()))
        raise GlideError(f"{len(outcome.errors)} of {counted(len(cells), 'picture')} could not be made: {reason}")


def _warn_of_words(checkpoint: str, prompts: Sequence[str]) -> None:
    """Say which words a model never saw. One that is not there is the fault of its own cells."""
    with suppress(CheckpointError):
        words.warn_of_unknown(checkpoint, common.texts_of(prompts))


def _require_consent(count: int, yes: bool) -> None:
    """Ask before very many pictures. Raises OptionError: the answer is no, or there is nobody to ask."""
    if count <= ASKED_FROM or yes:
        return
    question = f"{count:,} pictures will be made"
    if not sys.stdin.isatty():
        raise OptionError(f"{question}: take fewer values, or give --yes")
    if input(f"{question}. Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise OptionError(f"{question}, which was not wanted: take fewer values")
