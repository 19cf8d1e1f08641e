"""Options that several subcommands of ``glide`` share, and what these make of them."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:
    from ..pipeline import Callback, Sampling, Stage


FAMILIES = {"tiny": "tiny-", "openai": ""}  # before a model's kind in the names of a family's models


def family_member(checkpoint: str, kind: str) -> str | None:
    """The family's model of this kind where ``checkpoint`` names a family ("tiny", "openai"), else None."""
    return FAMILIES[checkpoint] + kind if checkpoint in FAMILIES else None


def model_options(parser: argparse.ArgumentParser, checkpoint_help: str) -> None:
    add = parser.add_argument
    add("--checkpoint", default="tiny", metavar="NAME|FILE", help=checkpoint_help)
    add("--seed", type=int, default=0, metavar="N", help="the noise to start from (default: 0)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    add(
        "--dtype",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="fp32 is exact; auto is fp16 on a GPU, bf16 on a CPU that computes in it, else fp32",
    )


def sampling_options(
    parser: argparse.ArgumentParser, prefix: str, defaults: Sampling, name: str, published: str
) -> None:
    from ..diffusion.samplers import SAMPLERS

    add = parser.add_argument_group(f"sampling of the {name}", published).add_argument
    add(
        f"--{prefix}steps",
        type=steps_option,
        default=str(defaults.steps),
        metavar="STEPS",
        help="1 to 1000, fast27, ddimN, or steps per section as in 10,10,3,2,2 (default: %(default)s)",
    )
    add(f"--{prefix}sampler", choices=list(SAMPLERS), default=defaults.sampler, help="default: %(default)s")
    add(
        f"--{prefix}guidance-scale",
        type=number(0, 100),
        default=defaults.guidance_scale,
        metavar="SCALE",
        help="how closely to follow the prompt; 1 is loosely and twice as fast (default: %(default)s)",
    )
    add(
        f"--{prefix}eta",
        type=number(0, 1),
        default=defaults.eta,
        metavar="ETA",
        help="fresh noise in each step of ddim, 0 to 1 (default: %(default)s)",
    )
    add(
        f"--{prefix}threshold",
        type=number(0.001, 1),
        default=defaults.threshold,
        metavar="PART",
        help="dynamic thresholding: the part of the values that is kept, such as 0.995 (default: clip)",
    )
    add(
        f"--{prefix}temperature",
        type=number(0, 10),
        default=defaults.temperature,
        metavar="SCALE",
        help="scale of the initial noise (default: %(default)s)",
    )
    old_name(add, f"--{prefix}guidance", f"{prefix}guidance_scale", number(0, 100))
    old_name(add, f"--{prefix}temp", f"{prefix}temperature", number(0, 10))


def old_name(add: Callable, option: str, dest: str, type: Callable) -> None:
    """Keep the name that an option had in earlier versions working, without a line in the help."""
    add(option, dest=dest.replace("-", "_"), type=type, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def sampling(args: argparse.Namespace, prefix: str = "") -> Sampling:
    from ..pipeline import Sampling

    names = ("steps", "sampler", "guidance_scale", "eta", "threshold", "temperature")
    return Sampling(*(getattr(args, prefix + name) for name in names))


def parameters(args: argparse.Namespace) -> dict[str, object]:
    """What a picture depends on, under the names of the options that set it."""
    elsewhere = ("run", "prompts", "output", "batch", "sheet")
    return {
        name.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in elsewhere and value is not None
    }


def steps_option(text: str) -> str:
    from ..diffusion.schedule import NoiseSchedule

    try:
        NoiseSchedule("linear").respaced_sigmas(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low} to {high}")
        return value

    return parse


def require_png(option: str, path: Path) -> None:
    if path.suffix.lower() != ".png" or path.is_dir():
        raise OptionError(f"{option} {path}: give the name of a .png file")


def make_folder(option: str, folder: Path) -> None:
    """Make sure, before the work, that its result can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OptionError(f"{option}: cannot write to {folder}: {error.strerror}") from error


def load_stage(args: argparse.Namespace, option: str, source: str, kind: str) -> Stage:
    from ..device import DTYPES, exact_fp32, pick_device, pick_dtype
    from ..errors import CheckpointError
    from ..pipeline import Stage, require_kind

    device = pick_device(args.device)
    args.device, args.dtype = device.type, pick_dtype(args.dtype, device)
    exact_fp32()
    try:
        stage = Stage.load(source, device=device, dtype=DTYPES[args.dtype])
        require_kind(stage, kind)
    except ValueError as error:
        raise CheckpointError(f"{option} {error}") from error
    return stage


def warn_of_cuts(stage: Stage, prompts: Iterable[str]) -> None:
    for prompt in dict.fromkeys(prompts):
        encoded = stage.tokenizer(prompt)
        if encoded.cut:
            cut = encoded.count - stage.tokenizer.text_ctx
            print(
                f"warning: the prompt has {encoded.count} tokens, the model reads {stage.tokenizer.text_ctx}: "
                f"the last {cut} were cut, from {encoded.cut[:40]!r} on",
                file=sys.stderr,
            )


@contextmanager
def progress(name: str) -> Iterator[Callback]:
    """A progress bar of one stage, as a callback."""
    from tqdm import tqdm

    with tqdm(desc=name, unit="step") as bar:

        def callback(step: int, total: int, x_start: object) -> None:
            bar.total = total
            bar.update(step + 1 - bar.n)

        yield callback
