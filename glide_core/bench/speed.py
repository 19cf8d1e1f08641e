"""``glide bench speed``: the models at full size with random weights, beside OpenAI's code in one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..choices import SPEED_MEASURES
from ..device import DTYPES, exact_fp32, pick_device, pick_dtype
from ..diffusion.presets import with_preset
from ..diffusion.tiles import tiled
from ..images import quantize
from ..models import layers
from ..models.config import PUBLISHED, TINY, ModelConfig
from ..models.text2im import Text2Im, unet_input
from ..pipeline import SAMPLING, UPSAMPLING, Stage, generate, upsample
from .clock import Clock, Row, memory_peak
from .reference import load_reference, reference_like

BATCHES, TILED_SIDES = (1, 2, 4, 8, 16), (512, 1024, 2048)
MODELS: dict[str, ModelConfig] = {**PUBLISHED, **{f"tiny-{kind}": config for kind, config in TINY.items()}}
MATRIX = 2048  # side of the product that the machine's peak is measured with


@dataclass(frozen=True)
class SpeedRequest:
    """What to measure.

    Attributes:
        measures: some of ``SPEED_MEASURES``.
        models: names in ``MODELS``, a base and an upsampler for pictures.
        dtypes: names of precisions.
        device: a name that ``pick_device`` knows.
        threads: of torch, or None for its own choice.
        preset: how ours samples pictures; the reference takes 100 and 27 steps.
        clock: how to measure.
    """

    measures: tuple[str, ...] = SPEED_MEASURES[:1]
    models: tuple[str, ...] = ("base", "upsample")
    dtypes: tuple[str, ...] = ("auto",)
    device: str = "auto"
    threads: int | None = None
    preset: str = "standard"
    clock: Clock = Clock()


def measure(request: SpeedRequest) -> Iterator[Row]:
    """Measure, one row after the other. Raises OptionError: the device is not there."""
    exact_fp32()
    if request.threads:
        torch.set_num_threads(request.threads)
    device = pick_device(request.device)
    reference = load_reference()
    for dtype in dict.fromkeys(pick_dtype(name, device) for name in request.dtypes):
        bench = _Bench(request, device, dtype, reference)
        for name in request.measures:
            yield from getattr(bench, name)()


def machine() -> str:
    """What was measured on."""
    processor = torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {processor}, {torch.get_num_threads()} threads"


def random_weights(model: Text2Im) -> Text2Im:
    """Weights that keep activations near unit size, so that a difference between implementations shows."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.1)
    return model


