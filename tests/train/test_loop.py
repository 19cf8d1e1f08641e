"""The training loop on a very small model: it learns, resumes exactly, and never leaves a broken checkpoint."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.errors import CheckpointError, DatasetError
from glide_core.files import checkpoints
from glide_core.models.text2im import Text2Im
from glide_core.models.tokenizer import Tokenizer
from glide_core.tiny.scene_data import Scenes
from glide_core.train.initial import initialise
from glide_core.train.loop import Trainer
from glide_core.train.loss import DiffusionLoss
from glide_core.train.options import Options, Phase
from small_models import BASE, UPSAMPLE

OPTIONS = Options(phases=(Phase(16, 30, 8),), warmup=5, decay=0)


class Unlabelled:
    """A data set without labels."""

    def __init__(self, data):
        self.position, self.batch, self.seek = 0, data.batch, data.seek


class CountObjects(nn.Module):
    """An auxiliary loss: how many objects a scene has, told from nothing."""

    def __init__(self):
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(()))
        self.sides = []

    def targets(self, labels, side):
        self.sides.append(side)
        return (torch.tensor([float(len(scene.objects)) for scene in labels]),)

    def pixel_weights(self, targets):
        return None

    def loss(self, targets):
        return (self.answer - targets[0]).square().mean()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    cache = tmp_path_factory.mktemp("scenes")
    return {side: Scenes(side, 40, cache) for side in (16, 32)}


def small_model(config):
    torch.manual_seed(0)
    model = Text2Im(config)
    initialise(model)
    return model, Tokenizer.from_file(checkpoints.TINY_FOLDER / "tokenizer.json", config.text_ctx)


def trainer(scenes, out, config=BASE, options=OPTIONS, **others):
    return Trainer(*small_model(config), scenes[config.image_size], options, out, **others)


def for_steps(steps, **changes):
    return dataclasses.replace(OPTIONS, phases=(Phase(16, steps, 4),), **changes)


@pytest.mark.parametrize("muon", [True, False], ids=["muon", "adamw"])
def test_training_lowers_the_loss(scenes, tmp_path, muon):
    options = dataclasses.replace(OPTIONS, muon=muon, lr=5e-3)
    losses = trainer(scenes, tmp_path, options=options).run()
    assert len(losses) == 30 and np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_an_upsampler_learns_from_crops(scenes, tmp_path):
    options = dataclasses.replace(OPTIONS, lr=5e-3)
    losses = trainer(scenes, tmp_path, UPSAMPLE, options).run()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(scenes, tmp_path):
    whole = trainer(scenes, tmp_path / "whole", options=for_steps(8)).run()
    first = trainer(scenes, tmp_path / "broken", options=for_steps(5)).run()
    again = trainer(scenes, tmp_path / "broken", options=for_steps(8))
    again.resume()
    assert first + again.run() == pytest.approx(whole, rel=1e-5)


def test_the_exported_model_is_the_average_and_loads(scenes, tmp_path):
    job = trainer(scenes, tmp_path, options=for_steps(3))
    job.run()
    model = checkpoints.load_model(tmp_path / "base.safetensors")
    assert model.config == BASE
    for name, tensor in job.ema.module.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)


def test_the_average_starts_with_a_small_decay(scenes, tmp_path):
    """Otherwise the random initial weights would stay in the average for long."""
    job = trainer(scenes, tmp_path, options=for_steps(8, ema=0.999))
    averaged, weights = (model.state_dict()["out.2.weight"] for model in (job.ema.module, job.model))
    job.train_step()
    first = weights.clone()
    torch.testing.assert_close(averaged, first)
    job.train_step()
    assert (weights - first).norm() > 0.1 * first.norm() > 0
    torch.testing.assert_close(averaged, 2 / 11 * first + 9 / 11 * weights)
    job.pieces.close()


def test_the_state_of_another_model_is_refused(scenes, tmp_path):
    trainer(scenes, tmp_path, options=for_steps(1)).run()
    with pytest.raises(CheckpointError, match="another model"):
        trainer(scenes, tmp_path, UPSAMPLE).resume()


def truncated(content):
    return content[:-200]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def empty(content):
    return b""


def another_text(content):
    return b"<html>" * 100


@pytest.mark.parametrize("damage", [truncated, flipped, empty, another_text])
def test_a_damaged_state_is_refused_and_nothing_is_changed(damage, scenes, tmp_path):
    trainer(scenes, tmp_path, options=for_steps(1)).run()
    state = tmp_path / "state.pt"
    state.write_bytes(damage(state.read_bytes()))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="state.pt is damaged, .*nothing was changed. .*with --init"):
        trainer(scenes, tmp_path).resume()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda state: {"model": {}}, "it has no 'ema', .*it has no 'auxiliary'"),
        (lambda state: [1, 2], "it holds a list"),
        (lambda state: {**state, "layout": None}, "'layout' is unknown"),
        (
            lambda state: {k: v for k, v in state.items() if k != "auxiliary"} | {"layout": {}},
            "'auxiliary', 'layout' is",
        ),
        (lambda state: {**state, "step": "5"}, "'step' is a str"),
        (lambda state: {**state, "step": -1}, "its steps are not counted"),
        (lambda state: {**state, "positions": []}, "'positions' are no places"),
        (lambda state: {**state, "ema": {"a": 1}}, "'ema' holds other things than tensors"),
    ],
)
def test_a_file_that_is_no_state_of_this_version_is_refused(scenes, tmp_path, change, says):
    trainer(scenes, tmp_path, options=for_steps(1)).run()
    torch.save(change(torch.load(tmp_path / "state.pt", weights_only=True)), tmp_path / "state.pt")
    with pytest.raises(
        CheckpointError, match=f"state.pt is not the state of a training by this version.*{says}.*--init"
    ):
        trainer(scenes, tmp_path).resume()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {**state, "optimizer": {}},
        lambda state: {**state, "optimizer": {"parts": [{}, {}], "scaler": {}}},
        lambda state: {**state, "ema": {}},
    ],
    ids=["no optimizer", "empty optimizers", "no averages"],
)
def test_a_state_whose_parts_are_of_another_training_is_refused(scenes, tmp_path, change):
    trainer(scenes, tmp_path, options=for_steps(1)).run()
    torch.save(change(torch.load(tmp_path / "state.pt", weights_only=True)), tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="state.pt (does not go on with these options|is the state of another)"):
        trainer(scenes, tmp_path).resume()


def test_another_optimizer_is_named(scenes, tmp_path):
    trainer(scenes, tmp_path, options=for_steps(1)).run()
    with pytest.raises(CheckpointError, match="give --optimizer"):
        trainer(scenes, tmp_path, options=for_steps(2, muon=False)).resume()


def test_an_auxiliary_loss_is_learned_beside_the_diffusion_loss_and_resumed(scenes, tmp_path):
    counting = CountObjects()
    plain = trainer(scenes, tmp_path / "plain", options=for_steps(4)).run()
    both = trainer(scenes, tmp_path / "both", options=for_steps(4), auxiliary=counting).run()
    assert both[0] == pytest.approx(plain[0], rel=1e-6)  # the reported loss is the diffusion loss alone
    assert both == pytest.approx(plain, rel=1e-3)  # only the clipping of the gradients changes a little
    assert 0 < counting.answer.item() < 0.01 and set(counting.sides) == {16}
    again = CountObjects()
    trainer(scenes, tmp_path / "both", options=for_steps(5), auxiliary=again).resume()
    assert torch.equal(again.answer, counting.answer)
    with pytest.raises(CheckpointError, match="another auxiliary loss"):
        trainer(scenes, tmp_path / "both", options=for_steps(5)).resume()


def test_an_auxiliary_loss_needs_labels(scenes, tmp_path):
    with pytest.raises(DatasetError, match="needs data that knows what its pictures show"):
        trainer({16: Unlabelled(scenes[16])}, tmp_path, auxiliary=CountObjects())


def test_another_objective_takes_the_place_of_the_diffusion_loss(scenes, tmp_path):
    usual = DiffusionLoss(NoiseSchedule(BASE.noise_schedule), torch.device("cpu"))

    def doubled(*args, **options):
        return 2 * usual(*args, **options)

    plain = trainer(scenes, tmp_path / "plain", options=for_steps(1)).run()
    double = trainer(scenes, tmp_path / "double", options=for_steps(1), objective=doubled).run()
    assert double == pytest.approx([2 * plain[0]])


def test_without_a_resolution_the_model_sees_its_own_size(scenes, tmp_path):
    own = dataclasses.replace(OPTIONS, phases=(Phase(None, 2, 4),))
    assert trainer(scenes, tmp_path / "own", options=own).run() == pytest.approx(
        trainer(scenes, tmp_path / "named", options=for_steps(2)).run()
    )
