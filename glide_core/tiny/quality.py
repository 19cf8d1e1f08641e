"""How well the tiny models obey, on held-out prompts of the drawn scenes.

Every figure is a share of the judge's verdicts, or decibels to the true rendering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..contact_sheet import write_sheet
from ..device import DTYPES, exact_fp32, pick_device, pick_dtype
from ..diffusion.clip_guidance import ClipGuide
from ..errors import OptionError
from ..images import from_uint8, to_uint8
from ..models.config import UPSCALE
from ..pipeline import Sampling, Stage, generate, inpaint, upsample
from ..scoring import load_clip
from . import clip_quality, thing_judge, thing_quality
from .grain import HEAD as GRAIN_HEAD
from .grain import grain_rows
from .judge import judge, look
from .quality_request import GRAIN, THINGS, QualityRequest
from .scenes import SIDE, Scene, held_out_scenes, prompt, render

BATCH = 20
ASPECTS = ("background", "colour", "shape", "size", "relation", "style", "all")
# The rows and columns in which the second of two objects lies, by the first one's relation to it.
FIRST_HALF, SECOND_HALF, WHOLE = slice(SIDE // 2), slice(SIDE // 2, SIDE), slice(SIDE)
ERASED = {
    "above": (SECOND_HALF, WHOLE),
    "below": (FIRST_HALF, WHOLE),
    "to the left of": (WHOLE, SECOND_HALF),
    "to the right of": (WHOLE, FIRST_HALF),
}


class Bench:
    """A request on the device that it runs on."""

    def __init__(self, request: QualityRequest) -> None:
        self.request = request
        self.device = pick_device(request.device)
        self.dtype = DTYPES[pick_dtype(request.dtype, self.device)]
        exact_fp32()

    def load(self, source: str) -> Stage:
        """Load a model by its name or file. Raises CheckpointError where that is not possible."""
        return Stage.load(source, device=self.device, dtype=self.dtype)

    def sampling(self, guidance_scale: float) -> Sampling:
        """How the base models sample."""
        return Sampling(self.request.steps, self.request.sampler, guidance_scale)


def measure(request: QualityRequest) -> Iterator[str]:
    """Measure, and yield each table in Markdown as soon as it is known.

    Raises:
        CheckpointError: a model is missing or broken.
        GlideError: a model is of another kind, or the device does not exist.
    """
    bench, scenes = Bench(request), held_out_scenes(request.count)
    if "prompts" in request.measures:
        yield prompts_table(bench, scenes)
    if request.best_of or (request.clip_scales and tuple(request.measures) != ("inpainting",)):
        yield from clip_tables(bench, scenes)
    if "upsampling" in request.measures:
        yield upsampling_table(bench, scenes)
    if "inpainting" in request.measures:
        yield inpainting_table(bench)
    if GRAIN in request.measures:
        rows = grain_rows(request.base, bench.device, range(request.seeds), request.grain_dtypes)
        yield _table(GRAIN_HEAD, rows)
    if THINGS in request.measures:
        yield from things_tables(bench)


def clip_tables(bench: Bench, scenes: Sequence[Scene]) -> Iterator[str]:
    """Measure the best of several tries, and CLIP guidance; see ``clip_quality``."""
    request = bench.request
    base, upsampler = bench.load(request.base), bench.load(request.upsampler)
    clip = load_clip(request.clip, device=bench.device, dtype=bench.dtype)
    if request.best_of:
        sampling = bench.sampling(request.guidance_scales[0])
        rows = clip_quality.best_of_rows(
            base,
            upsampler,
            clip,
            scenes,
            request.best_of,
            sampling,
            request.upsampling,
            judge_all=request.judge_all,
        )
        yield _table(*_headed(rows))
    if request.clip_scales:
        samplings = [bench.sampling(scale) for scale in request.guidance_scales]
        guides = [ClipGuide(clip, scale=scale, guide_until=request.clip_until) for scale in request.clip_scales]
        rows = clip_quality.guidance_rows(base, upsampler, guides, scenes, samplings, request.upsampling)
        yield _table(*_headed(rows))


def things_tables(bench: Bench) -> Iterator[str]:
    """Measure a base model of things, an inpainting one; see ``thing_quality``."""
    request = bench.request
    if request.judge is None:
        raise OptionError("--judge: name the file of a judge of things, which measuring things needs")
    judge, stage = thing_judge.load(request.judge), bench.load(request.base)
    plain, sampling = thing_quality.plain(stage), bench.sampling(request.guidance_scales[0])
    rows, pictures, texts = thing_quality.prompts_rows(plain, judge, sampling, request.count)
    if request.sheet:
        write_sheet(request.sheet, [Image.fromarray(picture) for picture in pictures], texts, columns=8)
    yield _table(*_headed(rows))
    yield _table(*_headed(thing_quality.grain_rows(plain, sampling, min(request.count, 40))))
    if stage.model.config.inpaint:
        yield _table(*_headed(thing_quality.inpainting_rows(stage, judge, sampling, request.count // 4)))
    yield _table(*_headed(thing_quality.bias_rows(plain, judge, sampling, request.count // 4)))


def prompts_table(bench: Bench, scenes: Sequence[Scene]) -> str:
    """Measure the base model and the upsampler together: a row for each guidance scale."""
    request = bench.request
    base, upsampler = bench.load(request.base), bench.load(request.upsampler)
    rows = []
    for k, guidance_scale in enumerate(request.guidance_scales):
        pictures = draw(base, upsampler, scenes, bench.sampling(guidance_scale), request.upsampling)
        if k == 0 and request.sheet:
            images = [Image.fromarray(picture) for picture in pictures]
            write_sheet(request.sheet, images, [prompt(scene) for scene in scenes], columns=8)
        shares = share_right([judge(look(picture), scene) for picture, scene in zip(pictures, scenes)])
        rows.append([f"{guidance_scale:g}", *(f"{100 * shares[name]:.1f}" for name in ASPECTS)])
    return _table(["guidance", *(f"{name} %" for name in ASPECTS)], rows)


def draw(
    base: Stage, upsampler: Stage, scenes: Sequence[Scene], sampling: Sampling, upsampling: Sampling
) -> np.ndarray:
    """Draw a picture of each scene's prompt: uint8 [N, 256, 256, 3]. Picture k is made with seed k."""

    def cascade(start: int, part: Sequence[Scene]) -> Tensor:
        texts = [prompt(scene) for scene in part]
        small = generate(base, texts, sampling, seed=_seeds(start, part))
        return upsample(upsampler, texts, small, upsampling, seed=_seeds(start, part))

    return _batches(scenes, cascade, f"guidance {sampling.guidance_scale:g}")


