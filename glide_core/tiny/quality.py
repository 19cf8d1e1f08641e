"""``glide bench quality``: how well the tiny models obey, on held-out prompts of the drawn scenes.

Every figure is a share of verdicts of the judge, or decibels to the true rendering; the tables are Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..device import DTYPES, exact_fp32, pick_device, pick_dtype
from ..images import write_sheet
from ..pipeline import Sampling, Stage, generate, inpaint, to_uint8, upsample
from .judge import judge, look
from .scenes import SIDE, Scene, held_out_scenes, prompt, render

BATCH = 20
ASPECTS = ("background", "colour", "shape", "size", "relation", "style", "all")
MEASURES = ("prompts", "upsampling", "inpainting")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide bench quality``."""
    add = parser.add_argument
    add("--measure", nargs="+", choices=MEASURES, default=list(MEASURES), help="default: all three")
    add("--count", type=int, default=200, help="held-out scenes for each (default: %(default)s)")
    add("--guidance", type=float, nargs="+", default=[3.0], help="a row for each scale (default: 3)")
    add("--steps", default="5,5,5,5,10", help="of the base models (default: %(default)s)")
    add("--sampler", default="ddpm", help="of the base models (default: %(default)s)")
    add("--upsample-steps", default="10", help="default: %(default)s")
    add("--upsample-sampler", default="ddim", help="default: %(default)s")
    add("--base", default="tiny-base", help="model to measure, a name or a file; likewise the others")
    add("--upsampler", default="tiny-upsample")
    add("--base-inpaint", default="tiny-base-inpaint")
    add("--upsampler-inpaint", default="tiny-upsample-inpaint")
    add("--sheet", type=Path, metavar="PNG", help="also write the pictures of the first guidance scale as a sheet")
    add("--dtype", choices=("auto", *DTYPES), default="fp32", help="default: %(default)s, which is exact")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")


class Bench:
    """The models and settings of one run."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.device = pick_device(args.device)
        self.dtype = DTYPES[pick_dtype(args.dtype, self.device)]
        exact_fp32()
        self.upsampling = Sampling(args.upsample_steps, args.upsample_sampler, guidance_scale=1.0)

    def load(self, source: str) -> Stage:
        return Stage.load(source, device=self.device, dtype=self.dtype)

    def sampling(self, guidance: float) -> Sampling:
        return Sampling(self.args.steps, self.args.sampler, guidance)


def run(args: argparse.Namespace) -> None:
    """Measure and print the tables. Raises ValueError: a model is missing or of another kind."""
    bench, scenes = Bench(args), held_out_scenes(args.count)
    if "prompts" in args.measure:
        print(prompts_table(bench, scenes))
    if "upsampling" in args.measure:
        print(upsampling_table(bench, scenes))
    if "inpainting" in args.measure:
        print(inpainting_table(bench, args.count))


def prompts_table(bench: Bench, scenes: Sequence[Scene]) -> str:
    """Base and upsampler together: a row for each guidance scale."""
    base, upsampler = bench.load(bench.args.base), bench.load(bench.args.upsampler)
    rows = []
    for k, guidance in enumerate(bench.args.guidance):
        pictures = draw(base, upsampler, scenes, bench.sampling(guidance), bench.upsampling)
        if k == 0 and bench.args.sheet:
            images = [Image.fromarray(picture) for picture in pictures]
            write_sheet(bench.args.sheet, images, [prompt(scene) for scene in scenes], columns=8)
        shares = share_right([judge(look(picture), scene) for picture, scene in zip(pictures, scenes)])
        rows.append([f"{guidance:g}", *(f"{100 * shares[name]:.1f}" for name in ASPECTS)])
    return _table(["guidance", *(f"{name} %" for name in ASPECTS)], rows)


def draw(
    base: Stage, upsampler: Stage, scenes: Sequence[Scene], sampling: Sampling, upsampling: Sampling
) -> np.ndarray:
    """A picture of each scene's prompt: uint8 [N, 256, 256, 3]; picture k is made with seed k."""

    def cascade(start: int, part: Sequence[Scene]) -> Tensor:
        texts = [prompt(scene) for scene in part]
        small = generate(base, texts, sampling, seed=start)
        return upsample(upsampler, texts, small, upsampling, seed=start)

    return _batches(scenes, cascade, f"guidance {sampling.guidance_scale:g}")


