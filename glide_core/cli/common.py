"""Options that several subcommands of ``glide`` share, and what these make of them."""

from __future__ import annotations

import argparse
import secrets
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..choices import FAMILIES as FAMILIES
from ..choices import SAMPLERS
from ..choices import family_member as family_member
from ..errors import CheckpointError, GlideError, GlideWarning

if TYPE_CHECKING:
    import torch

    from ..diffusion.options import Sampling
    from ..pipeline import Callback, Stage


MOST = 1_000_000  # of whatever is counted: pictures, passes, pixels
DIGEST = "-sha256"  # after an option's name: what a picture notes of the file that the option named
PICTURES = ("input", "mask")  # arguments that name a picture to read


@dataclass(frozen=True)
class Compute:
    """Where to compute and in which precision, a name of ``device.DTYPES``."""

    device: torch.device
    dtype: str


def model_options(parser: argparse.ArgumentParser, checkpoint_help: str) -> None:
    """Add the options that choose the model, its seed, and where it runs."""
    add = parser.add_argument
    add("--checkpoint", default="tiny", metavar="NAME|FILE", help=checkpoint_help)
    add(
        "--seed",
        type=seed_option,
        default=0,
        metavar="N",
        help="the noise to start from: a whole number, or random, which is printed (default: 0)",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    add(
        "--dtype",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="fp32 is exact; auto is fp16 on a GPU, bf16 on a CPU that computes in it, else fp32",
    )


def reference_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--as-reference``, which is for all models of a command."""
    parser.add_argument(
        "--as-reference",
        action="store_true",
        default=argparse.SUPPRESS,  # pictures without it note the same ``parameters`` as before there was this option
        help="walk exactly as OpenAI's code does where the noise is strong, also where that ends in coloured snow",
    )


def sampling_options(
    parser: argparse.ArgumentParser, prefix: str, defaults: Sampling, name: str, published: str
) -> None:
    add = parser.add_argument_group(f"sampling of the {name}", published).add_argument
    add(
        f"--{prefix}steps",
        type=steps_option,
        default=str(defaults.steps),
        metavar="STEPS",
        help="1 to 1000, fast27, ddimN, aysN, or steps per section as in 10,10,3,2,2 (default: %(default)s)",
    )
    add(f"--{prefix}sampler", choices=SAMPLERS, default=defaults.sampler, help="default: %(default)s")
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
    add(
        f"--{prefix}guidance-from",
        type=number(0, 1),
        metavar="PART",
        help="share of the steps after which guidance begins; steps without it take half the time (default: 0)",
    )
    add(
        f"--{prefix}guidance-until",
        type=number(0, 1),
        metavar="PART",
        help="share of the steps after which guidance ends (default: 1)",
    )
    add(
        f"--{prefix}cache-interval",
        type=count,
        metavar="STEPS",
        help="compute the deep layers of the network once in so many steps, and take what they said in the others; 2 "
        "and 3 are faster and lose some detail (default: 1)",
    )
    add(
        f"--{prefix}noise-offset",
        type=noise_offset_option,
        metavar="STD,STD",
        help="low frequencies of the initial noise, for a model that was trained with them by `glide train "
        "--noise-offset`, such as the embedded base with 0.15,0.15 (default: 0)",
    )
    old_name(add, f"--{prefix}guidance", f"{prefix}guidance_scale", number(0, 100))
    old_name(add, f"--{prefix}temp", f"{prefix}temperature", number(0, 10))


def old_name(add: Callable[..., Any], option: str, dest: str, type: Callable[[str], Any]) -> None:
    """Keep the name that an option had in earlier versions working, without a line in the help."""
    add(option, dest=dest.replace("-", "_"), type=type, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def sampling(args: argparse.Namespace, prefix: str = "") -> Sampling:
    from ..diffusion.options import Sampling, parse_noise_offset

    names = ("steps", "sampler", "guidance_scale", "eta", "threshold", "temperature")
    values = {name: getattr(args, prefix + name) for name in names}
    optional = ("guidance_from", "guidance_until", "cache_interval")
    chosen = {name: getattr(args, prefix + name) for name in optional}
    values |= {name: value for name, value in chosen.items() if value is not None}
    values["noise_offset"] = parse_noise_offset(getattr(args, prefix + "noise_offset") or "0")
    return Sampling(**values, as_reference="as_reference" in args)


def compute(args: argparse.Namespace) -> Compute:
    """What --device and --dtype come to on this machine. Raises OptionError: there is no such device here."""
    from ..device import exact_fp32, pick_device, pick_dtype

    device = pick_device(args.device)
    exact_fp32()
    return Compute(device, pick_dtype(args.dtype, device))


def parameters(args: argparse.Namespace, where: Compute, checkpoints: Mapping[str, str | None]) -> dict[str, object]:
    """What a picture depends on, for the picture's file: under the names of the options that set it, and hashes.

    Args:
        checkpoints: the model that each option comes to, see ``digest``; None where there is none.
    Raises:
        CheckpointError: there is no such checkpoint.
    """
    from ..files.integrity import sha256

    elsewhere = (
        "run",
        "prompts",
        "output",
        "batch",
        "sheet",
        "overwrite",
        "list_words",
        "json",
        "preset",
        "preset_prefixes",
        "painted_in",
    )
    found = {
        name.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in elsewhere and value is not None
    }
    hashes = {name + DIGEST: digest(f"--{name}", source) for name, source in checkpoints.items() if source}
    files = {name: getattr(args, name, None) for name in PICTURES}
    if getattr(args, "lora", None):
        from ..train.lora import named

        files["lora"] = named(args.lora)[0]
    hashes |= {name + DIGEST: sha256(path) for name, path in files.items() if path}
    return {**found, **hashes, "device": where.device.type, "dtype": where.dtype, "version": __version__}


def digest(option: str, source: str) -> str:
    """The SHA-256 of the model that an option names. Raises CheckpointError: there is none of this name."""
    from ..files import checkpoints, clip_checkpoints, integrity

    try:
        files = clip_checkpoints.find(source) if option == "--clip" else (checkpoints.find(source),)
        return " ".join(map(integrity.sha256, files))
    except GlideError as error:
        raise CheckpointError(f"{option} {error}") from error


def seed_option(text: str) -> int:
    """The value of ``--seed``: any whole number, or "random", which prints the one that was chosen."""
    if text == "random":
        seed = secrets.randbelow(2**32)
        print(f"seed {seed}", file=sys.stderr)
        return seed
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number, nor the word random") from error


def noise_offset_option(text: str) -> str:
    """The value of ``--noise-offset``, as pictures note it."""
    from ..diffusion.options import parse_noise_offset

    try:
        parse_noise_offset(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def steps_option(text: str) -> str:
    from ..diffusion.schedule import NoiseSchedule

    try:
        NoiseSchedule("linear").respaced_sigmas(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def count(text: str) -> int:
    """A number of pictures or pixels, from 1 to ``MOST``."""
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 1 to {MOST}")
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


def load_stage(where: Compute, option: str, source: str, kind: str, lora: str | None = None) -> Stage:
    """Load a model for sampling.

    Args:
        lora: the value of ``--lora``, what to add to the model.
    Raises:
        CheckpointError: it is missing, of another kind, or the LoRA is of another model; the option is named.
    """
    from ..device import DTYPES
    from ..pipeline import Stage, require_kind
    from ..train.lora import onto

    try:
        stage = Stage.load(source, device=where.device, dtype=DTYPES[where.dtype])
        require_kind(stage, kind)
        if lora:
            option = "--lora"
            onto(stage, lora)
    except GlideError as error:
        raise CheckpointError(f"{option} {error}") from error
    return stage


def pictures_at_a_time(
    stages: Iterable[Stage], sampling: Iterable[Sampling], most: int, prompts: Iterable[str] = ()
) -> int:
    """How many pictures of these prompts the models can paint in one batch with the memory that is free.

    Args:
        most: not more than this.
    Raises:
        OptionError: not even one; the message has the numbers.
    """
    from ..diffusion.composition import predicted_parts
    from ..memory import available, require, unet_bytes

    fits, parts = most, max((len(predicted_parts(prompt)) for prompt in prompts), default=1)
    for stage, options in zip(stages, sampling):
        config, rows = stage.model.config, parts if options.guidance_scale == 1 else parts + 1
        one = unet_bytes(rows, config.image_size, config.image_size, config.num_channels, stage.model.unet.dtype)
        require(f"a picture with the {config.kind} model", one, stage.device)
        fits = min(fits, available(stage.device) // one)
    return fits


def texts_of(prompts: Iterable[str]) -> list[str]:
    """The different texts that a model reads for these prompts: the parts between AND and NOT."""
    from ..diffusion.composition import split_prompt

    return list(dict.fromkeys(part.text for prompt in prompts for part in split_prompt(prompt)))


def warn_of_cuts(stage: Stage, prompts: Iterable[str]) -> None:
    for text in texts_of(prompts):
        encoded = stage.tokenizer(text)
        if encoded.cut:
            cut = encoded.count - stage.tokenizer.text_ctx
            warnings.warn(
                f"the prompt has {encoded.count} tokens, the model reads {stage.tokenizer.text_ctx}: "
                f"the last {cut} were cut, from {encoded.cut[:40]!r} on",
                GlideWarning,
                stacklevel=2,
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
