"""The same rows on a Ray of two nodes, of which processes are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from test_kills import QUICK_OPTIONS, SECONDS, glide

from batches import DRY, hashes, paint, samples, table, write_prompts

ray = pytest.importorskip("ray", reason='--engine ray is not tested: pip install "glide-nodes[ray]"')
ROWS = int(os.environ.get("GLIDE_KILL_ROWS", "400"))


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [Path(__file__).parents[2], Path(__file__).parent])))
    node = {"num_cpus": 2, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_ray_makes_the_same_files_and_passes_errors_on(tmp_path, cluster):
    from glide_core.batch.ray_engine import RayEngine

    write_prompts(tmp_path / "p.txt", 10)
    paint(tmp_path / "p.txt", tmp_path / "whole")
    engine = RayEngine(cluster.address, 2)
    assert paint(tmp_path / "p.txt", tmp_path / "out", DRY, engine).rows == 10
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
    assert paint(tmp_path / "p.txt", tmp_path / "out", DRY, engine).rows == 10
    (tmp_path / "broken" / ".parts" / "00001.part").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory"):
        paint(tmp_path / "p.txt", tmp_path / "broken", DRY, engine)


def test_the_address_is_for_ray(tmp_path, capsys):
    from glide_core import cli

    write_prompts(tmp_path / "p.txt", 1)
    with pytest.raises(SystemExit):
        cli.main(["batch", str(tmp_path / "p.txt"), "-o", str(tmp_path / "out"), "--address", "auto"])
    assert "--address is for --engine ray" in capsys.readouterr().err


def actors(cluster) -> list[int]:
    """The processes of both nodes that paint."""
    raylets = [info.process.pid for node in cluster.list_all_nodes() for info in node.all_processes["raylet"]]
    found = []
    for raylet in raylets:
        for path in Path(f"/proc/{raylet}/task").glob("*/children"):
            found += [pid for pid in map(int, path.read_text().split()) if b"MapWorker" in _command(pid)]
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.nightly
def test_rows_survive_kills_of_actors_and_the_driver(tmp_path, cluster):
    """GLIDE_KILL_ROWS rows in 10 shards by 2 actors on 2 nodes, with a kill every GLIDE_KILL_SECONDS."""
    write_prompts(tmp_path / "p.txt", ROWS)
    arguments = [tmp_path / "p.txt", *QUICK_OPTIONS, "--shard-size", -(-ROWS // 10)]
    whole = glide(*arguments, "--workers", 2, "-o", tmp_path / "whole")
    assert whole.communicate()[1] is not None and whole.returncode == 0
    rng, kills = random.Random(0), {"actor": 0, "driver": 0}
    arguments += ["--engine", "ray", "--address", cluster.address, "--workers", 2, "-o", tmp_path / "out"]
    while True:
        log = (tmp_path / "log").open("w")
        driver = glide(*arguments, stderr=log)
        while driver.poll() is None:
            try:
                driver.wait(SECONDS)
            except subprocess.TimeoutExpired:
                painting = actors(cluster)
                if painting:  # each third kill is the driver's
                    kind = "driver" if sum(kills.values()) % 3 == 1 else "actor"
                    os.kill(driver.pid if kind == "driver" else rng.choice(painting), signal.SIGKILL)
                    kills[kind] += 1
        if driver.returncode == 0:
            break
        assert driver.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()[-3000:]
    print(f"{ROWS} rows, {kills}")
    rows = table(tmp_path / "out")
    assert [row["index"] for row in rows] == list(range(ROWS)) and not any(row["error"] for row in rows)
    assert len(samples(tmp_path / "out")) == ROWS
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
