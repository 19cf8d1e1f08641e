"""The host's services on GLIDE: precision flags, LoRA, merging, memory management, torch.compile, schedulers."""

import pytest

import services
from hosts import find_checkouts, python_of, version


@pytest.fixture(scope="session", params=find_checkouts() or [None], ids=lambda path: version(path) if path else "none")
def check(request, tmp_path_factory):
    """A function that runs one check of `services` in a real ComfyUI's Python."""
    if request.param is None:
        pytest.skip("no ComfyUI")
    folder = tmp_path_factory.mktemp("services")
    return lambda name: services.run(request.param, python_of(request.param), name, folder)


def test_precision_flags(check):
    found = check("precision")
    expected = {"fp16_unet": "torch.float16", "bf16_unet": "torch.bfloat16", "fp8_e4m3fn_unet": "torch.float8_e4m3fn"}
    assert {flag: answer["dtype"] for flag, answer in found.items()} == expected
    assert all(answer["finite"] for answer in found.values())
    assert found["fp16_unet"]["far"] < 0.05 and found["bf16_unet"]["far"] < 0.3


def test_lora(check):
    found = check("lora")
    assert found["by hand"] < 1e-3
    assert found["changed"] > 0.02
    assert found["taken out"] < 1e-5


def test_merging(check):
    found = check("merge")
    assert found["by hand"] < 1e-3
    assert found["changed"] > 0.02
    assert found["names"] == []
    assert found["saved"] < 1e-6


def test_memory(check):
    found = check("memory")
    print(found)
    assert found["size"] == found["loaded"] > found["partly"] > 0
    assert found["after unloading"] == found["left"] == found["stay"] == 0
    assert found["same"] < 1e-5 and found["three paint"] < 1e-5
    assert found["three"] >= 3


@pytest.mark.slow
def test_torch_compile(check):
    found = check("compiled")
    assert found["far"] < 1e-3 and found["again"] < 1e-5


def test_schedulers_do_not_waste_steps_on_pure_noise(check):
    """Above sigma 71 nothing of the picture can be seen; every scheduler of the host spends at most 2 of 20 steps there."""
    for kind, schedulers in check("schedules").items():
        for name, sigmas in schedulers.items():
            assert sigmas[-1] == 0 and all(a > b for a, b in zip(sigmas, sigmas[1:])), (kind, name)
            wasted = sum(sigma > 80 for sigma in sigmas)
            assert wasted <= (2 if kind == "base" else 12), (kind, name, sigmas)
