"""Workers and drivers that are killed, and disks that are full: every row comes once, and no bit is another."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batches import QUICK, hashes, paint, samples, table, write_prompts
from glide_core.batch.local import LocalEngine
from glide_core.batch.run import Advanced, WorkerDied

QUICK_OPTIONS = ["--stage", "base", "--steps", "1", "--sampler", "ddim", "--guidance-scale", "1", "--dtype", "fp32"]
ROWS = os.environ.get("GLIDE_KILL_ROWS")  # of both tests, where they are not to have their own numbers
SECONDS = float(os.environ.get("GLIDE_KILL_SECONDS", "20"))


def glide(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "glide_core", "batch", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, **{"stderr": subprocess.PIPE, **options})


def family(pid: int) -> list[int]:
    """A process and its children."""
    try:
        children = [
            int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()
        ]
    except OSError:
        children = []
    return [pid, *children]


def test_a_killed_worker_is_replaced(tmp_path):
    write_prompts(tmp_path / "p.txt", 12)
    paint(tmp_path / "p.txt", tmp_path / "whole", QUICK, shard_size=6)
    died = []

    def engine(plan, tasks):
        local, killed = LocalEngine(2), False
        for event in local(plan, tasks):
            if isinstance(event, Advanced) and not killed:
                os.kill(local._running[0].process.pid, signal.SIGKILL)
                killed = True
            died.extend([event.status] if isinstance(event, WorkerDied) else [])
            yield event

    totals = paint(tmp_path / "p.txt", tmp_path / "out", QUICK, engine, shard_size=6)
    assert died == ["SIGKILL"] and (totals.rows, totals.errors) == (12, 0)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_workers_end_with_their_driver(tmp_path):
    write_prompts(tmp_path / "p.txt", 5000)
    driver = glide(tmp_path / "p.txt", "-o", tmp_path / "out", "--workers", 1, *QUICK_OPTIONS)
    while not list((tmp_path / "out").glob(".parts/*.part")):
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    processes = family(driver.pid)
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 30
    while any(_runs(pid) for pid in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("workers", [0, 1])
def test_a_driver_that_is_told_to_end_leaves_a_run_that_goes_on(tmp_path, workers):
    write_prompts(tmp_path / "p.txt", 300)
    arguments = [tmp_path / "p.txt", "-o", tmp_path / "out", "--workers", workers, *QUICK_OPTIONS]
    driver = glide(*arguments, "--shard-size", 300)
    while not any(path.stat().st_size > 20_000 for path in (tmp_path / "out").glob(".parts/*.part")):
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    driver.terminate()
    assert driver.wait(60) == 130
    journal = next((tmp_path / "out").glob(".parts/*.part"))
    assert b'"stop"' in journal.read_bytes()[-100:]


@pytest.fixture(params=["limit", "tmpfs"])
def full_disk(request, tmp_path):
    """A folder that holds 12,000 bytes, how to start a process that writes there, and how to make room."""
    folder = tmp_path / "full"
    folder.mkdir()
    if request.param == "limit":
        limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))}
        yield folder, limit, lambda: None
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True).returncode:
        pytest.skip("a small tmpfs can only be mounted by root")
    room = ["mount", "-o", "remount,size=8m", folder]
    yield folder, {}, lambda: subprocess.run(room, check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_run_and_loses_nothing(tmp_path, full_disk):
    folder, options, make_room = full_disk
    write_prompts(tmp_path / "p.txt", 60)
    arguments = [tmp_path / "p.txt", "--dry-run", "--workers", 1, "--shard-size", 20]
    paint(tmp_path / "p.txt", tmp_path / "whole", shard_size=20)
    driver = glide(*arguments, "-o", folder, **options)
    message = driver.communicate(timeout=120)[1].splitlines()[-1]
    assert driver.returncode == 2 and "glide batch: error: --output" in message and "what is done is kept" in message
    assert "No space left on device" in message or "File too large" in message
    for path in folder.glob("[0-9]*.json"):  # what counts as done is whole
        for name in json.loads(path.read_text())["sha256"]:
            assert hashes(folder)[name] == hashes(tmp_path / "whole")[name]
    make_room()
    assert glide(*arguments, "-o", folder).wait(120) == 0
    assert hashes(folder) == hashes(tmp_path / "whole")


def killed_until_done(arguments, rng, seconds) -> int:
    """Run a command again and again, killing it or one of its children every so many seconds -> number of kills."""
    kills = 0
    while True:
        driver = glide(*arguments, start_new_session=True)
        while True:
            try:
                driver.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                victim = rng.choice(family(driver.pid))
                os.kill(victim, signal.SIGKILL)
                kills += 1
        message = driver.stderr.read()
        if driver.returncode == 0:
            return kills
        assert driver.returncode == -signal.SIGKILL, message[-2000:]


@pytest.mark.nightly
@pytest.mark.parametrize("painting, rows", [(["--dry-run"], 10_000), (QUICK_OPTIONS, 1000)], ids=["dry", "painted"])
def test_rows_survive_kills_every_few_seconds(tmp_path, painting, rows):
    """So many rows, or GLIDE_KILL_ROWS, in 10 shards by 2 workers, with a kill every GLIDE_KILL_SECONDS."""
    count = int(ROWS or rows)
    write_prompts(tmp_path / "p.txt", count)
    arguments = [tmp_path / "p.txt", *painting, "--workers", 2, "--shard-size", -(-count // 10)]
    whole = glide(*arguments, "-o", tmp_path / "whole")
    assert whole.communicate()[1] is not None and whole.returncode == 0
    started = time.monotonic()
    kills = killed_until_done([*arguments, "-o", tmp_path / "out"], random.Random(0), SECONDS)
    print(f"{count} rows, {kills} kills, {time.monotonic() - started:.0f} s")
    done = table(tmp_path / "out")
    assert [row["index"] for row in done] == list(range(count)) and not any(row["error"] for row in done)
    assert len(samples(tmp_path / "out")) == count
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
