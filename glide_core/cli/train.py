"""``glide train``: train or fine-tune a GLIDE model on one's own pictures, or on drawn scenes."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import sys
from pathlib import Path

import torch
from torch import Tensor

from ..device import pick_device, pick_dtype
from ..files import checkpoints
from ..models.config import PUBLISHED, TINY, ModelConfig
from ..models.text2im import Text2Im, with_inpaint_inputs
from ..models.tokenizer import Tokenizer
from ..models.unet import sdpa
from ..train.options import SCHEDULES, Options, Phase

MODELS: dict[str, ModelConfig] = {**PUBLISHED, **{f"tiny-{kind}": config for kind, config in TINY.items()}}
FAMILIES = {"base": "", "tiny": "tiny-"}  # prefix of the names of a family's models


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide train``."""
    add = parser.add_argument
    add(
        "data",
        metavar="DATA",
        help="a folder of images with same-named .txt captions; tar shards of a WebDataset (a "
        "folder of them, one file, or a pattern such as 'shards-{000..099}.tar'); or the word scenes: drawn by program",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the model, its log, samples and state")
    add("--resume", action="store_true", help="continue the training in --out; give the other options as before")

    add = parser.add_argument_group("model").add_argument
    add(
        "--init",
        metavar="base|tiny|NAME|FILE",
        help="fine-tune the published model (after `glide fetch base vocab`), "
        "the embedded tiny one, or the one of another name or in a file",
    )
    add("--model", choices=MODELS, help="train a model of this shape from random weights instead")
    add(
        "--stage",
        choices=("base", "upsample"),
        default="base",
        help="which model `--init base` or `--init tiny` is "
        "about: the one that draws 64x64, or the one that makes 256x256 of that (default: %(default)s)",
    )
    add(
        "--variant",
        choices=("plain", "inpaint"),
        default="plain",
        help="inpaint: train to fill erased regions; a plain model in --init gets the inputs for it, at zero",
    )
    add("--freeze", choices=("text", "unet"), help="leave the text transformer or the U-Net as it is")
    add(
        "--lora",
        type=_positive(int),
        metavar="RANK",
        help="train additions of this rank to the weights (4 to 64) "
        "instead of the weights, and save them for ComfyUI's LoRA loaders, too",
    )

    add = parser.add_argument_group("training").add_argument
    add(
        "--steps",
        type=_positive(int),
        nargs="+",
        default=[3000],
        metavar="N",
        help="updates (default: %(default)s); "
        "several values are phases that follow each other, and so for --resolution and --batch",
    )
    add(
        "--batch",
        type=_positive(int),
        nargs="+",
        default=[32],
        metavar="N",
        help="pictures per update, of all processes together (default: %(default)s)",
    )
    add(
        "--resolution",
        type=_positive(int),
        nargs="+",
        metavar="N",
        help="side of the training pictures, or of an upsampler's crops (default: the model's)",
    )
    add("--optimizer", choices=("adamw", "muon"), help="default: muon for a new tiny model, else adamw")
    add(
        "--lr",
        type=_positive(float),
        metavar="RATE",
        help="learning rate (default: 1.5e-3 for muon, 1e-4 for adamw, 5e-4 for a LoRA)",
    )
    add(
        "--schedule",
        choices=SCHEDULES,
        default=Options.schedule,
        help="how the rate falls: decay, linearly at the "
        "end; cosine, over all steps; constant, not at all (default: %(default)s)",
    )
    add(
        "--decay",
        type=_share,
        default=Options.decay,
        metavar="PART",
        help="last part of all steps over which --schedule decay falls to zero (default: %(default)s)",
    )
    add(
        "--warmup", type=int, default=Options.warmup, metavar="N", help="steps in which it rises (default: %(default)s)"
    )
    add(
        "--ema",
        type=_share,
        default=Options.ema,
        metavar="DECAY",
        help="decay of the averaged weights, which are what is saved (default: %(default)s)",
    )
    add(
        "--caption-dropout",
        type=_share,
        default=Options.caption_dropout,
        metavar="PART",
        help="captions replaced by the empty one, without which guidance does not work (default: %(default)s)",
    )
    add(
        "--focus",
        type=float,
        nargs=2,
        metavar=("MEAN", "STD"),
        help="draw more timesteps whose log(sigma) is near MEAN (default: all alike)",
    )
    add(
        "--noise-offset",
        type=_share,
        nargs="+",
        default=(),
        metavar="STD",
        help="add low frequencies to the noise: "
        "up to this number per channel, a grid of 4x4, 16x16, ...; colours are learned sooner (0.15; default: none, as "
        "GLIDE)",
    )
    add(
        "--layout",
        type=_share,
        default=Options.layout,
        metavar="WEIGHT",
        help="base models on scenes: also learn to "
        "tell what lies where, with this weight; shapes are learned much sooner (0.02; default: none, as GLIDE)",
    )
    add("--seed", type=int, default=Options.seed, metavar="N", help="default: %(default)s")
    add(
        "--scenes",
        type=_positive(int),
        default=60000,
        metavar="N",
        help="how many to draw ahead (default: %(default)s)",
    )

    add = parser.add_argument_group("memory and speed").add_argument
    add("--accumulate", type=_positive(int), default=1, metavar="N", help="compute a batch in N pieces")
    add("--gradient-checkpointing", action="store_true", help="much less memory, a third more time")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="auto: bf16 where the hardware computes in it, else fp32",
    )
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")

    add = parser.add_argument_group("saving and watching").add_argument
    add(
        "--save-every",
        type=_positive(float),
        default=Options.save_every,
        metavar="MINUTES",
        help="default: %(default)s",
    )
    add("--minutes", type=_positive(float), default=Options.minutes, help="stop and save after this time")
    add(
        "--sample-every",
        type=int,
        default=0,
        metavar="N",
        help="draw a sheet of samples every N steps (default: never)",
    )
    add(
        "--sample-prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what to draw on it, can be repeated (default: captions of DATA)",
    )
    add("--tensorboard", action="store_true", help="write the log for TensorBoard, too")


