"""``glide again``: make a picture anew from the parameters in its file, and say what differs."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ImageError, OptionError
from . import common, outputs

MAKERS = ("generate", "upsample", "inpaint")
POSITIONAL = {"generate": "prompt", "upsample": "input", "inpaint": "input"}
OVERRIDES = ("checkpoint", "upsampler", "lora", "clip", "device", "dtype", "input", "mask")
CHOICE_OF_TRIES = ("best-of", "keep", "scorer")  # the picture was one of these tries, and is made alone
NOT_OPTIONS = ("command", "version", "score", "try-seed", *CHOICE_OF_TRIES)
COMFYUI = ("prompt", "workflow")  # the text chunks in which ComfyUI keeps a graph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide again``."""
    parser.description = (
        f"{parser.description} On the same machine, with the same version, files, device and dtype, the pixels are "
        "equal. Exits with 1 where they are not, and says what is different."
    )
    add = parser.add_argument
    add("picture", type=Path, metavar="PICTURE", help="a picture that glide generate, upsample or inpaint wrote")
    add("-o", "--output", type=Path, metavar="FILE", help="the file to write (default: PICTURE with -again)")
    add("--checkpoint", metavar="NAME|FILE", help="take this one instead, such as a file that was moved")
    add("--upsampler", metavar="FILE", help="the same for the upsampler")
    add("--lora", metavar="FILE[:STRENGTH]", help="the same for the LoRA")
    add("--clip", metavar="NAME|FILE", help="the same for the noised CLIP that guided")
    add("--input", type=Path, metavar="FILE", help="the same for the photo that was edited or enlarged")
    add("--mask", type=Path, metavar="FILE", help="the same for the mask")
    add("--device", choices=("auto", "cpu", "cuda"), help="default: what PICTURE was made on, if it is here")
    add("--dtype", choices=("auto", "fp32", "bf16", "fp16"), help="default: what PICTURE was made in")


def run(args: argparse.Namespace) -> None:
    """Make the picture anew, and compare. Exits with 1 where the pixels differ."""
    made = _read(args.picture)
    output = args.output or args.picture.with_stem(f"{args.picture.stem}-again")
    if output.suffix.lower() != args.picture.suffix.lower():
        raise OptionError(
            f"--output {output}: give a name that ends in {args.picture.suffix}, to compare it with PICTURE"
        )
    outputs.require_output("--output", output)
    outputs.require_distinct({"--output": [output]}, {"PICTURE": args.picture})
    given = {name: getattr(args, name) for name in OVERRIDES if getattr(args, name) is not None}
    _make(made, {**_here(made), **given}, output)
    differences = list(_differences(made, _read(output)))
    for difference in differences:
        outputs.note(difference)
    _compare(args.picture, output, explained=bool(differences))


def _read(picture: Path) -> dict[str, Any]:
    """The parameters in a picture that one of ``MAKERS`` wrote. Raises ImageError: there are none."""
    from PIL import Image, UnidentifiedImageError

    from ..images import read_parameters

    try:
        with Image.open(picture) as file:
            of_comfyui = any(chunk in file.info for chunk in COMFYUI)
    except UnidentifiedImageError as error:
        raise ImageError(f"{picture} is not a picture that Pillow can read") from error
    found = read_parameters(picture)
    if found.get("command") in MAKERS:
        return found
    if of_comfyui:
        raise ImageError(f"{picture} was made by ComfyUI: drop it onto its canvas, which opens the graph that made it")
    if found:
        raise ImageError(
            f"{picture} was not made by glide {', '.join(MAKERS)}, whose parameters can be repeated; one "
            "of glide batch is made again by its command, with the same options"
        )
    raise ImageError(
        f"{picture} has no parameters of glide in it: take a file as glide wrote it, since most programs drop them"
    )


def _here(made: Mapping[str, Any]) -> dict[str, Any]:
    """The device and the precision of this machine where those that the picture was made with are not there."""
    import torch

    if made.get("device") == "cuda" and not torch.cuda.is_available():
        return {"device": "cpu"}
    return {}


def _make(made: Mapping[str, Any], changes: Mapping[str, Any], output: Path) -> None:
    """Run the command that made a picture. Raises OptionError: an option is unknown here, or has another meaning."""
    name = made["command"]
    module = importlib.import_module(f".{name}", __package__)
    parser = _Parser(prog=f"glide {name}", add_help=False)
    module.add_arguments(parser)
    options = {key: value for key, value in made.items() if key not in NOT_OPTIONS and not key.endswith(common.DIGEST)}
    options["seed"] = made.get("try-seed", made.get("seed", 0))
    options |= {"output": output, **changes}
    module.run(parser.parse_args(_argv(options, POSITIONAL[name]), argparse.Namespace(command=name)))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise OptionError(f"the parameters in the picture are not those of this version: {message}")


def _argv(options: Mapping[str, Any], positional: str) -> list[str]:
    """Options as a command line; one that is False was not given."""
    argv = []
    for name, value in options.items():
        if value is True:
            argv.append(f"--{name}")
        elif value is not False and name != positional:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            argv.append(f"--{name}={text}")
    return [*argv, "--", str(options.get(positional, ""))]


def _differences(made: Mapping[str, Any], anew: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it was, a line each."""
    if made.get("version") != anew["version"]:
        yield f"version: made by {made.get('version', 'an unknown one')}, this is {__version__}"
    for name in ("device", "dtype"):
        if made.get(name) != anew[name]:
            yield f"{name}: made with {made.get(name, 'an unknown one')}, now with {anew[name]}"
    for name in sorted(key for key in {*made, *anew} if key.endswith(common.DIGEST)):
        option = name.removesuffix(common.DIGEST)
        if name not in made:
            yield f"{option}: PICTURE does not say what its file held"
        elif made[name] != anew.get(name):
            yield f"{option}: the file {anew.get(option, '')} is another one (SHA-256 {made[name][:12]}... before)"


def _compare(picture: Path, output: Path, *, explained: bool) -> None:
    """Say how far the pixels of two files are apart; exit with 1 where they are not equal."""
    from ..images import read_image, to_uint8

    before, after = (to_uint8(read_image(path)).int() for path in (picture, output))
    if before.shape != after.shape:
        sizes = [f"{pixels.shape[2]}x{pixels.shape[1]}" for pixels in (before, after)]
        outputs.note(f"PICTURE is {sizes[0]}, and the new one {sizes[1]}: it was changed after it was made")
        sys.exit(1)
    apart = (before - after).abs().amax(-1)
    share, most = float((apart > 0).float().mean()), int(apart.max())
    if not most:
        outputs.note("equal, pixel for pixel")
        return
    reason = "" if explained else ": PICTURE was changed, or made by another machine or another PyTorch"
    outputs.note(f"{share:.1%} of the pixels differ, by {most} of 255 at most{reason}")
    sys.exit(1)
