"""A study that is stopped at random moments ends with the same bytes as one in one go."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STOPS = int(os.environ.get("GLIDE_STUDY_STOPS", "20"))
ARGUMENTS = ["guidance", "a red circle on a blue background", "--values", "1", "3", "--seeds", "4", "--batch", "2"]
ARGUMENTS += ["--steps", "2", "--upsample-steps", "1"]


def start(folder, *changes):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "glide_core", "study", *ARGUMENTS, *changes, "-o", str(folder)]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore
    )


def content(folder):
    """What does not vary from run to run: the pictures and what hides among them, and the table without the time."""
    with (folder / "cells.csv").open(encoding="utf-8", newline="") as file:
        table = [[value for name, value in row.items() if name != "seconds"] for row in csv.DictReader(file)]
    return {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}, table


@pytest.mark.slow
def test_stopped_at_random_moments(tmp_path):
    begun = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    longest = time.monotonic() - begun
    whole, rng = content(tmp_path / "whole"), random.Random(7)
    stops, finished, folder = 0, 0, tmp_path / "stopped-0"
    while stops < STOPS:
        process = start(folder)
        try:
            process.wait(rng.uniform(0, longest))
            assert process.returncode == 0, process.stderr.read()
            assert content(folder) == whole
            finished += 1
            folder = tmp_path / f"stopped-{finished}"
        except subprocess.TimeoutExpired:
            process.send_signal(rng.choice((signal.SIGKILL, signal.SIGINT)))
            process.wait()
            stops += 1
    process = start(folder)
    assert process.wait() == 0, process.stderr.read()
    assert content(folder) == whole
    assert len(whole[0]) == 16


def test_an_interrupted_study_says_so_and_leaves_nothing_half(tmp_path):
    process = start(tmp_path, "--seeds", "50")
    while not any((tmp_path / "cells").glob("*.png")):
        time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130 and process.stderr.read().rstrip().endswith("interrupted")
    assert not (tmp_path / "cells" / ".ready").exists()
    assert not (tmp_path / "index.html").exists()
