"""``glide train``: train or fine-tune a GLIDE model on drawn scenes or on a folder of captioned pictures."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from .. import checkpoints
from ..config import PUBLISHED, TINY, ModelConfig
from ..model import Text2Im
from ..unet import sdpa
from .data import Folder, Scenes
from .loop import Options, Phase, Trainer, initialise

MODELS: dict[str, ModelConfig] = {**PUBLISHED, **{f"tiny-{kind}": config for kind, config in TINY.items()}}
MODELS = {name: config for name, config in MODELS.items() if not config.inpaint}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide train``."""
    add = parser.add_argument
    add("--data", default="scenes", help="'scenes' (drawn by program) or a folder of images with .txt captions")
    add("--scenes", type=int, default=60000, help="how many scenes to draw ahead (default: %(default)s)")
    add("--model", choices=MODELS, default="tiny-base")
    add("--out", type=Path, required=True, help="folder for the training state and the model")
    add("--init", help="start from this checkpoint's weights (a path or a known name)")
    add("--resume", action="store_true", help="continue the training in --out")
    add("--resolution", type=int, nargs="+", help="side of the training pictures, or of an upsampler's crops; several "
        "values are phases that follow each other (default: the model's)")
    add("--steps", type=int, nargs="+", default=[3000], help="updates of each phase (default: %(default)s)")
    add("--batch", type=int, nargs="+", default=[32], help="pictures per update in each phase (default: %(default)s)")
    add("--minutes", type=float, default=Options.minutes, help="stop and save after this time")
    add("--save-every", type=float, default=Options.save_every, help="minutes between checkpoints (%(default)s)")
    add("--optimizer", choices=("adamw", "muon"), help="default: muon for a new tiny model, else adamw")
    add("--lr", type=float, help="default: 1.5e-3 for muon, 1e-4 for adamw")
    add("--decay", type=float, default=Options.decay, help="last part of all steps over which the rate falls to zero")
    add("--ema", type=float, default=Options.ema, help="decay of the averaged weights (default: %(default)s)")
    add("--caption-dropout", type=float, default=Options.caption_dropout, help="default: %(default)s")
    add("--focus", type=float, nargs=2, metavar=("MEAN", "STD"), help="draw more timesteps whose log(sigma) is near "
        "MEAN (default: all alike)")
    add("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> None:
    """Train as the parsed options say; under ``torchrun`` on all its processes together.

    Raises:
        ValueError: options or data that do not fit together; CheckpointError: a bad --init or no tokenizer.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if args.device == "cuda" else "gloo")
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    model = _model(args).to(device)
    source = checkpoints.find(args.init) if args.init else args.out / "model.safetensors"
    tokenizer = checkpoints.tokenizer_for(model.config, source)
    trainer = Trainer(model, tokenizer, _data(args, model.config), _options(args, model.config, device), args.out)
    if args.resume:
        trainer.resume()
    trainer.run()


def _model(args: argparse.Namespace) -> Text2Im:
    attention = matmul_attention if args.device == "cpu" else sdpa
    if args.init:
        state_dict, config = checkpoints.read_model(checkpoints.find(args.init))
        model = Text2Im(config, attention=attention)
        model.load_state_dict({name: tensor.float() for name, tensor in state_dict.items()})
        return model
    model = Text2Im(MODELS[args.model], attention=attention)
    initialise(model)
    return model


def matmul_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask=None, skip_reshape=True) -> Tensor:
    """``sdpa`` for training on the CPU, where the fused one's backward is slower."""
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def _data(args: argparse.Namespace, config: ModelConfig) -> Scenes | Folder:
    if args.data == "scenes":
        return Scenes(config.image_size, args.scenes)
    return Folder(Path(args.data), config.image_size)


def _options(args: argparse.Namespace, config: ModelConfig, device: torch.device) -> Options:
    resolutions = args.resolution or [config.image_size]
    count = max(len(resolutions), len(args.steps), len(args.batch))
    lists = [values * count if len(values) == 1 else values for values in (resolutions, args.steps, args.batch)]
    if any(len(values) != count for values in lists):
        raise ValueError("--resolution, --steps and --batch: give one value, or one for every phase")
    for side in resolutions:
        if side % config.size_multiple or side > config.image_size:
            raise ValueError(f"--resolution {side}: not a multiple of {config.size_multiple} up to {config.image_size}")
    optimizer = args.optimizer or ("muon" if args.model.startswith("tiny") and not args.init else "adamw")
    return Options(
        phases=tuple(Phase(*values) for values in zip(*lists)),
        lr=args.lr or {"muon": 1.5e-3, "adamw": 1e-4}[optimizer],
        decay=args.decay,
        ema=args.ema,
        caption_dropout=args.caption_dropout,
        precision=_precision(args.precision, device),
        muon=optimizer == "muon",
        focus=args.focus and tuple(args.focus),
        seed=args.seed,
        minutes=args.minutes,
        save_every=args.save_every,
    )


def _precision(name: str, device: torch.device) -> str:
    """"auto": bf16 where the hardware computes in it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if supported else "fp32"