def run(args: argparse.Namespace) -> None:
    """Train as the parsed options say; under ``accelerate launch`` on all its processes together.

    Raises:
        ValueError: options or data that do not fit together, or a training that diverged; CheckpointError: a bad --init
            or no tokenizer; OSError: the disk is full.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ValueError('training needs the package accelerate: pip install "glide-nodes[train]"') from error
    from ..train.loop import Trainer

    if not args.resume and (args.out / "state.pt").exists():
        raise ValueError(f"--out {args.out} holds a training: go on with it by --resume, or choose another folder")
    device = pick_device(args.device)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    torch.manual_seed(args.seed)
    model, tokenizer = _model(args, device)
    if args.layout and (args.data != "scenes" or model.config.low_res):
        raise ValueError("--layout knows what drawn scenes hold: leave it out, or train a base model with DATA scenes")
    options = _options(args, model.config, device, accelerator.num_processes)
    with accelerator.main_process_first():
        data = _data(args, model.config, accelerator)
    trainer = Trainer(model, tokenizer, data, options, args.out, accelerator, args.sample_prompt)
    if args.resume:
        trainer.resume()
    trainer.run()
    accelerator.end_training()
    if trainer.interrupted:
        if accelerator.is_main_process:
            print(f"stopped after step {trainer.step}; to go on: {_resuming_command(args)}", file=sys.stderr)
        sys.exit(130)


def _resuming_command(args: argparse.Namespace) -> str:
    command = ["glide", *sys.argv[1:]] if sys.argv[1:2] == ["train"] else ["glide", "train", "..."]
    return shlex.join(command) + ("" if args.resume else " --resume")


def _model(args: argparse.Namespace, device: torch.device) -> tuple[Text2Im, Tokenizer]:
    from ..train import lora
    from ..train.loop import initialise

    attention = matmul_attention if device.type == "cpu" else sdpa
    if (args.init is None) == (args.model is None):
        raise ValueError("give either --init (base, tiny or a file) to fine-tune, or --model to train from scratch")
    if args.init:
        source, state_dict, config = _initial(args)
        model = Text2Im(config, attention=attention)
        model.load_state_dict({name: tensor.float() for name, tensor in state_dict.items()})
    else:
        config = MODELS[args.model]
        config = dataclasses.replace(config, inpaint=config.inpaint or args.variant == "inpaint")
        source = args.out / f"{config.kind}.safetensors"
        model = Text2Im(config, attention=attention)
        initialise(model)
    if args.freeze:
        getattr(model, args.freeze).requires_grad_(False)
    if args.lora:
        lora.add(model, args.lora)
    return model, checkpoints.tokenizer_for(config, source)


def _initial(args: argparse.Namespace) -> tuple[Path, checkpoints.StateDict, ModelConfig]:
    """What to fine-tune: its file, tensors and config."""
    name = args.init
    if name in FAMILIES:
        name = FAMILIES[name] + args.stage
        if args.variant == "inpaint":
            name = _inpaint_or_plain(name)
    source = checkpoints.find(name)
    state_dict, config = checkpoints.read_model(source)
    if args.variant == "inpaint" and not config.inpaint:
        state_dict, config = with_inpaint_inputs(state_dict, config)
    return source, state_dict, config


def _inpaint_or_plain(name: str) -> str:
    """The inpainting model of a family, which knows how to fill holes already, or else its plain model."""
    try:
        checkpoints.find(f"{name}-inpaint")
    except checkpoints.CheckpointError:
        return name
    return f"{name}-inpaint"


def matmul_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask=None, skip_reshape=True) -> Tensor:
    """``sdpa`` for training on the CPU, where the fused one's backward is slower."""
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _data(args: argparse.Namespace, config: ModelConfig, accelerator):
    from ..train.data import open_data

    return open_data(
        args.data,
        config.image_size,
        scenes=args.scenes,
        seed=args.seed,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )


