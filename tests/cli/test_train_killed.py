"""``glide train`` survives kill -9 at any moment: nothing is corrupt, and the result is that of an unbroken run."""

from __future__ import annotations

import csv
import multiprocessing
import random
import sys
import time
from itertools import count

import pytest
import torch
from safetensors.torch import load_file

import glide_core
from drawings import write_houses
from glide_core import cli
from glide_core.files import checkpoints
from glide_core.models.tokenizer import Tokenizer
from glide_core.train import state
from small_models import BASE, write_base

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")

STEPS = 12
SAVING_EACH_STEP = ["--save-every", "0.00001"]
COMMON = ["--batch", "2", "--precision", "fp32", "--device", "cpu", "--steps", str(STEPS), *SAVING_EACH_STEP]
PRELOADED = ["torch._dynamo"]  # which the first step of an optimiser loads
PRELOADED += [f"glide_core.{name}" for name in ("cli.train", "train.session", "train.loop", "tiny.layout_lesson")]
KINDS = {"weights": [], "lora": ["--lora", "2"]}


@pytest.fixture(scope="module")
def start():
    """Starts a training in a process of its own; one that is ready is forked, because torch takes seconds to load."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    processes = []

    def start_process(command):
        process = context.Process(target=run, args=(command, glide_core.__file__))
        process.start()
        processes.append(process)
        return process

    start_process(["--version"]).join()  # so that the server is ready when times are taken
    yield start_process
    for process in processes:
        process.kill()
        process.join()


def run(command, package):
    assert glide_core.__file__ == package
    torch.set_num_threads(1)
    cli.main(command)


def command(data, init, out, kind):
    resume = ["--resume"] if (out / "state.pt").exists() else []
    return ["train", str(data), "--init", str(init), "--out", str(out), *COMMON, *KINDS[kind], *resume]


def require_whole(out):
    """Every file that has its final name can be read to its end."""
    for path in out.glob("*.safetensors"):
        assert load_file(path) if path.stem == "lora" else checkpoints.load_model(path)
        Tokenizer.from_file(out / "base.tokenizer.json", BASE.text_ctx)
    done = state.read(out / "state.pt")["step"] if (out / "state.pt").exists() else 0
    if (out / "log.csv").exists():
        assert [int(row["step"]) for row in rows(out)][:done] == list(range(done))
    return done


def rows(out):
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("moments", [4, pytest.param(50, marks=pytest.mark.nightly)])
def test_killed_at_any_moment(start, tmp_path, moments):
    data, init = write_houses(tmp_path / "houses", 4, side=24), write_base(tmp_path / "small.safetensors")
    whole, seconds, first_save = {}, {}, {}
    for kind in KINDS:
        whole[kind], began = tmp_path / kind, time.monotonic()
        process = start(command(data, init, whole[kind], kind))
        wait_for_save(process, whole[kind])
        first_save[kind] = time.monotonic() - began
        process.join()
        seconds[kind] = time.monotonic() - began
        assert process.exitcode == 0
    rng, kills, reached = random.Random(0), 0, []
    for number in count():
        kind = list(KINDS)[number % len(KINDS)]
        out, ended = tmp_path / f"broken-{number}", False
        while kills < moments and not ended:
            process = start(command(data, init, out, kind))
            if kills % 3 == 0:  # at any moment, which is mostly before the first step
                process.join(rng.uniform(0, seconds[kind]))
            else:  # at any moment of the steps and saves
                wait_for_save(process, out)
                process.join(rng.uniform(0, (seconds[kind] - first_save[kind]) / 2))
            if process.exitcode is not None:
                assert process.exitcode == 0
                ended = True
                continue
            process.kill()
            process.join()
            kills += 1
            reached.append(require_whole(out))
        if not ended:  # also where the last step's state was saved, but not yet its model
            process = start(command(data, init, out, kind))
            process.join()
            assert process.exitcode == 0
        require_same(out, whole[kind])
        if kills == moments:
            break
    print(f"{kills} kills in {number + 1} trainings, after steps {sorted(reached)}")


def wait_for_save(process, out):
    """Wait until a training has saved its state, or is over."""
    before = saved_at(out)
    while process.is_alive() and saved_at(out) == before:
        time.sleep(0.001)


def saved_at(out):
    return (out / "state.pt").stat().st_mtime_ns if (out / "state.pt").exists() else 0


def require_same(out, whole):
    losses = [[float(row["loss"]) for row in rows(folder)] for folder in (out, whole)]
    assert len(losses[0]) == STEPS and losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in whole.glob("*.safetensors"):
        expected = load_file(path)
        for name, tensor in load_file(out / path.name).items():
            torch.testing.assert_close(tensor, expected[name], atol=1e-3, rtol=1e-3)
