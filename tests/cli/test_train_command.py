"""``glide train`` on a very small model, as users run it."""

import argparse
import csv
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from drawings import write_houses
from glide_core import cli
from glide_core.cli.train import _request, add_arguments
from glide_core.contact_sheet import MARGIN
from glide_core.files import checkpoints
from glide_core.models.config import TINY_BASE
from glide_core.tiny.scene_data import SceneSource
from glide_core.train.folder import Folder
from glide_core.train.options import Phase
from glide_core.train.request import FineTune, FromScratch
from glide_core.train.sources import FileSource
from small_models import BASE, write_base

COMMON = ["--batch", "4", "--precision", "fp32", "--device", "cpu", "--schedule", "constant", "--warmup", "0"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("model") / "small.safetensors")


@pytest.fixture
def houses(tmp_path):
    return write_houses(tmp_path / "houses", 6, side=24)


def train(data, init, out, *options):
    cli.main(["train", str(data), "--init", str(init), "--out", str(out), *COMMON, *map(str, options)])
    return losses(out)


def losses(out):
    with (out / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    return [float(row["loss"]) for row in rows]


def fails(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        train(*args)
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_the_folder_has_all_that_was_asked_for(small, houses, tmp_path):
    out = tmp_path / "out"
    train(houses, small, out, "--steps", 2, "--sample-every", 2, "--sample-prompt", "a house", "--tensorboard")
    assert {"base.safetensors", "base.tokenizer.json", "log.csv", "state.pt"} <= set(os.listdir(out))
    assert checkpoints.load_model(out / "base.safetensors").config == BASE
    with Image.open(out / "samples" / "000002.png") as sheet:
        sample = np.asarray(sheet.crop((MARGIN, MARGIN, MARGIN + 16, MARGIN + 16)), dtype=int)
        around = np.asarray(sheet.crop((0, 0, MARGIN, MARGIN)))
    assert (around == 255).all() and (np.ptp(sample, axis=(0, 1)) > 100).all()  # a model that knows nothing draws noise
    (events,) = (out / "tensorboard").iterdir()
    accumulated = EventAccumulator(str(events)).Reload()
    assert [event.value for event in accumulated.Scalars("loss")] == pytest.approx(losses(out), rel=1e-4)


def test_the_model_notes_the_noise_that_it_was_trained_with(small, houses, tmp_path):
    train(houses, small, tmp_path / "out", "--steps", 1, "--noise-offset", 0.1, 0.2)
    assert checkpoints.trained_noise_offset(tmp_path / "out" / "base.safetensors") == (0.1, 0.2)


def test_ctrl_c_finishes_the_step_and_resuming_gives_the_losses_of_an_unbroken_run(small, houses, tmp_path, capsys):
    out, options = tmp_path / "broken", ["--accumulate", "2", "--sample-every", "5"]

    def interrupt():
        while not (out / "log.csv").exists() or len((out / "log.csv").read_text().splitlines()) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(SystemExit) as stop:
        train(houses, small, out, "--steps", "5000", *options)
    assert stop.value.code == 130
    first = len(losses(out))
    assert f"stopped after step {first}; to go on: glide train" in capsys.readouterr().err
    assert torch.load(out / "state.pt", weights_only=True)["step"] == first
    resumed = train(houses, small, out, "--steps", first + 3, "--resume", *options)
    whole = train(houses, small, tmp_path / "whole", "--steps", first + 3, *options)
    assert resumed == pytest.approx(whole, rel=1e-5)
    ema = [load_file(folder / "base.safetensors") for folder in (out, tmp_path / "whole")]
    for name, tensor in ema[0].items():
        torch.testing.assert_close(tensor, ema[1][name], atol=1e-3, rtol=1e-3)


def test_two_processes_train_as_one_that_accumulates(small, houses, tmp_path):
    whole = train(houses, small, tmp_path / "one", "--steps", 3, "--accumulate", 2)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "glide_core", "train", houses, "--init", small, "--out", tmp_path / "two", *COMMON]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([*map(str, command), "--steps", "3"], check=True, env=environment, timeout=300)
    assert losses(tmp_path / "two") == pytest.approx(whole, rel=1e-4)
    one, two = (load_file(tmp_path / name / "base.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-3, rtol=2e-3)


def test_gradient_checkpointing_changes_nothing(small, houses, tmp_path):
    plain = train(houses, small, tmp_path / "plain", "--steps", 3)
    again = train(houses, small, tmp_path / "again", "--steps", 3, "--gradient-checkpointing")
    assert again == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_keeps_the_loss_finite(small, houses, tmp_path, precision):
    exact = train(houses, small, tmp_path / "exact", "--steps", 12)
    half = train(houses, small, tmp_path / "half", "--steps", 12, "--precision", precision)
    assert np.isfinite(half).all() and half[0] == pytest.approx(exact[0], rel=0.03)
    weights = [load_file(tmp_path / name / "base.safetensors")["out.2.weight"] for name in ("exact", "half")]
    start = load_file(small)["out.2.weight"]
    assert (weights[1].float() - start).norm() > 0.3 * (weights[0].float() - start).norm() > 0


def test_a_training_that_diverges_stops_and_keeps_the_last_checkpoint(houses, small, tmp_path, capsys):
    out = tmp_path / "out"
    train(houses, small, out, "--steps", 2)
    state = torch.load(out / "state.pt", weights_only=True)
    state["model"]["out.2.weight"][:] = torch.nan
    torch.save(state, out / "state.pt")
    before = (out / "state.pt").read_bytes()
    assert "not finite in 20 steps in a row" in fails(capsys, houses, small, out, "--steps", 100, "--resume")
    assert (out / "state.pt").read_bytes() == before


@pytest.mark.parametrize("frozen, moved", [("text", "out.2.weight"), ("unet", "token_embedding.weight")])
def test_what_is_frozen_does_not_move(small, houses, tmp_path, frozen, moved):
    train(houses, small, tmp_path / "out", "--steps", 2, "--freeze", frozen)
    start, end = load_file(small), load_file(tmp_path / "out" / "base.safetensors")
    still = "token_embedding.weight" if frozen == "text" else "out.2.weight"
    assert (end[still] == start[still].half()).all() and (end[moved] != start[moved].half()).any()


def test_an_inpainting_model_from_a_plain_one(small, houses, tmp_path):
    out = tmp_path / "out"
    train(houses, small, out, "--steps", 2, "--variant", "inpaint", "--sample-every", 2)
    model = checkpoints.load_model(out / "base-inpaint.safetensors")
    assert model.config.inpaint and model.unet.input_blocks[0][0].weight[:, 3:].abs().sum() > 0
    originals = Folder(houses, 16).batch(np.random.default_rng(0), 40)[0]
    given, drawn = rows_of_the_sheet(out / "samples" / "000002.png")
    assert len(given) == len(drawn) == 4
    for picture in given:
        known = (picture != 128).any(axis=-1)  # a hole is gray
        assert any((picture == original)[known].all() for original in originals)
    assert any((picture == 128).any() for picture in given)


def rows_of_the_sheet(path):
    """The 16x16 pictures in the two rows of a sheet with four columns."""
    with Image.open(path) as sheet:
        width, height = (sheet.width - MARGIN) // 4, (sheet.height - MARGIN) // 2
        boxes = [[(MARGIN + column * width, MARGIN + row * height) for column in range(4)] for row in range(2)]
        return [[np.asarray(sheet.crop((x, y, x + 16, y + 16))) for x, y in row] for row in boxes]


def test_what_cannot_be_used_is_told_once_before_the_training(small, houses, tmp_path, capsys):
    (houses / "00.png").write_bytes(b"no picture")
    (houses / "01.png").write_bytes((houses / "02.png").read_bytes()[:-60])
    (houses / "03.txt").unlink()
    (houses / "04.txt").write_bytes(b"\xff\xfe\xfa")
    train(houses, small, tmp_path / "out", "--steps", 6)
    err = capsys.readouterr().err
    assert f"{houses}: pictures to train on: 2" in err
    assert (
        f"pictures without a caption: 1, {houses}/03.png; pictures that cannot be read: 2, such as {houses}/00.png ("
        in err
    )
    assert f"captions that cannot be read: 1, {houses / '04.txt'} (" in err  # not 04.png, which is whole
    assert "in the end" not in err and all(err.count(f"{name}") <= 1 for name in ("00.png", "01.png", "04.txt"))
    for name in ("02.png", "05.png"):
        (houses / name).write_bytes(b"")
    message = fails(capsys, houses, small, tmp_path / "other", "--steps", 6)
    assert "none of the 5 pictures can be trained on" in message


def test_what_is_found_during_the_training_is_told_once_and_counted_at_the_end(
    small, houses, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("glide_core.train.session.SURVEYED", 1)
    for name in ("03.png", "04.png", "05.png"):
        (houses / name).write_bytes(b"")
    train(houses, small, tmp_path / "out", "--steps", 10)
    err = capsys.readouterr().err
    assert f"{houses}: pictures to train on among 1 of 6: 1" in err
    assert err.count("further pictures that cannot be read are counted at the end") == 1
    assert "in the end left out: pictures that cannot be read: 3, such as" in err


@pytest.fixture
def full_disk():
    """Writing more than this many bytes to a file fails, really."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [2000, 100_000])
def test_a_full_disk_stops_cleanly_with_the_last_checkpoint_intact(small, houses, tmp_path, capsys, full_disk, size):
    out = tmp_path / "out"
    train(houses, small, out, "--steps", 1)
    files = {path: path.read_bytes() for path in out.iterdir() if path.name != "log.csv"}
    assert len(files[out / "state.pt"]) > size
    full_disk(size)
    message = fails(capsys, houses, small, out, "--steps", 3, "--resume")
    full_disk(resource.RLIM_INFINITY)
    assert "glide train: error: " in message and str(out) in message
    assert {path: path.read_bytes() for path in out.iterdir() if path.name != "log.csv"} == files
    assert len(train(houses, small, out, "--steps", 3, "--resume")) == 3


def test_options_that_do_not_fit(small, houses, tmp_path, capsys):
    out = tmp_path / "out"
    assert "--resolution 20: not a multiple of 2 up to 16" in fails(capsys, houses, small, out, "--resolution", 20)
    assert "--batch 4: not a multiple of 3" in fails(capsys, houses, small, out, "--accumulate", 3)
    assert "start without --resume" in fails(capsys, houses, small, out, "--resume")
    assert "give either --init" in fails(capsys, houses, small, out, "--model", "tiny-base")
    assert "is not a folder" in fails(capsys, tmp_path / "nothing", small, out)
    train(houses, small, out, "--steps", 1)
    assert "go on with it by --resume" in fails(capsys, houses, small, out)
    assert "other trained parts" in fails(capsys, houses, small, out, "--resume", "--lora", 2)
    assert "give one value, or one for every phase" in fails(
        capsys, houses, small, tmp_path / "other", "--steps", 1, 1, "--resolution", 8, 16, 16
    )


def test_the_layout_lesson_is_for_scenes_and_base_models(small, houses, tmp_path, capsys):
    assert "--layout knows what drawn scenes hold" in fails(capsys, houses, small, tmp_path / "a", "--layout", 0.1)
    message = fails(capsys, "scenes", "tiny-upsample", tmp_path / "b", "--layout", 0.1)
    assert "--layout teaches base models only" in message


@pytest.mark.parametrize(
    "init, stage, variant, source",
    [
        ("base", "base", "plain", "base"),
        ("base", "upsample", "plain", "upsample"),
        ("openai", "upsample", "plain", "upsample"),
        ("base", "base", "inpaint", "base"),  # the published inpainting model is not there
        ("tiny", "base", "plain", "tiny-base"),
        ("tiny", "upsample", "inpaint", "tiny-upsample-inpaint"),
        ("tiny-base", "upsample", "inpaint", "tiny-base"),
        ("my/model.safetensors", "base", "inpaint", "my/model.safetensors"),
    ],
)
def test_what_is_fine_tuned(tmp_path, monkeypatch, init, stage, variant, source):
    monkeypatch.setenv("GLIDE_MODELS", str(tmp_path))
    asked = request("--init", init, "--stage", stage, "--variant", variant)
    assert asked.start == FineTune(source) and asked.inpaint == (variant == "inpaint")


@pytest.mark.parametrize(
    "options, muon, lr",
    [
        (["--model", "tiny-base"], True, 1.5e-3),
        (["--model", "base"], False, 1e-4),
        (["--init", "tiny"], False, 1e-4),
        (["--init", "tiny", "--optimizer", "muon"], True, 1.5e-3),
        (["--init", "tiny", "--lora", "8"], False, 5e-4),
        (["--model", "tiny-base", "--optimizer", "adamw", "--lr", "0.5"], False, 0.5),
    ],
)
def test_the_optimiser_and_its_rate_suit_what_is_trained(options, muon, lr):
    asked = request(*options)
    assert (asked.options.muon, asked.options.lr) == (muon, lr)


def test_options_become_a_request():
    asked = request("--model", "tiny-base", "--steps", "5", "6", "--batch", "4", "--resolution", "32", "64")
    assert asked.start == FromScratch(TINY_BASE)
    assert asked.options.phases == (Phase(32, 5, 4), Phase(64, 6, 4))
    assert asked.data == FileSource("DATA") and asked.out == Path("OUT") and asked.auxiliary is None
    assert request("--init", "tiny").options.phases == (Phase(None, 3000, 32),)
    assert request("--init", "tiny", data="scenes").data == SceneSource(60000)


def request(*options, data="DATA"):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return _request(parser.parse_args([data, "--out", "OUT", *options]))


@pytest.mark.parametrize("package, data", [("accelerate", "houses"), ("webdataset", "shards.tar")])
def test_a_missing_package_is_named(small, houses, tmp_path, capsys, monkeypatch, package, data):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "glide_core.train.shards", raising=False)
    assert f"package {package}: pip install" in fails(capsys, tmp_path / data, small, tmp_path / "out")


def test_a_new_tiny_model_of_the_scenes_in_phases(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    out = tmp_path / "out"
    options = "--scenes 8 --resolution 16 32 --steps 1 1 --batch 2 1 --device cpu"
    cli.main(["train", "scenes", "--model", "tiny-base", "--out", str(out), *options.split()])
    assert len(losses(out)) == 2 and checkpoints.load_model(out / "base.safetensors").config == TINY_BASE
    assert torch.load(out / "state.pt", weights_only=True)["optimizer"]["parts"][1]["state"]  # Muon's momenta
