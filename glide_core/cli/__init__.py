"""The command ``glide``: one module a subcommand, each with ``add_arguments`` and ``run``.

Only the chosen subcommand's module is imported: they import torch, which takes seconds.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import GlideError, GlideWarning
from . import preset

COMMANDS = {
    "generate": "draw pictures of a prompt",
    "upsample": "make a small picture 4 times as large, by diffusion",
    "batch": "paint the rows of a file, many or very many, on all devices or machines",
    "inpaint": "repaint a part of a photo, or paint beyond its edges",
    "again": "make a picture anew from the parameters in its file, and compare",
    "study": "answer a question with grids of pictures, figures and a page",
    "score": "tell how well pictures fit a text",
    "fetch": "download the published models or their vocabulary",
    "train": "train a model, or fine-tune one on your own pictures",
    "train clip": "train a noised CLIP, or fine-tune one on your own pictures and captions",
    "bench": "measure models",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line. Exits with 2 and one line on stderr on an error of the user's, with 130 on Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    _be_lenient_about_output()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", GlideWarning)
            warnings.showwarning = _show_warning
            args = _parse(argv)
            args.run(args)
    except GlideError as error:
        _fail(f"glide {argv[0]}", str(error))
    except OSError as error:
        _fail(f"glide {argv[0]}", f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        _fail(f"glide {argv[0]}", "there is not enough memory for this: take a smaller --batch, picture or model")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _be_lenient_about_output() -> None:
    """Let file names and prompts be printed where the terminal knows ASCII alone."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Print one of our warnings as one line; others are for developers and keep Python's form."""
    if issubclass(category, GlideWarning):
        print(f"warning: {message}", file=sys.stderr)
    else:
        print(warnings.formatwarning(message, category, filename, lineno), file=sys.stderr, end="")


def _fail(prog: str, message: str) -> NoReturn:
    print(f"{prog}: error: {message}", file=sys.stderr)
    sys.exit(2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(self.prog, message)  # without argparse's many lines of usage


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="glide", description="Text to image with OpenAI's GLIDE.")
    parser.add_argument("--version", action="version", version=f"glide {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    if " ".join(argv[:2]) in COMMANDS:  # a command of two words
        argv = [" ".join(argv[:2]), *argv[2:]]
    for name, summary in COMMANDS.items():
        command = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name in argv[:1]:
            module = importlib.import_module(f".{name.replace(' ', '_')}", __name__)
            module.add_arguments(command)
            preset.use_as_defaults(command, argv[1:])
            command.set_defaults(run=module.run)
    return parser.parse_args(argv)
