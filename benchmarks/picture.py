"""Time a whole picture of the full-size models, from the prompt's tokens to 256x256, against OpenAI's implementation.

    python benchmarks/picture.py [--dtype fp32,fp16] [--steps 100] [--batch 1]

Base: ddpm with guidance 3; upsampler: fast27 with ddim, as OpenAI's notebook does. The weights are random and equal, so
the pictures are noise and only the times mean something. The reference (see ``forward.py``) computes in fp32, and in
fp16 next to ours in fp16. Loading is not counted; the first, unmeasured run has 2 steps.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forward import DEVICE, random_weights, reference_like  # noqa: E402
from benchmarks.reference import load_reference  # noqa: E402
from glide_core.device import DTYPES, exact_fp32  # noqa: E402
from glide_core.images import quantize  # noqa: E402
from glide_core.models.config import PUBLISHED  # noqa: E402
from glide_core.models.text2im import Text2Im  # noqa: E402
from glide_core.pipeline import Sampling, Stage, generate, upsample  # noqa: E402

GUIDANCE, TEMPERATURE, KINDS = 3.0, 0.997, ("base", "upsample")


def tokens(batch: int, text_ctx: int = 128) -> tuple[Tensor, Tensor]:
    """Of prompts of 12 tokens; their values do not matter to the time."""
    mask = torch.arange(text_ctx).expand(batch, -1) < 12
    return torch.randint(50256, (batch, text_ctx)), mask


def ours(models: dict[str, Text2Im], batch: int) -> Callable[[str, str], Tensor]:
    tokenizer = SimpleNamespace(batch=lambda prompts: tokens(len(prompts)))
    base, upsampler = (Stage(models[kind], tokenizer) for kind in KINDS)
    for model in models.values():
        model.unet.to(memory_format=torch.channels_last)

    def picture(steps: str, upsample_steps: str) -> Tensor:
        small = generate(base, [""] * batch, Sampling(steps, "ddpm", GUIDANCE))
        return upsample(upsampler, [""] * batch, small, Sampling(upsample_steps, "ddim", 1.0, temperature=TEMPERATURE))

    return picture


def theirs(reference, models: dict[str, Text2Im], batch: int, fp16: bool) -> Callable[[str, str], Tensor]:
    base, upsampler = (reference_like(reference, models[kind], fp16) for kind in KINDS)

    def guided(x, timesteps, **kwargs):
        half = x[: len(x) // 2]
        out = base(torch.cat([half, half]), timesteps, **kwargs)
        eps, rest = out[:, :3], out[:, 3:]
        cond, uncond = eps.chunk(2)
        eps = uncond + GUIDANCE * (cond - uncond)
        return torch.cat([torch.cat([eps, eps]), rest], dim=1)

    def loop(kind: str, steps: str):
        diffusion = reference.create_gaussian_diffusion(1000, models[kind].config.noise_schedule, steps)
        return diffusion.p_sample_loop if kind == "base" else diffusion.ddim_sample_loop

    def picture(steps: str, upsample_steps: str) -> Tensor:
        text = dict(zip(("tokens", "mask"), (part.to(DEVICE) for part in tokens(2 * batch))))
        small = loop("base", steps)(guided, (2 * batch, 3, 64, 64), device=DEVICE, model_kwargs=text)[:batch]
        text = {name: part[:batch] for name, part in text.items()}
        noise = TEMPERATURE * torch.randn(batch, 3, 256, 256, device=DEVICE)
        return loop("upsample", upsample_steps)(
            upsampler, noise.shape, noise=noise, device=DEVICE, model_kwargs={"low_res": quantize(small), **text}
        )

    return picture


def seconds(picture: Callable[[str, str], Tensor], steps: str) -> float:
    picture("2", "2")
    start = time.perf_counter()
    picture(steps, "fast27").cpu()
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="fp32", help="of: " + ", ".join(DTYPES))
    parser.add_argument("--steps", default="100", help="of the base (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="pictures at once (default: %(default)s)")
    options = parser.parse_args()
    exact_fp32()
    reference = load_reference()
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, {device}, {options.steps} + 27 steps, batch {options.batch}, seconds\n")
    print("| dtype | ours | reference | ratio |\n| --- | ---: | ---: | ---: |")
    for dtype in options.dtype.split(","):
        torch.manual_seed(0)
        models = {k: random_weights(Text2Im(PUBLISHED[k], device=DEVICE, dtype=DTYPES[dtype])).eval() for k in KINDS}
        pictures = {}
        if reference is not None:  # first: ours makes the weights channels_last
            pictures["reference"] = theirs(reference, models, options.batch, dtype == "fp16")
        pictures["ours"] = ours(models, options.batch)
        took = {name: seconds(picture, options.steps) for name, picture in pictures.items()}
        if reference is None:
            print(f"| {dtype} | {took['ours']:.2f} | - | - |", flush=True)
        else:
            ratio = took["ours"] / took["reference"]
            print(f"| {dtype} | {took['ours']:.2f} | {took['reference']:.2f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