class _Bench:
    """The measurements in one precision."""

    def __init__(self, request: SpeedRequest, device: torch.device, dtype: str, reference: Any) -> None:
        self.request, self.device, self.dtype, self.reference = request, device, dtype, reference
        self.clock = request.clock

    def models(self, name: str) -> tuple[Text2Im, Any]:
        """Ours, as ``Stage.load`` has it, and the reference with the same weights, or None."""
        exact = self.exact(name)
        theirs = self.reference and reference_like(self.reference, exact, self.dtype == "fp16")
        model = Text2Im(MODELS[name], operations=layers, device=self.device, dtype=DTYPES[self.dtype])
        model.load_state_dict(exact.state_dict())
        model.eval().requires_grad_(False)
        model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        layers.keep_packed(model.unet)
        return model, theirs

    def exact(self, name: str) -> Text2Im:
        """The same model in fp32, with plain layers."""
        torch.manual_seed(0)
        return random_weights(Text2Im(MODELS[name], device=self.device, dtype=torch.float32)).eval()

    def inputs(self, config: ModelConfig, batch: int, side: int | None = None) -> dict[str, Tensor]:
        """What both implementations take."""
        side = side or config.image_size
        given = {
            "x": torch.randn(batch, 3, side, side),
            "timesteps": torch.full((batch,), 500.0),
            "tokens": torch.randint(config.vocab_size, (batch, config.text_ctx)),
            "mask": torch.arange(config.text_ctx).expand(batch, -1) < 12,
        }
        if config.low_res:
            given["low_res"] = torch.randn(batch, 3, side // 4, side // 4)
        return {name: value.to(self.device) for name, value in given.items()}

    def unet(self, model: Text2Im, given: dict[str, Tensor], tile: int | None = None) -> Any:
        """One call of our U-Net as sampling makes it."""
        with torch.no_grad():
            text, y = model.text(given["tokens"], given["mask"])
            keys = model.unet.text_keys(text)
        conditions = {"low_res": given["low_res"]} if "low_res" in given else {}

        @torch.inference_mode()
        def call() -> Tensor:
            x = unet_input(model.config, given["x"], **conditions).to(model.unet.dtype)
            return tiled(lambda part: model.unet(part, given["timesteps"], keys, y), x, tile).float()

        return call

    def forwards(self) -> Iterator[Row]:
        """One call of each U-Net: a base with the two halves that guidance needs."""
        peak = self.matmul_flops()
        for name in self.request.models:
            model, theirs = self.models(name)
            batch = 1 if model.config.low_res else 2
            given = self.inputs(model.config, batch)
            ours, flops = self.unet(model, given), count_flops(model.config, batch)
            reference = None if theirs is None else torch.inference_mode()(partial(theirs, **given))
            ours()
            row = self.clock.row(f"{name}, forward", self.dtype, ours, reference, memory=memory_peak(ours))
            yield replace(
                row,
                gflop=flops / 1e9,
                peak=flops / (row.ours / 1000) / peak,
                error=relative_difference(ours(), self.unet(self.exact(name), given)()),
            )

    def batches(self) -> Iterator[Row]:
        """A forward of more pictures at once, in milliseconds for one of them."""
        for name in self.request.models:
            model, _ = self.models(name)
            for batch in BATCHES:
                call = self.unet(model, self.inputs(model.config, batch))
                row = self.clock.row(f"{name}, batch {batch}, for each", self.dtype, call, None)
                yield replace(row, ours=row.ours / batch)

    def tiles(self) -> Iterator[Row]:
        """One step of an upsampler on large pictures."""
        for name in self.request.models:
            model, _ = self.models(name)
            if model.config.low_res:
                for side in TILED_SIDES:
                    call = self.unet(model, self.inputs(model.config, 1, side), model.config.image_size)
                    row = self.clock.row(f"{name}, {side}x{side}", self.dtype, call, None, memory=memory_peak(call))
                    yield row

    def training(self) -> Iterator[Row]:
        """Forward and backward of the mean square of eps, in fp32 weights; the reference's too."""
        for name in self.request.models:
            model = random_weights(Text2Im(MODELS[name], device=self.device))
            theirs = self.reference and reference_like(self.reference, model).requires_grad_(True)
            model.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            given = self.inputs(model.config, 1 if model.config.low_res else 2)

            def step(model: Any, given: dict[str, Tensor] = given) -> None:
                with torch.autocast(self.device.type, DTYPES[self.dtype], enabled=self.dtype != "fp32"):
                    out = model(**given)
                out[:, :3].float().square().mean().backward()
                model.zero_grad(set_to_none=True)

            reference = None if theirs is None else partial(step, theirs)
            yield self.clock.row(f"{name}, training step", self.dtype, partial(step, model), reference)

    def pictures(self) -> Iterator[Row]:
        """From tokens to 256x256: ours by the preset, the reference in 100 and 27 steps, at guidance scale 3."""
        pair = [self.models(name) for name in self.request.models]
        stages = [Stage(model, self.tokenizer(model.config)) for model, _ in pair]  # type: ignore[arg-type]

        def ours() -> Tensor:
            small = generate(stages[0], [""], with_preset(SAMPLING, self.request.preset, upsampler=False))
            return upsample(stages[1], [""], small, with_preset(UPSAMPLING, self.request.preset, upsampler=True))

        base, upsampler = (theirs for _, theirs in pair)
        reference = None if base is None else partial(self.reference_picture, base, upsampler)
        yield self.clock.row(f"picture, {self.request.preset}", self.dtype, ours, reference)

    def tokenizer(self, config: ModelConfig) -> SimpleNamespace:
        """Gives tokens whose values do not matter to the time."""
        given = partial(self.inputs, config)
        return SimpleNamespace(batch=lambda texts: tuple(given(len(texts))[key] for key in ("tokens", "mask")))

    @torch.no_grad()
    def reference_picture(self, base: Any, upsampler: Any) -> Tensor:
        """As OpenAI's notebook paints."""
        configs = [MODELS[name] for name in self.request.models]
        given = [self.inputs(config, 1) for config in configs]
        texts = [{key: values[key] for key in ("tokens", "mask")} for values in given]

        def guided(x: Tensor, timesteps: Tensor, **text: Tensor) -> Tensor:
            half = x[: len(x) // 2]
            out = base(torch.cat([half, half]), timesteps, **text)
            cond, uncond = out[:, :3].chunk(2)
            eps = uncond + 3.0 * (cond - uncond)
            return torch.cat([torch.cat([eps, eps]), out[:, 3:]], dim=1)

        create = self.reference.create_gaussian_diffusion
        both = {key: value.repeat(2, 1) for key, value in texts[0].items()}
        side = configs[0].image_size
        small = create(1000, configs[0].noise_schedule, "100").p_sample_loop(
            guided, (2, 3, side, side), device=self.device, model_kwargs=both
        )[:1]
        large = given[1]["x"].shape
        return create(1000, configs[1].noise_schedule, "fast27").ddim_sample_loop(
            upsampler, large, device=self.device, model_kwargs={"low_res": quantize(small), **texts[1]}
        )

    def matmul_flops(self) -> float:
        """What a matrix product reaches here, in operations a second."""
        a, b = (torch.randn(MATRIX, MATRIX, device=self.device, dtype=DTYPES[self.dtype]) for _ in range(2))
        row = self.clock.row("matmul", self.dtype, lambda: a @ b, None)
        return 2 * MATRIX**3 / (row.ours / 1000)


def relative_difference(out: Tensor, exact: Tensor) -> float:
    """How far eps is off, in the channels 0..2 of both, by the norm of the exact one."""
    out, exact = out[:, :3].double(), exact[:, :3].double()
    return float((out - exact).norm() / exact.norm())


def count_flops(config: ModelConfig, batch: int) -> float:
    """The operations of one call of a U-Net, by torch's counter, on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    model = Text2Im(config, device="meta").unet
    x = torch.empty(batch, config.in_channels, config.image_size, config.image_size, device="meta")
    text = torch.empty(batch, config.text_ctx, config.xf_width, device="meta")
    y = torch.empty(batch, 4 * config.num_channels, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x, torch.empty(batch, device="meta"), text, y)
    return float(counter.get_total_flops())