def _options(args: argparse.Namespace, config: ModelConfig, device: torch.device, processes: int) -> Options:
    muon = args.optimizer == "muon" if args.optimizer else (args.model or "").startswith("tiny") and not args.lora
    return Options(
        phases=_phases(args, config, processes),
        lr=args.lr or (5e-4 if args.lora else 1.5e-3 if muon else 1e-4),
        warmup=args.warmup,
        schedule=args.schedule,
        decay=args.decay,
        ema=args.ema,
        caption_dropout=args.caption_dropout,
        precision=_precision(args.precision, device),
        muon=muon,
        focus=args.focus and tuple(args.focus),
        noise_offset=tuple(args.noise_offset),
        layout=args.layout,
        accumulate=args.accumulate,
        recompute=args.gradient_checkpointing,
        seed=args.seed,
        minutes=args.minutes,
        save_every=args.save_every,
        sample_every=args.sample_every,
        tensorboard=args.tensorboard,
    )


def _phases(args: argparse.Namespace, config: ModelConfig, processes: int) -> tuple[Phase, ...]:
    resolutions = args.resolution or [config.image_size]
    count = max(len(resolutions), len(args.steps), len(args.batch))
    lists = [values * count if len(values) == 1 else values for values in (resolutions, args.steps, args.batch)]
    if any(len(values) != count for values in lists):
        raise ValueError("--resolution, --steps and --batch: give one value, or one for every phase")
    for side in resolutions:
        if side % config.size_multiple or side > config.image_size:
            raise ValueError(f"--resolution {side}: not a multiple of {config.size_multiple} up to {config.image_size}")
    pieces = processes * args.accumulate
    for batch in args.batch:
        if batch % pieces:
            raise ValueError(f"--batch {batch}: not a multiple of {pieces} (processes times --accumulate)")
    return tuple(Phase(*values) for values in zip(*lists))


def _precision(name: str, device: torch.device) -> str:
    """ "auto": bf16 where the hardware computes in it; fp16 must be asked for."""
    if name == "auto" and device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return pick_dtype(name, device)


def _positive(kind: type):
    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
        return value

    return parse


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
