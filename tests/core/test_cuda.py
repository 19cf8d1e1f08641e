"""The command line and the training on a GPU, where there is one: they do what they do on the CPU."""

import numpy as np
import pytest
import torch
from PIL import Image

from glide_core import cli
from glide_core.device import pick_device, pick_dtype
from glide_core.diffusion.cuda_graph import Replay
from golden import NO_GPU, Golden

pytestmark = NO_GPU
PROMPT = "a red circle on a blue background"
QUICK = ["--steps", "5,5,5,5,10", "--upsample-steps", "5", "--upsample-sampler", "ddim"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def drawn(device, dtype):
    out = f"{device}-{dtype}.png"
    cli.main(["generate", PROMPT, "-o", out, "--device", device, "--dtype", dtype, "--seed", "3", *QUICK])
    return np.asarray(Image.open(out)).astype(int)


def test_fp32_paints_the_same_picture_as_the_cpu():
    difference = np.abs(drawn("cuda", "fp32") - drawn("cpu", "fp32"))
    print("largest difference", difference.max(), "share above 2", (difference > 2).mean())
    assert (difference > 2).mean() < 0.002


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_paints_nearly_the_same_picture(dtype):
    difference = np.abs(drawn("cuda", dtype) - drawn("cuda", "fp32"))
    print("mean difference", difference.mean())
    assert difference.mean() < 5


def test_what_is_not_repainted_stays_as_it_is():
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    mask = np.zeros((300, 400), np.uint8)
    mask[100:180, 120:220] = 255
    Image.fromarray(photo).save("photo.png")
    Image.fromarray(mask).save("mask.png")
    files = ["photo.png", "--mask", "mask.png", "-o", "out.png"]
    cli.main(["inpaint", *files, "--prompt", PROMPT, "--device", "cuda", "--blend", "hard", "--steps", "5"])
    changed = np.asarray(Image.open("out.png")) != photo
    assert not changed[mask == 0].any()
    assert changed[mask > 0].mean() > 0.9


@torch.no_grad()
def test_a_replayed_unet_computes_the_same():
    golden = Golden()
    model = golden.model(golden.small_config("base"), device="cuda")
    tokens, mask = (part.cuda() for part in golden.tokens(golden.meta["prompts"]["trajectories"]))
    text = model.text(tokens, mask)
    replay = Replay(model.unet)
    outputs = []
    for k, count in enumerate((2, 2, 1)):  # recorded, replayed, and another shape
        x = golden.draw(f"x{k}", (count, 3, 64, 64)).cuda()
        inputs = (x, torch.full((count,), 100.0 + 300 * k).cuda(), *(part[:count] for part in text))
        outputs.append((replay(*inputs), model.unet(*inputs)))
    for actual, expected in outputs:  # a replay must not overwrite what earlier ones gave
        assert (actual - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (outputs[0][0] - outputs[1][0]).abs().max() > 0.1


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_training_lowers_the_loss_and_goes_on(precision):
    train = "train scenes --model tiny-base --resolution 16 --scenes 200 --batch 16 --optimizer muon --layout 0.02"
    command = [*train.split(), "--out", "run", "--device", "cuda", "--precision", precision]
    cli.main([*command, "--steps", "60", "--sample-every", "60"])
    cli.main([*command, "--steps", "80", "--resume"])
    losses = np.genfromtxt("run/log.csv", delimiter=",", names=True)["loss"]
    assert len(losses) == 80 and np.isfinite(losses).all()
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()
    assert Image.open("run/samples/000060.png").size[0] > 0


def test_a_cuda_device_is_what_auto_takes():
    assert pick_device("auto").type == "cuda"
    assert pick_dtype("auto", torch.device("cuda")) == "fp16"
