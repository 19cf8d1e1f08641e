"""What a run is said to need is what it needs, so that too much is refused before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from glide_core import memory
from glide_core.device import DTYPES
from glide_core.errors import OptionError
from glide_core.models.config import TINY

CPU = torch.device("cpu")
PEAK = """if True:
    import sys
    import torch
    from glide_core.device import DTYPES
    from glide_core.models.config import TINY
    from glide_core.models.unet import UNet

    def kilobytes(name):
        return int(open("/proc/self/status").read().split(name + ":")[1].split()[0])

    config, dtype, batch = TINY[sys.argv[1]], DTYPES[sys.argv[2]], int(sys.argv[3])
    unet = UNet(config, dtype=dtype).to(memory_format=torch.channels_last).eval()
    x = torch.zeros(batch, config.in_channels, config.image_size, config.image_size, dtype=dtype)
    text = torch.zeros(batch, config.text_ctx, config.xf_width, dtype=dtype)
    y = torch.zeros(batch, 4 * config.num_channels, dtype=dtype)
    with torch.no_grad():
        unet(x[:1], torch.zeros(1), text[:1], y[:1])  # what libraries allocate once is not counted
        before = kilobytes("VmRSS")
        open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
        unet(x, torch.zeros(batch), text, y)
    print(1024 * (kilobytes("VmHWM") - before))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind, batch", [("base", 64), ("upsample", 8)])
def test_a_call_of_a_unet_stays_within_the_estimate_and_above_a_tenth_of_it(kind, batch, dtype):
    config = TINY[kind]
    command = [sys.executable, "-c", PEAK, kind, dtype, str(batch)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    estimate = memory.unet_bytes(batch, config.image_size, config.image_size, config.num_channels, DTYPES[dtype])
    assert estimate / 10 < int(run.stdout) < estimate


def test_too_much_is_refused_with_the_numbers():
    with pytest.raises(OptionError, match=r"a sheet needs about 4096\.0 GiB of memory, but [\d.]+ GiB are free"):
        memory.require("a sheet", 2**42, CPU)
    memory.require("a byte", 1, CPU)


def test_what_is_free_is_less_than_the_machine_has():
    assert 0 < memory.available(CPU) < 2**50
