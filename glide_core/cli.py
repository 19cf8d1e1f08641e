"""The command ``glide``: one function per subcommand, and one that adds its options.

Only the chosen subcommand adds its options: they name defaults of modules that import torch, which takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import cli_common as common

if TYPE_CHECKING:
    from .pipeline import Stage

FAMILIES = {"tiny": ("tiny-base", "tiny-upsample"), "openai": ("base", "upsample")}
PROMPTS_AT_A_TIME = 8


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line. Exits with 2 and one line on stderr on an error of the user's, with 130 on Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        args = _parse(argv)
        args.run(args)
    except ValueError as error:
        _fail(f"glide {argv[0]}", str(error))
    except OSError as error:
        _fail(f"glide {argv[0]}", f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _fail(prog: str, message: str) -> NoReturn:
    print(f"{prog}: error: {message}", file=sys.stderr)
    sys.exit(2)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _fail(self.prog, message)  # without argparse's many lines of usage


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="glide", description="Text to image with OpenAI's GLIDE.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, add_options, run) in COMMANDS.items():
        command = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        command.set_defaults(run=run)
        if name in argv[:1]:
            add_options(command)
    return parser.parse_args(argv)


def _generate_options(parser: argparse.ArgumentParser) -> None:
    from .pipeline import UPSAMPLING, Sampling

    add = parser.add_argument
    add("prompt", nargs="?", metavar="PROMPT", help="what to draw")
    add("--prompts", type=Path, metavar="FILE", help="a prompt per line instead; line i is drawn with seed + i")
    add("-o", "--output", type=Path, required=True, metavar="PNG", help="the file to write; with --batch 4 OUT.png "
        "becomes OUT-0.png to OUT-3.png; with --prompts a folder for 00000.png, 00001.png, ...")
    add("--batch", type=common.count, metavar="N", help="how many pictures of PROMPT, picture k with seed + k (default "
        f"1); with --prompts how many at a time (default {PROMPTS_AT_A_TIME})")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    add("--stage", choices=("base", "all"), default="all", help="base stops at 64x64 (default: all, 256x256)")
    add("--sheet", type=Path, metavar="PNG", help="also write a contact sheet: all pictures with their prompts")
    common.model_options(parser, "tiny (embedded; the default), openai (after `glide fetch base upsample vocab`), or "
                         "the file of a base model")
    add("--upsampler", metavar="FILE", help="the upsampler that belongs to the file in --checkpoint")
    common.sampling_options(parser, "", Sampling(), "base model", "GLIDE's published: --steps 100 --sampler ddpm "
                            "--guidance 3")
    common.sampling_options(parser, "upsample-", UPSAMPLING, "upsampler", "GLIDE's published: --upsample-steps fast27 "
                            "--upsample-sampler ddim --upsample-temp 0.997 --upsample-guidance 1")


def generate(args: argparse.Namespace) -> None:
    """``glide generate``: prompts -> pictures."""
    from PIL import Image

    from . import pictures, pipeline

    prompts, paths = _jobs(args)
    common.make_folder("--output", paths[0].parent)
    if args.sheet:
        common.require_png("--sheet", args.sheet)
        common.make_folder("--sheet", args.sheet.parent)
    base, upsampler = _stages(args)
    common.warn_of_cuts(base, prompts)
    at_a_time = args.batch or PROMPTS_AT_A_TIME
    for start in range(0, len(prompts), at_a_time):
        some = prompts[start : start + at_a_time]
        part = f" {start + 1}-{start + len(some)} of {len(prompts)}" if len(some) < len(prompts) else ""
        options = {"negative": args.negative, "seed": args.seed + start}
        with common.progress(f"base{part}") as callback:
            images = pipeline.generate(base, some, common.sampling(args), callback=callback, **options)
        if upsampler:
            with common.progress(f"upsampler{part}") as callback:
                sampling = common.sampling(args, "upsample_")
                images = pipeline.upsample(upsampler, some, images, sampling, callback=callback, **options)
        for k, pixels in enumerate(pipeline.to_uint8(images)):
            parameters = common.parameters(args) | {"prompt": some[k], "seed": args.seed + start + k}
            pictures.write(paths[start + k], pixels, parameters)
            print(paths[start + k])
    if args.sheet:
        pictures.write_sheet(args.sheet, [Image.open(path) for path in paths], prompts)
        print(args.sheet)


def _jobs(args: argparse.Namespace) -> tuple[list[str], list[Path]]:
    """The prompts and the file that each one's picture goes to."""
    if (args.prompt is None) == (args.prompts is None):
        raise ValueError("give either a PROMPT or --prompts FILE")
    if args.prompts:
        try:
            prompts = [line.strip() for line in args.prompts.read_text(encoding="utf-8-sig").rstrip().split("\n")]
        except UnicodeDecodeError as error:
            raise ValueError(f"--prompts {args.prompts}: this is not UTF-8 text ({error})") from error
        if prompts == [""]:
            raise ValueError(f"--prompts {args.prompts}: there is no prompt in it, write one per line")
        return prompts, [args.output / f"{i:05d}.png" for i in range(len(prompts))]
    common.require_png("--output", args.output)
    args.batch = args.batch or 1
    if args.batch == 1:
        return [args.prompt], [args.output]
    return [args.prompt] * args.batch, [
        args.output.with_stem(f"{args.output.stem}-{k}") for k in range(args.batch)
    ]


