"""How grainy pictures are, for every sampler in every precision: coloured snow shows as an outlier among the seeds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from ..device import DTYPES
from ..diffusion.samplers import SAMPLERS
from ..pipeline import Sampling, Stage, generate

PROMPT = "a red circle on a blue background"
STEPS = {"ddpm": 50, "ddim": 20, "plms": 25, "dpmpp_2m": 20, "euler": 20}
BATCH = 16
HEAD = [
    "sampler",
    "steps",
    "dtype",
    "median grain",
    "largest",
    "largest / median",
    "its seed",
    "mean difference to fp32",
]


def grain(pictures: Tensor) -> Tensor:
    """The mean difference of horizontal neighbours: [B] in 0..255.

    Args:
        pictures: [B, 3, H, W] in -1..1.
    """
    return 127.5 * (pictures[..., 1:] - pictures[..., :-1]).abs().flatten(1).mean(dim=1)


def grain_rows(source: str, device: torch.device, seeds: Sequence[int], dtypes: Sequence[str]) -> list[list[str]]:
    """Paint ``PROMPT`` from each seed with each sampler in each precision: one row of ``HEAD`` for both.

    Args:
        source: a base model, see ``Stage.load``.
        dtypes: names in ``DTYPES``. The difference is measured where the first of them is fp32.
    """
    stages = {dtype: Stage.load(source, device=device, dtype=DTYPES[dtype]) for dtype in dtypes}
    rows = []
    for sampler in SAMPLERS:
        painted = {dtype: _paint(stage, sampler, seeds, f"{sampler} {dtype}") for dtype, stage in stages.items()}
        rows += [_row(sampler, dtype, seeds, pictures, painted.get("fp32")) for dtype, pictures in painted.items()]
    return rows


def _paint(stage: Stage, sampler: str, seeds: Sequence[int], label: str) -> Tensor:
    """Pictures [seeds, 3, H, W] in -1..1."""
    options = Sampling(STEPS[sampler], sampler)
    parts = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    painted = [generate(stage, [PROMPT] * len(part), options, seed=part).cpu() for part in tqdm(parts, label)]
    return torch.cat(painted)


def _row(sampler: str, dtype: str, seeds: Sequence[int], pictures: Tensor, exact: Tensor | None) -> list[str]:
    grains = grain(pictures)
    median, worst = float(grains.median()), int(grains.argmax())
    difference = "-"
    if exact is not None and dtype != "fp32":
        each = 127.5 * (pictures - exact).abs().flatten(1).mean(dim=1)
        difference = f"{float(each.median()):.2f} (at most {float(each.max()):.2f})"
    largest = float(grains[worst])
    return [
        sampler,
        str(STEPS[sampler]),
        dtype,
        f"{median:.2f}",
        f"{largest:.2f}",
        f"{largest / median:.2f}",
        str(seeds[worst]),
        difference,
    ]
