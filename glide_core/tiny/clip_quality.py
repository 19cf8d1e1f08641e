"""What the noised CLIP is good for: how often the best of several tries is right, and how often guided pictures are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.clip_guidance import Clip, ClipGuide
from ..diffusion.noise import picture_seeds
from ..images import to_uint8
from ..pipeline import Sampling, Stage, generate, upsample
from ..scoring import ClipScorer, Scorer, best
from .judge import judge, look
from .scenes import Scene, prompt

BATCH = 20
ALL = "all"


def tries(base: Stage, scenes: Sequence[Scene], sampling: Sampling, count: int) -> Tensor:
    """Draw each scene's prompt several times: [scenes, count, 3, side, side] in -1..1; scene k's are of seed k."""
    jobs = [(prompt(scene), seed) for k, scene in enumerate(scenes) for seed in picture_seeds(k, count)]
    drawn = []
    for start in tqdm(range(0, len(jobs), BATCH), "tries"):
        texts, seeds = zip(*jobs[start : start + BATCH])
        drawn.append(generate(base, texts, sampling, seed=seeds).cpu())
    return torch.cat(drawn).unflatten(0, (len(scenes), count))


def best_of(scorer: Scorer, drawn: Tensor, scenes: Sequence[Scene], counts: Sequence[int]) -> dict[int, list[int]]:
    """Which try is the best of the first N, for each scene.

    Args:
        drawn: as ``tries`` gives them; counts: the numbers N.
    """
    scores = torch.stack([scorer.scores(some, [prompt(scene)] * len(some)) for some, scene in zip(drawn, scenes)])
    return {count: [best(row[:count], 1)[0] for row in scores] for count in counts}


def right(
    upsampler: Stage, pictures: Tensor, scenes: Sequence[Scene], seeds: Sequence[int], upsampling: Sampling
) -> list[bool]:
    """Whether each of the small pictures [N, 3, side, side], once enlarged, shows all that its prompt says."""
    verdicts = []
    for start in tqdm(range(0, len(scenes), BATCH), "enlarging"):
        some = slice(start, start + BATCH)
        part = list(scenes[some])
        texts = [prompt(scene) for scene in part]
        large = to_uint8(upsample(upsampler, texts, pictures[some], upsampling, seed=list(seeds[some]))).numpy()
        verdicts += [all(judge(look(picture), scene)[ALL]) for picture, scene in zip(large, part)]
    return verdicts


def best_of_rows(
    base: Stage,
    upsampler: Stage,
    clip: Clip,
    scenes: Sequence[Scene],
    counts: Sequence[int],
    sampling: Sampling,
    upsampling: Sampling,
    *,
    judge_all: bool = False,
) -> list[list[str]]:
    """A table: the share of the prompts of which everything is right, for the best of N tries.

    Args:
        judge_all: judge every try, and tell the share of a choice by chance, and of one that cannot err, too.
    """
    most = max(counts)
    drawn = tries(base, scenes, sampling, most)
    chosen = best_of(ClipScorer(clip), drawn, scenes, counts)
    kept = {(k, place) for places in chosen.values() for k, place in enumerate(places)}
    asked = sorted({(k, place) for k in range(len(scenes)) for place in range(most)} if judge_all else kept)
    pictures = torch.stack([drawn[k, place] for k, place in asked])
    seeds = [picture_seeds(k, most)[place] for k, place in asked]
    found = dict(zip(asked, right(upsampler, pictures, [scenes[k] for k, _ in asked], seeds, upsampling)))
    rows = [["best of", "all %", *(("by chance %", "without an error %") if judge_all else ())]]
    for count, places in chosen.items():
        shares = [np.mean([found[k, place] for k, place in enumerate(places)])]
        if judge_all:
            table = np.array([[found[k, place] for place in range(count)] for k in range(len(scenes))])
            shares += [table.mean(), table.any(axis=1).mean()]
        rows.append([str(count), *(f"{100 * share:.1f}" for share in shares)])
    return rows


def guidance_rows(
    base: Stage,
    upsampler: Stage,
    guides: Sequence[ClipGuide],
    scenes: Sequence[Scene],
    samplings: Sequence[Sampling],
    upsampling: Sampling,
) -> list[list[str]]:
    """A table: the same share for each CLIP guidance (rows) and each scale of classifier-free guidance (columns)."""
    rows = [["CLIP guidance", *(f"guidance {sampling.guidance_scale:g}, all %" for sampling in samplings)]]
    for guide in guides:
        cells = []
        for sampling in samplings:
            drawn = []
            for start in range(0, len(scenes), BATCH):
                texts = [prompt(scene) for scene in scenes[start : start + BATCH]]
                seeds = range(start, start + len(texts))
                drawn.append(generate(base, texts, sampling, seed=seeds, clip=guide if guide.scale else None))
            found = right(upsampler, torch.cat(drawn), scenes, range(len(scenes)), upsampling)
            cells.append(f"{100 * np.mean(found):.1f}")
        rows.append([f"{guide.scale:g}", *cells])
    return rows
