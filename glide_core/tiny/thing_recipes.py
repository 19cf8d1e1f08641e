"""How to make the models that draw things; ``recipes`` is the command for it.

There are two: an inpainting base and an inpainting upsampler. The plain models are slices of them (``text2im``'s
``without_inpaint_inputs``), because erasing everything is a large share of what they are shown.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..diffusion.schedule import NoiseSchedule
from ..files import checkpoints
from ..models.config import TINY_UPSAMPLE, ModelConfig
from ..models.text2im import Text2Im
from ..models.tokenizer import Tokenizer
from ..train.initial import initialise
from ..train.options import Options, Phase
from ..train.request import FineTune, TrainingRequest
from . import stages, thing_text_lesson, thing_vocabulary
from .thing_data import ThingSource
from .thing_layout_lesson import ThingLayout
from .thing_loss import ThingLoss
from .thing_masks import random_masks

LESSON_STEPS = 2000  # of the text transformer
BASE = ModelConfig(
    num_channels=32,
    num_res_blocks=1,
    channel_mult=(1, 2, 4, 6),
    attention_resolutions=(16, 8),
    num_head_channels=32,
    norm_groups=4,  # of 8 channels and more: smaller groups normalise flat colours away
    text_ctx=32,
    xf_width=192,
    xf_layers=3,
    xf_heads=4,
    vocab_size=thing_vocabulary.VOCAB_SIZE,
    inpaint=True,
)
UPSAMPLE = dataclasses.replace(
    TINY_UPSAMPLE, xf_width=128, text_ctx=BASE.text_ctx, vocab_size=BASE.vocab_size, inpaint=True
)
MODELS = {"things-base": BASE, "things-upsample": UPSAMPLE}
PROMPTS = (
    "a 3d picture of a hedgehog on grass",
    "a cartoon of a strawberry on a white background",
    "pixel art of a rocket at night",
    "an oil painting of a castle in the sky",
    "a pencil sketch of an elephant on a yellow background",
    "a 3d picture of a lemon next to a guitar on a blue background",
    "an animal on grass",
    "a small yellow star above a blue square on a green background",
)


@dataclass(frozen=True)
class Stage:
    """One training; see ``stages.Stage``.

    Attributes:
        options: the numbers of the training; ``focus`` is for the model's own size.
        spread, variance: see ``ThingLoss``.
        layout_weight: of the layout lesson, 0 for none.
    """

    options: Options
    spread: float = 0.05
    variance: float = 0.0
    layout_weight: float = 0.0

    def request(self, start: Path, out: Path, *, scale: float, device: str, precision: str) -> TrainingRequest:
        """See ``stages.Stage.request``."""
        phases = tuple(dataclasses.replace(p, steps=max(1, round(scale * p.steps))) for p in self.options.phases)
        return TrainingRequest(
            start=FineTune(start),
            data=ThingSource(),
            out=out,
            options=dataclasses.replace(self.options, phases=phases, precision=precision),
            freeze="text",
            auxiliary=partial(ThingLayout, weight=self.layout_weight) if self.layout_weight else None,
            objective=self.objective,
            masks=random_masks if self.layout_weight else None,  # an upsampler's crops hide where things are
            prompts=PROMPTS,
            device=device,
            resume=(out / "state.pt").exists(),
        )

    def objective(self, config: ModelConfig, device: torch.device) -> ThingLoss:
        """What the stage minimises."""
        focus = self.options.focus
        assert focus is not None, "every stage says where its noise levels are"
        return ThingLoss(
            NoiseSchedule(config.noise_schedule),
            device,
            side=config.image_size if not config.low_res else self.options.phases[-1].side(config),
            focus=focus,
            offset=self.options.noise_offset,
            spread=self.spread,
            variance=self.variance,
        )


# The first stage of the base learns what things look like, most of it at 32x32, where a picture costs a quarter; the
# second cleans up grain at little noise and learns the variance.
STAGES = {
    "things-base": (
        Stage(
            Options(
                (Phase(16, 2400, 128), Phase(32, 30000, 64), Phase(64, 10000, 32)),
                lr=2e-3,
                decay=0.1,
                ema=0.999,
                caption_dropout=0.1,
                focus=(1.0, 1.4),
                noise_offset=(0.15, 0.15),
            ),
            layout_weight=0.02,
        ),
        Stage(
            Options(
                (Phase(None, 4000, 32),),
                lr=6e-4,
                decay=0.8,
                ema=0.999,
                caption_dropout=0.1,
                focus=(-0.3, 1.4),
                noise_offset=(0.1,),
                seed=1,
            ),
            variance=0.01,
            layout_weight=0.02,
        ),
    ),
    "things-upsample": (
        Stage(
            Options(
                (Phase(64, 12000, 16), Phase(128, 3000, 5)),
                lr=2e-3,
                ema=0.999,
                focus=(-0.3, 1.6),
                noise_offset=(0.26, 0.15),
            )
        ),
        Stage(
            Options(
                (Phase(None, 600, 2),),
                lr=8e-4,
                warmup=10,
                decay=0.9,
                ema=0.99,
                focus=(0.0, 1.6),
                noise_offset=(0.15,),
            ),
            variance=0.01,
        ),
    ),
}


def make(name: str, folder: Path, *, scale: float = 1.0, device: str = "auto", precision: str = "auto") -> Path:
    """Make one of ``MODELS`` in a folder; arguments and results as ``recipes.make`` has them."""
    result = folder / f"{name}.safetensors"
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    source = _with_lesson(name, folder, scale)
    return stages.run(result, source, STAGES[name], scale=scale, device=device, precision=precision)


def _with_lesson(name: str, folder: Path, scale: float) -> Path:
    """A model with random weights whose text transformer had its first lesson."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        thing_vocabulary.write_tokenizer(tokenizer)
    taught = folder / f"{name}.text.safetensors"
    if not taught.exists():
        torch.manual_seed(0)
        model = Text2Im(MODELS[name])
        initialise(model)
        steps = max(1, round(scale * LESSON_STEPS))
        thing_text_lesson.teach(model, Tokenizer.from_file(tokenizer, model.config.text_ctx), steps=steps)
        checkpoints.save(model.state_dict(), model.config, taught)
    return taught
