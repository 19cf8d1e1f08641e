"""A run that ended early goes on, and only its own folder lets it."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from batches import DRY, QUICK, hashes, paint, samples, table, write_prompts
from glide_core.batch import journal as journals
from glide_core.batch import run_record
from glide_core.batch.journal import Journal, Outcome
from glide_core.batch.local import inline
from glide_core.batch.storage import Storage
from glide_core.batch.worker import Worker
from glide_core.errors import GlideError, OptionError

COUNT = 10


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "p.txt", COUNT)


def only(count):
    """An engine that does so many shards."""

    def engine(plan, tasks):
        for _, task in zip(range(count), tasks):
            yield from inline(plan, [task])

    return engine


def test_only_shards_without_json_are_done_again(tmp_path, prompts):
    paint(prompts, tmp_path / "whole")
    paint(prompts, tmp_path / "out", engine=only(2))
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("0000*")}
    (tmp_path / "out" / "00001.json").unlink()
    assert paint(prompts, tmp_path / "out").rows == COUNT
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("0000*")}
    assert before["00000.tar"] == after["00000.tar"] and before["00001.tar"] != after["00001.tar"]
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_finished_run_paints_nothing(tmp_path, prompts):
    paint(prompts, tmp_path / "out")

    def engine(plan, tasks):
        assert not list(tasks)
        yield from ()

    assert paint(prompts, tmp_path / "out", engine=engine).rows == COUNT


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"painting": replace(DRY, seed=1)}, "its seed is 0, here it is 1"),
        ({"painting": replace(DRY, sampling=QUICK.sampling)}, "its sampling steps is"),
        ({"shard_size": 5}, "its shard-size is 4, here it is 5"),
        ({"format": "jpg"}, "its format is png, here it is jpg"),
        ({"columns": {"prompt": "prompt"}}, "its columns is"),
        ({"painting": QUICK}, "holds another run"),
    ],
)
def test_another_run_is_refused(tmp_path, prompts, changes, says):
    paint(prompts, tmp_path / "out")
    before = hashes(tmp_path / "out")
    with pytest.raises(OptionError, match=says):
        paint(prompts, tmp_path / "out", **changes)
    assert hashes(tmp_path / "out") == before


def test_another_input_is_refused(tmp_path, prompts):
    paint(prompts, tmp_path / "out")
    prompts.write_text(prompts.read_text() + "one more\n")
    with pytest.raises(OptionError, match="another run .of another input."):
        paint(prompts, tmp_path / "out")


def test_a_damaged_run_json_is_told(tmp_path, prompts):
    paint(prompts, tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(OptionError, match="run.json is damaged"):
        paint(prompts, tmp_path / "out")


def test_two_drivers_on_one_folder_are_refused(tmp_path, prompts):
    storage = Storage(str(tmp_path / "out"))
    storage.make()
    with run_record.locked(storage, 0, 1):
        for part in ({}, {"shard_index": 1, "shard_count": 2}):
            with pytest.raises(OptionError, match="another glide batch is at work in this folder"):
                paint(prompts, tmp_path / "out", **part)
    with run_record.locked(storage, 0, 2):
        assert paint(prompts, tmp_path / "out", shard_index=1, shard_count=2).rows == 4
        with pytest.raises(OptionError, match="another glide batch is at work in this folder"):
            paint(prompts, tmp_path / "out")
    assert paint(prompts, tmp_path / "out").rows == COUNT


def test_jobs_of_an_array_make_the_whole(tmp_path, prompts):
    paint(prompts, tmp_path / "whole")
    rows = [paint(prompts, tmp_path / "out", shard_index=index, shard_count=2).rows for index in range(2)]
    assert rows == [6, 4] and hashes(tmp_path / "out") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("files", [False, True])
def test_failed_rows_can_be_painted_again(tmp_path, files):
    from PIL import Image

    rows = [{"id": f"r{k}", "prompt": "a", "image": f"{k}.png"} for k in range(4)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for k in range(4):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / f"{k}.png")
    painting = replace(QUICK, models=replace(QUICK.models, upsampler="tiny-upsample"), upsampling=QUICK.sampling)
    paint(tmp_path / "in.jsonl", tmp_path / "whole", painting, files=files)
    os.rename(tmp_path / "2.png", tmp_path / "away.png")
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", painting, files=files).errors == 1
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", painting, files=files).errors == 1
    os.rename(tmp_path / "away.png", tmp_path / "2.png")
    totals = paint(tmp_path / "in.jsonl", tmp_path / "out", painting, files=files, retry_errors=True)
    assert (totals.rows, totals.errors) == (4, 0)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_too_many_errors_stop_a_run_that_can_go_on(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"prompt": 1}\n' * 9 + '{"prompt": "a"}\n')
    with pytest.raises(GlideError, match="6 rows failed, which is more than --max-errors 5"):
        paint(tmp_path / "in.jsonl", tmp_path / "out", max_errors=5)
    assert paint(tmp_path / "in.jsonl", tmp_path / "out", max_errors=9).errors == 9


class TooLarge:
    """A painter whose memory holds so many pictures."""

    def __init__(self, most, error):
        self.most, self.error, self.sizes = most, error, []

    def __call__(self, rows):
        from glide_core.batch.painter import DryPainter

        self.sizes.append(len(rows))
        if len(rows) > self.most:
            raise self.error
        return DryPainter(DRY)(rows)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), MemoryError()])
@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_batch_that_is_too_large_is_halved(tmp_path, prompts, error, most):
    painter = TooLarge(most, error)

    def engine(plan, tasks):
        worker = Worker(plan.request, "cpu", plan.spool, plan.extra)
        worker.painter = painter
        for task in tasks:
            worker(task, lambda rows, errors, reason: None)
        yield from ()

    paint(prompts, tmp_path / "out", replace(DRY, batch=8), engine, shard_size=COUNT)
    failed = [row["error"] for row in table(tmp_path / "out") if row["error"]]
    assert len(failed) == (COUNT if most == 0 else 0)
    assert painter.sizes == {0: painter.sizes, 1: [8, 4, 2, *[1] * 10], 3: [8, 4, *[2] * 5]}[most]


class KilledByRow3(Worker):
    """A worker whose process ends in the middle of a batch: nothing of it reaches the journal."""

    def _outcomes(self, rows, journal):
        if any(row.index == 3 for row in rows):
            journal.begin()
            raise KeyError(self.batch)
        yield from super()._outcomes(rows, journal)


def test_workers_that_die_of_a_row_leave_it_out_in_the_end(tmp_path, prompts):
    deaths = []

    def engine(plan, tasks):
        (task,) = tasks
        while True:
            worker = KilledByRow3(plan.request, "cpu", plan.spool, plan.extra)
            try:
                worker(task, lambda rows, errors, reason: None)
                break
            except KeyError as error:
                deaths.append(error.args[0])
        yield from ()

    paint(prompts, tmp_path / "out", replace(DRY, batch=4), engine, shard_size=COUNT)
    assert deaths == [4, 2, 2, 1, 2, 1, 1, 1]
    failed = [row for row in table(tmp_path / "out") if row["error"]]
    assert [row["index"] for row in failed] == [3] and "5 workers died while they painted this row" in failed[0][
        "error"
    ]
    assert len(samples(tmp_path / "out")) == COUNT - 1


@pytest.mark.parametrize("cut", [1, 5, 20, 400])
def test_a_journal_goes_on_behind_the_last_whole_entry(tmp_path, cut):
    path = tmp_path / "0.part"
    with Journal(path) as journal:
        for row in range(3):
            journal.begin()
            journal.add(row, Outcome(bytes([row]) * 300, 8, 9))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - cut)
    with Journal(path) as journal:
        there = [row for row in range(3) if row in journal]
        assert there == ([0, 1] if cut < 400 else [0])
        assert journal.outcome(0) == Outcome(bytes(300), 8, 9)
        journal.add(7, Outcome(error="no"))
    with Journal(path) as journal:
        assert journal.outcome(7).error == "no" and 0 in journal


def test_a_journal_keeps_scores(tmp_path):
    outcome = Outcome(b"picture", 8, 9, score=0.1 + 0.2, try_seed=2**64 - 1)
    with Journal(tmp_path / "0.part") as journal:
        journal.add(0, outcome)
        assert journal.outcome(0) == outcome
    with Journal(tmp_path / "0.part") as journal:
        assert journal.outcome(0) == outcome


def test_any_damage_of_a_journal_costs_rows_but_gives_no_wrong_ones(tmp_path):
    import random

    path, rng = tmp_path / "0.part", random.Random(0)
    with Journal(path) as journal:
        for row in range(20):
            journal.add(row, Outcome(bytes([row]) * 50, 8, 8))
    content = path.read_bytes()
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with Journal(path) as journal:
            for row in range(20):
                assert row not in journal or journal.outcome(row).picture == bytes([row]) * 50


def test_a_second_process_waits_for_a_journal(tmp_path, monkeypatch):
    import filelock

    monkeypatch.setattr(journals, "LOCK_SECONDS", 0.2)
    with Journal(tmp_path / "0.part"), pytest.raises(filelock.Timeout):
        Journal(tmp_path / "0.part")
