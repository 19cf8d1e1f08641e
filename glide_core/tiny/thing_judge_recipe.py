"""How the judge of things is made: trained on true renderings of all combinations, also those held out elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from ..device import DTYPES, pick_device, pick_dtype
from . import thing_judge
from .thing_data import Things
from .thing_judge import HEADS, SIDE, UNKNOWN, ThingJudge
from .thing_scenes import ThingScene, sample_scene

STEPS, BATCH, LR = 4000, 96, 2e-3
TEST_SEED = 2**31
SMALLEST = 24  # side to which a picture is reduced and enlarged again, so that blurred ones are told, too


def make(folder: Path, *, scale: float = 1.0, device: str = "auto", data: Things | None = None) -> Path:
    """Train the judge and write things-judge.safetensors; it prints its accuracy on other true renderings.

    Args:
        scale: of the number of steps.
        data: what to render scenes with; default: the published drawings.
    """
    result = folder / "things-judge.safetensors"
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    data = data or Things(SIDE)
    judge = train(data, max(1, round(scale * STEPS)), pick_device(device))
    temporary = result.with_suffix(f".{os.getpid()}.tmp")
    save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, temporary)
    os.replace(temporary, result)
    print({name: f"{100 * share:.1f} %" for name, share in accuracy(judge, data).items()})
    return result


def train(data: Things, steps: int, device: torch.device, seed: int = 0) -> ThingJudge:
    torch.manual_seed(seed)
    judge = ThingJudge().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(judge.parameters(), LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps + 1)
    precision = pick_dtype("auto", device)
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(steps), "judge", mininterval=10):
        pictures, scenes = _batch(data, rng, BATCH)
        x = jittered(thing_judge.to_input(pictures), rng).to(device, memory_format=torch.channels_last)
        targets = torch.tensor([thing_judge.classes(scene) for scene in scenes], device=device)
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            logits = judge(x)
        loss = sum((_loss(logits[name], targets[:, k]) for k, name in enumerate(HEADS)), x.new_zeros(()))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return judge.eval().cpu()


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    if (targets == UNKNOWN).all():
        return logits.new_zeros(())
    return F.cross_entropy(logits.float(), targets, label_smoothing=0.05)


def _batch(data: Things, rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[ThingScene]]:
    scenes = [sample_scene(rng, allow_held_out=True) for _ in range(size)]
    return np.stack([data.painter(scene) for scene in scenes]), scenes


def jittered(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures in -1..1 with other brightness and contrast, some noise, and half of them blurred."""
    count = len(x)
    gain, shift, grain = (
        torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1))).float()
        for low, high in ((0.85, 1.15), (-0.12, 0.12), (0.0, 0.08))
    )
    side = int(rng.integers(SMALLEST, SIDE + 1))
    blurred = F.interpolate(F.interpolate(x, (side, side), mode="area"), x.shape[-2:], mode="bilinear")
    x = torch.where(torch.from_numpy(rng.random((count, 1, 1, 1)) < 0.5), blurred, x)
    noise = torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))
    return (x * gain + shift + grain * noise).clamp(-1, 1)


def accuracy(judge: ThingJudge, data: Things, count: int = 2000) -> dict[str, float]:
    """Share of right verdicts on true renderings that the judge was not trained on."""
    rng = np.random.default_rng(TEST_SEED)
    verdicts: dict[str, list[bool]] = {}
    for _ in range(0, count, BATCH):
        pictures, scenes = _batch(data, rng, BATCH)
        for sight, scene in zip(thing_judge.look(judge, pictures), scenes):
            for name, found in thing_judge.judge(sight, scene).items():
                verdicts.setdefault(name, []).extend(found)
    return {name: float(np.mean(found)) for name, found in verdicts.items() if found}
