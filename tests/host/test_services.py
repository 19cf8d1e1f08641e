"""The host's services on GLIDE: precision flags, LoRA, merging, memory management, torch.compile, schedulers."""

import pytest

import services
from hosts import find_checkouts, python_of, version


@pytest.fixture(scope="session", params=find_checkouts() or [None], ids=lambda path: version(path) if path else "none")
def run(request, tmp_path_factory):
    """A function that runs checks of `services` in a real ComfyUI's Python."""
    if request.param is None:
        pytest.skip("no ComfyUI")
    folder = tmp_path_factory.mktemp("services")
    return lambda *checks: services.run(request.param, python_of(request.param), folder, *checks)


@pytest.fixture(scope="session")
def found(run):
    return run("precision", "lora", "merge", "memory", "computing", "schedules")


def test_precision_flags(found):
    answers = found["precision"]
    expected = {"fp16_unet": "torch.float16", "bf16_unet": "torch.bfloat16", "fp8_e4m3fn_unet": "torch.float8_e4m3fn"}
    assert {flag: answer["dtype"] for flag, answer in answers.items()} == expected
    assert all(answer["finite"] for answer in answers.values())
    assert answers["fp16_unet"]["far"] < 0.05 and answers["bf16_unet"]["far"] < 0.3


def test_lora(found):
    assert found["lora"]["by hand"] < 1e-3
    assert found["lora"]["changed"] > 0.02
    assert found["lora"]["taken out"] < 1e-5


def test_merging(found):
    assert found["merge"]["by hand"] < 1e-3
    assert found["merge"]["changed"] > 0.02
    assert found["merge"]["names"] == []
    assert found["merge"]["saved"] < 1e-6


def test_memory(found):
    memory = found["memory"]
    print(memory)
    assert memory["size"] == memory["loaded"] > memory["partly"] > 0
    assert memory["after unloading"] == memory["left"] == memory["stay"] == 0
    assert memory["same"] < 1e-5 and memory["three paint"] < 1e-5
    assert memory["three"] >= 3


# How far pictures may be from those of fp32 on average, -1..1: the table in docs/comfyui.md says it in levels of 255.
CLOSE = {"fp32": 0, "fp16": 1e-4, "bf16": 2e-3, "fp8_e4m3fn": 0.03}
CLOSE_COMPUTED = {"ModelComputeDtype fp16": 1e-3, "ModelComputeDtype bf16": 0.01}


def test_types_of_weights_and_of_computing(found):
    means = {name: answer["mean"] for name, answer in found["computing"].items()}
    wrong = {name: far for name, far in means.items() if far > (CLOSE | CLOSE_COMPUTED)[name]}
    assert wrong == {}
    assert all(far > 0 for name, far in means.items() if name != "fp32")
    fp32, fp16, bf16, fp8 = (found["computing"][name]["bytes"] for name in CLOSE)
    assert fp16 == bf16 == pytest.approx(fp32 / 2, rel=0.01) and fp8 == pytest.approx(fp32 / 4, rel=0.01)


@pytest.mark.parametrize("weights, share", [("fp32", 0.001), ("fp16", 0.02), ("bf16", 0.05), ("fp8_e4m3fn", 0.5)])
def test_weights_that_are_fetched_one_by_one(found, weights, share):
    """As with little memory, and with a LoRA: its product is added to each weight that is fetched, and not rounded."""
    answer = found["computing"][weights]
    assert answer["loaded"] < 0.3
    assert answer["partly"] < share * answer["lora"]


def test_schedulers_do_not_waste_steps_on_pure_noise(found):
    """From sigma 71 on the base sees nothing of a picture; the upsampler's schedule ends at 157."""
    for kind, most in (("base", 1), ("upsample", 4)):
        for name, sigmas in found["schedules"][kind].items():
            if name == "linear_quadratic":  # refused: test_stock_samplers
                continue
            assert sigmas[-1] == 0 and all(a > b for a, b in zip(sigmas, sigmas[1:])), (kind, name)
            assert sum(sigma > 72 for sigma in sigmas) <= most, (kind, name, sigmas)


@pytest.mark.slow
def test_torch_compile(run):
    found = run("compiled")["compiled"]
    assert found["far"] < 1e-3 and found["again"] < 1e-5
