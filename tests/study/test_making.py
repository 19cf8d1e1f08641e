"""Cells become pictures: failures, batches, and stops between any two of their files."""

import dataclasses

import pytest
import torch

from glide_core.diffusion.options import Sampling
from glide_core.study import store as stores
from glide_core.study.cells import Cell, Machine
from glide_core.study.making import Models, machine_of, make, stages_of
from glide_core.study.store import PENDING, READY, Store

CELL = Cell("a red circle", upsampler=None, sampling=Sampling("1", "ddim", guidance_scale=1.0))
MACHINE = Machine("cpu", "fp32")


@pytest.fixture(scope="module")
def models():
    return Models(torch.device("cpu"), "fp32")


def seeds(count):
    return [dataclasses.replace(CELL, seed=seed) for seed in range(count)]


def test_a_cell_that_fails_does_not_stop_those_of_its_batch(tmp_path, models):
    cells = seeds(2) + [dataclasses.replace(CELL, prompt="a star AND a heart :1000")]
    store = Store(tmp_path, machine_of(cells, models.device, "fp32"))
    errors = make(cells, store, models, 8, lambda cost: None)
    assert list(errors) == cells[2:] and "the weight 1000" in errors[cells[2]]
    assert [store.has(cell) for cell in cells] == [True, True, False]


def test_what_needs_a_failed_small_picture_fails_for_the_same_reason(tmp_path, models):
    large = dataclasses.replace(CELL, prompt="a star AND a heart :1000", upsampler="tiny-upsample")
    errors = make([large], Store(tmp_path, MACHINE), models, 8, lambda cost: None)
    assert set(errors) == {large, large.small} and errors[large] == errors[large.small]


def test_progress_is_told_in_the_unit_of_cost(tmp_path, models):
    done = []
    make(seeds(3), Store(tmp_path, MACHINE), models, 2, done.append)
    assert done == [2.0, 1.0]


def test_the_small_pictures_come_first_and_once():
    large = [dataclasses.replace(CELL, upsampler="tiny-upsample").with_value("temperature", t) for t in (0.9, 1.0)]
    assert stages_of(large) == [CELL, *large]


def black(count):
    return torch.full((count, 3, 8, 8), -1.0)


def test_a_move_that_was_stopped_is_finished(tmp_path, monkeypatch):
    store = Store(tmp_path, MACHINE)
    monkeypatch.setattr(Store, "_move", lambda self: None)  # as a kill right after the pictures were written
    store.add(seeds(3), black(3), 1.0)
    assert (store.folder / READY).is_dir() and not any(map(store.has, seeds(3)))
    monkeypatch.undo()
    found = Store(tmp_path, MACHINE)
    assert all(map(found.has, seeds(3))) and not (store.folder / READY).exists()


def test_pictures_that_were_not_all_written_count_for_nothing(tmp_path, monkeypatch):
    store = Store(tmp_path, MACHINE)

    def stop(path, *rest):
        if "-2" not in path.name and len(list(path.parent.iterdir())) == 2:
            raise KeyboardInterrupt
        path.write_bytes(b"half")

    monkeypatch.setattr(stores, "save_image", stop)
    with pytest.raises(KeyboardInterrupt):
        store.add(seeds(3), black(3), 1.0)
    monkeypatch.undo()
    assert (store.folder / PENDING).is_dir()
    found = Store(tmp_path, MACHINE)
    assert not any(map(found.has, seeds(3))) and not (store.folder / PENDING).exists()
    found.add(seeds(3), black(3), 1.0)
    assert all(map(found.has, seeds(3)))


def test_seconds_survive_and_broken_lines_do_not(tmp_path):
    store = Store(tmp_path, MACHINE)
    store.add(seeds(2), black(2), 3.0)
    with (tmp_path / stores.SECONDS).open("a") as file:
        file.write("0123456789,1.")
        file.write("5x\nhalf")
    assert Store(tmp_path, MACHINE).seconds_of(CELL) == 1.5
    assert store.seconds_of(dataclasses.replace(CELL, seed=9)) is None