def upsampling_table(bench: Bench, scenes: Sequence[Scene]) -> str:
    """Measure the upsampler alone, from true small pictures: decibels to the true large ones, and styles."""
    stage = bench.load(bench.request.upsampler)
    truth = np.stack([render(scene) for scene in scenes])
    low_res = F.avg_pool2d(from_uint8(truth), UPSCALE)

    def enlarge(start: int, part: Sequence[Scene]) -> Tensor:
        texts = [prompt(scene) for scene in part]
        small = low_res[start : start + len(part)]
        return upsample(stage, texts, small, bench.request.upsampling, seed=_seeds(start, part))

    pictures = _batches(scenes, enlarge, "upsampling")
    smooth = [bicubic(picture) for picture in to_uint8(low_res).numpy()]
    ours = np.mean([psnr(picture, true) for picture, true in zip(pictures, truth)])
    theirs = np.mean([psnr(picture, true) for picture, true in zip(smooth, truth)])
    shares = share_right([judge(look(picture), scene) for picture, scene in zip(pictures, scenes)])
    row = [*(f"{decibels:.1f}" for decibels in (ours, theirs, ours - theirs)), f"{100 * shares['style']:.1f}"]
    return _table(["upsampler dB", "bicubic dB", "difference dB", "style %"], [row])


