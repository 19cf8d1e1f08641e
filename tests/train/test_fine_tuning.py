"""`glide train` on a folder of pictures teaches the embedded model something new."""

import csv
import time

import numpy as np
import pytest

from drawings import CAPTION, house, write_houses
from glide_core import cli
from glide_core.images import to_uint8
from glide_core.pipeline import Sampling, Stage, generate

COUNT = 32
STEPS = 200


def distance(checkpoint):
    """Root mean square of the pixels' difference (0..255) from each of 8 samples to the nearest picture, averaged."""
    pictures = np.stack([np.asarray(house(k), dtype=np.float64) for k in range(COUNT)])
    sampling = Sampling(steps="20", sampler="dpmpp_2m")
    samples = to_uint8(generate(Stage.load(checkpoint), [CAPTION] * 8, sampling, seed=100)).numpy().astype(np.float64)
    squares = np.square(samples[:, None] - pictures[None]).mean(axis=(2, 3, 4))
    return np.sqrt(squares.min(axis=1)).mean()


@pytest.mark.slow
def test_32_pictures_are_learned_in_200_steps(tmp_path):
    folder, out = write_houses(tmp_path / "houses", COUNT), tmp_path / "out"
    before = distance("tiny-base")
    start = time.process_time()
    options = f"--steps {STEPS} --batch 16 --lr 5e-4 --warmup 10 --ema 0.98 --device cpu --sample-every 100"
    cli.main(["train", str(folder), "--init", "tiny", "--out", str(out), *options.split()])
    seconds = time.process_time() - start
    with (out / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    after = distance(out / "base.safetensors")
    first, last = np.mean(losses[:10]), np.mean(losses[-50:])
    print(f"{seconds:.0f} s of all cores, loss {first:.4f} -> {last:.4f}, distance {before:.0f} -> {after:.0f}")
    assert len(losses) == STEPS
    assert last < 0.5 * first
    assert after < 0.6 * before
