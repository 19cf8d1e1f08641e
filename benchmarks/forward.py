"""Time one forward of the full-size models against OpenAI's implementation, alternated in the same run.

    python benchmarks/forward.py [--threads N] [--dtype fp32,bf16] [--models base,upsample]

The base runs the batch of two that guidance needs, the upsampler one 256x256 picture. The weights are random and equal.
The reference runs where GLIDE_REFERENCE names a checkout of openai/glide-text2im or ``glide_text2im`` is installed; it
encodes the text in every forward. Ours encodes it once per prompt: its time has a column of its own. The reference
computes in fp32, and in fp16 next to ours in fp16; the difference is a part of its largest value.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.reference import load_reference, reference_model  # noqa: E402
from glide_core.device import DTYPES  # noqa: E402
from glide_core.models.config import PUBLISHED, ModelConfig  # noqa: E402
from glide_core.models.text2im import Text2Im, unet_input  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def random_weights(model: Text2Im) -> Text2Im:
    """Weights that keep activations near unit size, so that a difference between implementations shows."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.1)
    return model


def inputs(config: ModelConfig) -> dict[str, Tensor]:
    batch = 1 if config.low_res else 2
    x = torch.randn(batch, 3, config.image_size, config.image_size)
    tokens = torch.randint(config.vocab_size, (batch, config.text_ctx))
    mask = torch.arange(config.text_ctx).expand(batch, -1) < 12
    out = {"x": x, "timesteps": torch.full((batch,), 500), "tokens": tokens, "mask": mask}
    if config.low_res:
        out["low_res"] = torch.randn(batch, 3, config.image_size // 4, config.image_size // 4)
    return {name: value.to(DEVICE) for name, value in out.items()}


def ours(model: Text2Im, batch: dict[str, Tensor]) -> tuple[Callable[[], Tensor], Callable[[], tuple]]:
    """One call of the U-Net as ``guidance.Denoiser`` makes it, and of the text transformer."""
    conditions = {"low_res": batch["low_res"]} if "low_res" in batch else {}
    text = model.text(batch["tokens"], batch["mask"])

    def unet():
        x = unet_input(model.config, batch["x"], **conditions)
        x = x.to(model.unet.dtype, memory_format=torch.channels_last)
        return model.unet(x, batch["timesteps"], *text).float()

    return unet, lambda: model.text(batch["tokens"], batch["mask"])


def alternate(calls: dict[str, Callable], repeats: int, clock: Callable[[], float]) -> dict[str, float]:
    """Median milliseconds of each call: A B A B ..., after one unmeasured round."""
    times = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if DEVICE.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(1000 * (clock() - start))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def reference_like(reference, model: Text2Im, fp16: bool) -> nn.Module:
    """The reference's model with the weights of ours, in fp32, or in fp16 where it is asked for."""
    with torch.device("meta"):
        theirs = reference_model(reference, model.config, fp16)
    theirs.load_state_dict({name: weight.float() for name, weight in model.state_dict().items()}, assign=True)
    if fp16:
        theirs.convert_to_fp16()
    return theirs


def measure(kind: str, dtype: str, reference, options: argparse.Namespace) -> str:
    """-> one line of the table."""
    torch.manual_seed(0)
    model = random_weights(Text2Im(PUBLISHED[kind], device=DEVICE, dtype=DTYPES[dtype])).eval()
    batch = inputs(model.config)
    calls = {}
    if reference is not None:
        theirs = reference_like(reference, model, dtype == "fp16")
        calls["reference"] = lambda: theirs(**batch)
    model.unet.to(memory_format=torch.channels_last)
    calls["ours"], calls["text"] = ours(model, batch)
    ms = alternate(calls, options.repeats, time.process_time if options.cpu_time else time.perf_counter)
    row = f"| {kind} | {dtype} | {ms['ours']:.1f} | {ms['text']:.1f} |"
    if reference is None:
        return row + " - | - | - |"
    expected = calls["reference"]()
    worst = (calls["ours"]() - expected).abs().max() / expected.abs().max()
    return row + f" {ms['reference']:.1f} | {ms['ours'] / ms['reference']:.3f} | {worst:.1e} |"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--dtype", default="fp32", help="of: " + ", ".join(DTYPES))
    parser.add_argument("--models", default="base,upsample", help="of: " + ", ".join(PUBLISHED))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that others use too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    reference = load_reference()
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    clock = "processor" if options.cpu_time else "wall"
    print(f"torch {torch.__version__}, {device}, median of {options.repeats}, {clock} time in ms\n")
    print("| model | dtype | ours, U-Net | ours, text (once per prompt) | reference | ratio | max difference |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for kind in options.models.split(","):
        for dtype in options.dtype.split(","):
            print(measure(kind, dtype, reference, options), flush=True)


if __name__ == "__main__":
    main()