def bicubic(picture: np.ndarray) -> np.ndarray:
    """Enlarge a picture without a model: uint8 [64, 64, 3] -> [256, 256, 3]."""
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """The peak signal to noise ratio of two uint8 pictures, in decibels; 138 where they are equal."""
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(float) - b).mean())))


def inpainting_table(bench: Bench) -> str:
    """Measure both inpainting models together: of two objects side by side one half is erased, with its object."""
    request = bench.request
    base, upsampler = bench.load(request.base_inpaint), bench.load(request.upsampler_inpaint)
    scenes = [scene for scene in held_out_scenes(8 * request.count) if scene.relation in ERASED][: request.count]
    truth = from_uint8(np.stack([render(scene) for scene in scenes]))
    masks = torch.stack([erased_half(scene) for scene in scenes])
    sampling = bench.sampling(request.guidance_scales[0])
    clip = load_clip(request.clip, device=bench.device, dtype=bench.dtype) if any(request.clip_scales) else None

    def row(scale: float) -> list[str]:
        guide = ClipGuide(clip, scale=scale, guide_until=request.clip_until) if clip and scale else None

        def repaint(start: int, part: Sequence[Scene]) -> Tensor:
            texts, seeds = [prompt(scene) for scene in part], _seeds(start, part)
            image, mask = truth[start : start + len(part)], masks[start : start + len(part)]
            small = inpaint(base, texts, F.avg_pool2d(image, UPSCALE), mask, sampling, seed=seeds, clip=guide)
            return upsample(upsampler, texts, small, request.upsampling, image=image, mask=mask, seed=seeds)

        pictures = _batches(scenes, repaint, f"inpainting, CLIP guidance {scale:g}")
        verdicts = [judge(look(picture), scene) for picture, scene in zip(pictures, scenes)]
        erased = [
            (v["colour"][1], v["shape"][1], v["colour"][1] and v["shape"][1] and v["relation"][0]) for v in verdicts
        ]
        return [f"{100 * share:.1f}" for share in np.mean(erased, axis=0)]

    head = ["erased object's colour %", "its shape %", "both, in its place %"]
    if not request.clip_scales:
        return _table(head, [row(0)])
    return _table(["CLIP guidance", *head], [[f"{scale:g}", *row(scale)] for scale in request.clip_scales])


def erased_half(scene: Scene) -> Tensor:
    """The half of the second object as a mask [1, 256, 256], 1 = erased. The objects must be side by side."""
    assert scene.relation is not None
    mask = torch.zeros(1, SIDE, SIDE)
    rows, columns = ERASED[scene.relation]
    mask[:, rows, columns] = 1
    return mask


def share_right(verdicts: Sequence[dict[str, list[bool]]]) -> dict[str, float]:
    """The share of right verdicts among all of each kind, 0..1, or NaN where there is none."""
    joined = {name: [right for each in verdicts for right in each[name]] for name in ASPECTS}
    return {name: sum(found) / len(found) if found else float("nan") for name, found in joined.items()}


def _batches(scenes: Sequence[Scene], make: Callable[[int, Sequence[Scene]], Tensor], label: str) -> np.ndarray:
    """Call ``make(index of the first scene, scenes)`` for each batch: uint8 [N, 256, 256, 3]."""
    starts = tqdm(range(0, len(scenes), BATCH), label)
    return np.concatenate([to_uint8(make(start, scenes[start : start + BATCH])).numpy() for start in starts])


def _seeds(start: int, part: Sequence[Scene]) -> range:
    """Scene k of the whole list has seed k, however many are drawn at a time."""
    return range(start, start + len(part))


def _headed(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    return rows[0], rows[1:]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
