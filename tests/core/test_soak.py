"""Many calls in one process: memory stays flat, and every picture is the one that a fresh process paints."""

from __future__ import annotations

import gc
import multiprocessing
import random
from pathlib import Path

import pytest
import torch

from glide_core.images import to_uint8
from glide_core.pipeline import Sampling, Stage, generate, inpaint, upsample

CALLS = 200
WARM_UP = 40  # calls after which torch's caches have their size
MEGABYTES = 60  # that memory may grow by after them
MODELS = {"generate": "base", "upsample": "upsample", "inpaint": "base-inpaint"}
QUICK = Sampling(steps=2, sampler="ddim", guidance_scale=2.0)


def resident() -> float:
    """Megabytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def computes(dtype):
    """Whether this CPU convolves in a dtype."""
    try:
        torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3, dtype=dtype), torch.ones(1, 1, 3, 3, dtype=dtype))
    except RuntimeError:
        return False
    return True


def in_a_fresh_process(call):
    """The pictures of a call, as an array, with a model that paints nothing else."""
    kind, dtype, _ = call
    return pictures({(MODELS[kind], dtype): Stage.load(f"tiny-{MODELS[kind]}", dtype=dtype)}, *call).numpy()


def pictures(stages, kind, dtype, seed):
    """One call of a kind: its pictures, uint8."""
    prompt, rng = ["a red circle on a blue background"], torch.Generator().manual_seed(seed)
    low_res = torch.rand(1, 3, 16, 16, generator=rng) * 2 - 1
    image, mask = torch.rand(1, 3, 64, 64, generator=rng) * 2 - 1, torch.ones(1, 1, 64, 64)
    mask[..., :32] = 0
    if kind == "generate":
        return to_uint8(generate(stages["base", dtype], prompt, QUICK, seed=seed))
    if kind == "upsample":
        return to_uint8(upsample(stages["upsample", dtype], prompt, low_res, QUICK, seed=seed))
    return to_uint8(inpaint(stages["base-inpaint", dtype], prompt, image, mask, QUICK, seed=seed))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_memory_is_flat_and_pictures_do_not_depend_on_what_was_painted_before():
    dtypes = [dtype for dtype in (torch.float32, torch.bfloat16, torch.float16) if computes(dtype)]
    stages = {(model, dtype): Stage.load(f"tiny-{model}", dtype=dtype) for model in MODELS.values() for dtype in dtypes}
    calls = [(kind, dtype, seed) for kind in MODELS for dtype in dtypes for seed in range(2)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        fresh = dict(zip(calls, pool.map(in_a_fresh_process, calls, chunksize=1)))
    order, before = random.Random(0), 0.0
    for number in range(CALLS):
        call = order.choice(calls)
        assert (pictures(stages, *call).numpy() == fresh[call]).all(), call
        if number == WARM_UP:
            gc.collect()
            before = resident()
    gc.collect()
    assert resident() - before < MEGABYTES
