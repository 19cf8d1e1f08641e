"""Where pictures go: checked before anything is painted, and never lost afterwards."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..choices import PAINTED_IN
from ..errors import GlideError, OptionError
from .common import DIGEST, count

if TYPE_CHECKING:
    from torch import Tensor

FALLBACK = "glide-rescued-"
LEFTOVER_AGE = 3600  # in seconds
FOUND_OUT = ("score", "try-seed", PAINTED_IN)


def require_output(option: str, path: Path) -> None:
    """Make sure, before the work, that a picture can be written to ``path``, and make its folder.

    Raises:
        OptionError: the name has no suffix of ``FORMATS``, is too long, or is that of a folder, a symbolic link or a
            read-only file; or the folder cannot be made or written.
    """
    from ..images import FORMATS

    if path.suffix.lower() not in FORMATS:
        raise OptionError(f"{option} {path}: give a name that ends in {', '.join(FORMATS)}")
    require_folder(option, path.parent)
    try:
        os.lstat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: the name holds a null byte
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"{option} {path}: {reason}, choose another name") from error
    if path.is_dir():
        raise OptionError(f"{option} {path} is a folder: give the name of a file")
    if path.is_symlink():
        raise OptionError(f"{option} {path} is a symbolic link, which is not replaced: give another name")
    if not os.access(path, os.W_OK):
        raise OptionError(f"{option} {path} is read-only, which is not replaced: give another name")


def require_distinct(outputs: Mapping[str, Sequence[Path]], inputs: Mapping[str, Path | None]) -> None:
    """Make sure that no file is written twice, and that no input but the photo itself is written over.

    Args:
        outputs: the files that each option writes; inputs: the file that each option reads.
    Raises:
        OptionError: two of them are one file; the message names both options.
    """
    seen: dict[Path, str] = {}
    for option, path in inputs.items():
        if path is not None:
            seen[_resolved(path)] = option
    for option, paths in outputs.items():
        for path in paths:
            other = seen.setdefault(_resolved(path), option)
            if other != option:
                raise OptionError(f"{option} {path} is the file of {other}, too: give another name")


def _resolved(path: Path) -> Path:
    return Path(os.path.abspath(path))


def require_folder(option: str, folder: Path) -> None:
    """Make a folder, make sure that it can be written, and remove what killed runs left in it. Raises OptionError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        _remove_leftovers(folder)
    except OSError as error:
        raise OptionError(f"{option}: cannot write to {folder}: {error.strerror}") from error


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of ``write_whole`` that nobody writes any more: a picture takes seconds."""
    from ..images import TEMPORARY

    for leftover in folder.glob(TEMPORARY.format("*")):
        with contextlib.suppress(FileNotFoundError):  # it may become whole just now
            if time.time() - leftover.stat().st_mtime > LEFTOVER_AGE:
                leftover.unlink()


def is_made(path: Path, parameters: Mapping[str, Any]) -> bool:
    """Whether the file is there already, made with these parameters by any version.

    What is known only once a picture is made, ``FOUND_OUT``, is not compared, and neither are hashes of files that an
    earlier version did not note.
    """
    from ..images import read_parameters

    found = read_parameters(path)
    made = {name: value for name, value in found.items() if name not in FOUND_OUT}
    asked = {name: value for name, value in parameters.items() if name in found or not name.endswith(DIGEST)}
    return bool(found) and {**made, "version": __version__} == {**asked, "version": __version__}


def write_picture(
    path: Path, pixels: Tensor, parameters: Mapping[str, Any], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a picture and print its name. What cannot be written there is saved under another name.

    Args:
        pixels: samples [3, H, W] in -1..1, or uint8 [H, W, 3 or 4].
    Raises:
        GlideError: the picture had to be saved elsewhere; the message names both files.
        OSError: it could not be saved anywhere.
    """
    from ..images import save_image

    try:
        save_image(path, pixels, dict(parameters), dict(metadata or {}))
    except Exception as error:  # whatever it was, what was painted is not lost; it may lie in the notes themselves
        rescued = Path(tempfile.mkdtemp(prefix=FALLBACK)) / "picture.png"
        save_image(rescued, pixels)
        reason = getattr(error, "strerror", None) or error
        raise GlideError(f"{path} cannot be written ({reason}); the picture was saved as {rescued}") from error
    say(path)


def say(text: object) -> None:
    """Print a line. A reader that has gone away does not end the work."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


def note(text: str) -> None:
    """A remark for the person at the terminal, apart from the names of files on stdout."""
    print(text, file=sys.stderr)


def output_options(parser: argparse.ArgumentParser, help: str) -> None:
    """Add the options of commands that may try one edit several times."""
    add = parser.add_argument
    add(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"{help}; with --batch OUT-0.png, OUT-1.png, ...",
    )
    add(
        "--batch",
        type=count,
        default=1,
        metavar="N",
        help="how many pictures to try, each of another seed (default: 1)",
    )
    add("--sheet", type=Path, metavar="PNG", help="also write a contact sheet of the tries")


def tries(args: argparse.Namespace, count: int) -> list[Path]:
    """The files of ``output_options``, each of which can be written. Raises OptionError."""
    output = args.output
    paths = [output] if count == 1 else [output.with_stem(f"{output.stem}-{k}") for k in range(count)]
    for path in paths:
        require_output("--output", path)
    sheets = [args.sheet] if args.sheet else []
    for sheet in sheets:
        require_output("--sheet", sheet)
    require_distinct({"--output": paths, "--sheet": sheets}, {"--mask": getattr(args, "mask", None)})
    if args.sheet and _resolved(args.sheet) == _resolved(args.input):
        raise OptionError(f"--sheet {args.sheet} is the picture that is read: give another name")
    return paths


def write_sheet_of(sheet: Path | None, paths: Sequence[Path], seeds: Sequence[int]) -> None:
    """Write the contact sheet of tries that were made, where one was asked for, and print its name."""
    if sheet:
        from PIL import Image

        from ..contact_sheet import write_sheet

        captions = [f"{path.name}, {seed_caption(seed)}" for path, seed in zip(paths, seeds)]
        write_sheet(sheet, (Image.open(path).convert("RGB") for path in paths), captions)
        say(sheet)


def seed_caption(seed: int) -> str:
    """What a contact sheet says of a try, for ``--seed``."""
    return f"seed {seed}"