def upsampling_table(bench: Bench, scenes: Sequence[Scene]) -> str:
    """The upsampler alone, from the true small picture: decibels to the true large one, and styles."""
    stage = bench.load(bench.args.upsampler)
    truth = np.stack([render(scene) for scene in scenes])
    low_res = F.avg_pool2d(_to_tensor(truth), 4)

    def enlarge(start: int, part: Sequence[Scene]) -> Tensor:
        texts = [prompt(scene) for scene in part]
        return upsample(stage, texts, low_res[start : start + len(part)], bench.upsampling, seed=start)

    pictures = _batches(scenes, enlarge, "upsampling")
    smooth = np.stack([bicubic(picture) for picture in to_uint8(low_res).numpy()])
    ours, theirs = (np.array([psnr(a, b) for a, b in zip(some, truth)]) for some in (pictures, smooth))
    shares = share_right([judge(look(picture), scene) for picture, scene in zip(pictures, scenes)])
    row = [*(f"{values.mean():.1f}" for values in (ours, theirs, ours - theirs)), f"{100 * shares['style']:.1f}"]
    return _table(["upsampler dB", "bicubic dB", "difference dB", "style %"], [row])


def bicubic(picture: np.ndarray) -> np.ndarray:
    """uint8 [64, 64, 3] -> [256, 256, 3]."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio of two uint8 pictures, in decibels."""
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean())))


def inpainting_table(bench: Bench, count: int) -> str:
    """Both inpainting models: of two objects side by side one half is erased, with the object in it."""
    base, upsampler = bench.load(bench.args.base_inpaint), bench.load(bench.args.upsampler_inpaint)
    scenes = [s for s in held_out_scenes(8 * count) if s.relation not in (None, "inside")][:count]
    truth = _to_tensor(np.stack([render(scene) for scene in scenes]))
    masks = torch.stack([_erased_half(scene) for scene in scenes])
    texts = [prompt(scene) for scene in scenes]

    def repaint(start: int, part: Sequence[Scene]) -> Tensor:
        some = slice(start, start + len(part))
        image, mask = truth[some], masks[some]
        sampling = bench.sampling(bench.args.guidance[0])
        small = inpaint(base, texts[some], F.avg_pool2d(image, 4), mask, sampling, seed=start)
        return upsample(upsampler, texts[some], small, bench.upsampling, image=image, mask=mask, seed=start)

    pictures = _batches(scenes, repaint, "inpainting")
    verdicts = [judge(look(picture), scene) for picture, scene in zip(pictures, scenes)]
    erased = [(v["colour"][1], v["shape"][1], v["colour"][1] and v["shape"][1] and v["relation"][0]) for v in verdicts]
    row = [f"{100 * share:.1f}" for share in np.mean(erased, axis=0)]
    return _table(["erased object's colour %", "its shape %", "both, in its place %"], [row])


def _erased_half(scene: Scene) -> Tensor:
    """[1, 256, 256], 1 = erased: the half of the second object."""
    mask, half = torch.zeros(1, SIDE, SIDE), SIDE // 2
    where = {
        "above": np.s_[:, half:],
        "below": np.s_[:, :half],
        "to the left of": np.s_[:, :, half:],
        "to the right of": np.s_[:, :, :half],
    }
    mask[where[scene.relation]] = 1
    return mask


def share_right(verdicts: Sequence[dict[str, list[bool]]]) -> dict[str, float]:
    """Share of right ones among all verdicts of each kind (NaN where there is none)."""
    joined = {name: [right for each in verdicts for right in each[name]] for name in ASPECTS}
    return {name: sum(found) / len(found) if found else float("nan") for name, found in joined.items()}


def _batches(scenes: Sequence[Scene], make: Callable[[int, Sequence[Scene]], Tensor], label: str) -> np.ndarray:
    """``make(first index, scenes)`` over batches -> uint8 [N, 256, 256, 3]."""
    starts = tqdm(range(0, len(scenes), BATCH), label)
    return np.concatenate([to_uint8(make(start, scenes[start : start + BATCH])).numpy() for start in starts])


def _to_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