def _stages(args: argparse.Namespace) -> tuple[Stage, Stage | None]:
    """Both models before the first is used: an error comes before the work, not in the middle of it."""
    base, upsampler = FAMILIES.get(args.checkpoint, (args.checkpoint, None))
    upsampler = args.upsampler or upsampler
    if args.stage == "base":
        return common.load_stage(args, "--checkpoint", base, "base"), None
    if not upsampler:
        raise ValueError(f"--upsampler: name the one that belongs to {args.checkpoint}, or use --stage base")
    first = common.load_stage(args, "--checkpoint", base, "base")
    return first, common.load_stage(args, "--upsampler", upsampler, "upsample")


def _upsample_options(parser: argparse.ArgumentParser) -> None:
    from .pipeline import UPSAMPLING

    add = parser.add_argument
    add("input", type=Path, metavar="PICTURE", help="a small picture; GLIDE was trained on 64x64")
    add("--prompt", default="", metavar="TEXT", help="what it shows")
    add("-o", "--output", type=Path, required=True, metavar="PNG", help="the file to write, 4 times as large")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    common.model_options(parser, "tiny (embedded; the default), openai (after `glide fetch upsample vocab`), or the "
                         "file of an upsampler")
    common.sampling_options(parser, "", UPSAMPLING, "upsampler", "GLIDE's published: --steps fast27 --sampler ddim "
                            "--temp 0.997 --guidance 1")


def upsample(args: argparse.Namespace) -> None:
    """``glide upsample``: a small picture -> one 4 times as large."""
    from . import pictures, pipeline

    common.require_png("--output", args.output)
    low_res = pictures.read(args.input)
    common.make_folder("--output", args.output.parent)
    source = FAMILIES.get(args.checkpoint, (None, args.checkpoint))[1]
    stage = common.load_stage(args, "--checkpoint", source, "upsample")
    height, width = low_res.shape[-2:]
    multiple = stage.model.config.size_multiple // 4
    if width % multiple or height % multiple:
        raise ValueError(f"{args.input} is {width}x{height}: resize it, both sides must be multiples of {multiple}")
    common.warn_of_cuts(stage, [args.prompt])
    with common.progress("upsampler") as callback:
        images = pipeline.upsample(
            stage, [args.prompt], low_res, common.sampling(args), negative=args.negative, seed=args.seed,
            callback=callback,
        )
    pictures.write(args.output, pipeline.to_uint8(images)[0], common.parameters(args))
    print(args.output)


def _inpaint_options(parser: argparse.ArgumentParser) -> None:
    from . import cli_inpaint

    cli_inpaint.add_arguments(parser)


def inpaint(args: argparse.Namespace) -> None:
    """``glide inpaint``: see ``glide_core.cli_inpaint``."""
    from . import cli_inpaint

    cli_inpaint.run(args)


def _fetch_options(parser: argparse.ArgumentParser) -> None:
    from .download import FILES

    add = parser.add_argument
    add("names", nargs="+", metavar="NAME", help=f"what to download: {', '.join(FILES)}")
    add("--to", type=Path, metavar="DIR", help="the folder (default: $GLIDE_MODELS or ~/.cache/glide)")
    add("--mirror", metavar="URL", help="another server that has the same file names")


def fetch(args: argparse.Namespace) -> None:
    """``glide fetch``: published files -> a folder, verified."""
    from . import download

    try:
        for name in args.names:
            for path in download.fetch(name, args.to, base_url=args.mirror):
                print(path)
    except download.DownloadError as error:
        raise ValueError(str(error)) from error


def _train_options(parser: argparse.ArgumentParser) -> None:
    from . import train

    train.add_arguments(parser)


def train(args: argparse.Namespace) -> None:
    """``glide train``: see ``glide_core.train``."""
    from .train import run

    run(args)


def _bench_options(parser: argparse.ArgumentParser) -> None:
    from .bench import quality

    measurements = parser.add_subparsers(metavar="WHAT", required=True)
    summary = "how well the tiny models obey, on held-out prompts"
    quality.add_arguments(measurements.add_parser("quality", help=summary, description=summary))


def bench(args: argparse.Namespace) -> None:
    """``glide bench quality``: see ``glide_core.bench.quality``."""
    from .bench import quality

    quality.run(args)


COMMANDS: dict[str, tuple[str, Callable, Callable]] = {
    "generate": ("draw pictures of a prompt", _generate_options, generate),
    "upsample": ("make a small picture 4 times as large, by diffusion", _upsample_options, upsample),
    "inpaint": ("repaint a part of a photo, or paint beyond its edges", _inpaint_options, inpaint),
    "fetch": ("download the published models or their vocabulary", _fetch_options, fetch),
    "train": ("train a model, or fine-tune one on your own pictures", _train_options, train),
    "bench": ("measure models", _bench_options, bench),
}
