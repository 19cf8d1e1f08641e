"""How to make the embedded tiny models: ``python -m glide_core.tiny.recipes NAME FOLDER`` makes one like the shipped.

The command also makes the models of things and their judge (``thing_recipes``, ``thing_judge_recipe``), which are not
shipped yet.

The shipped models came from these stages; ``docs/tiny-models.md`` says how long that took. A recipe runs on a CPU and
on a GPU. When it was stopped and is started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..choices import SCENES
from ..models.config import TINY, TINY_NOISE_OFFSET
from ..train.options import PRECISIONS, Options, Phase
from ..train.request import FineTune, TrainingRequest
from . import clip_recipe, stages, text_lesson, thing_judge_recipe, thing_recipes, vocabulary
from .layout_lesson import LayoutLesson
from .scene_data import SceneSource
from .stages import Interrupted

NAMES = [f"tiny-{kind}" for kind in TINY]
JUDGE = "things-judge"
CLIP = "clip"
LESSON_STEPS = 700  # of the text transformer's first lesson


@dataclass(frozen=True)
class Stage:
    """One training of a recipe.

    Attributes:
        options: the numbers of the training.
        scenes: how many scenes to render ahead.
        inpaint: train an inpainting model.
        freeze_text: keep the text transformer as its first lesson left it.
        layout_weight: of the layout lesson, 0 for none.
    """

    options: Options
    scenes: int = SCENES
    inpaint: bool = False
    freeze_text: bool = False
    layout_weight: float = 0.0

    def request(self, start: Path, out: Path, *, scale: float, device: str, precision: str) -> TrainingRequest:
        """The training of this stage from a checkpoint into a folder. It goes on if it was stopped there.

        Args:
            scale, device, precision: see ``make``.
        """
        phases = tuple(dataclasses.replace(p, steps=max(1, round(scale * p.steps))) for p in self.options.phases)
        return TrainingRequest(
            start=FineTune(start),
            data=SceneSource(self.scenes),
            out=out,
            options=dataclasses.replace(self.options, phases=phases, precision=precision),
            inpaint=self.inpaint,
            freeze="text" if self.freeze_text else None,
            auxiliary=partial(LayoutLesson, weight=self.layout_weight) if self.layout_weight else None,
            device=device,
            resume=(out / "state.pt").exists(),
        )


def _base(options: Options, *, inpaint: bool = False) -> Stage:
    """A stage of a base model, with what all of them have."""
    options = dataclasses.replace(options, noise_offset=TINY_NOISE_OFFSET)
    return Stage(options, inpaint=inpaint, freeze_text=True, layout_weight=0.02)


def _upsampler(options: Options, *, inpaint: bool = False) -> Stage:
    """A stage of an upsampler; 4000 scenes of 256x256 give it crops enough."""
    return Stage(options, scenes=4000, inpaint=inpaint)


# The stages of each model follow each other. The first one starts from a model whose text transformer had its lesson,
# or for an inpainting model from the plain model.
STAGES = {
    "tiny-base": (
        _base(Options((Phase(16, 1000, 16), Phase(32, 4000, 16)), lr=2.5e-3, decay=0.15, focus=(1.2, 1.6))),
        _base(Options((Phase(None, 4000, 32),), lr=2e-3, decay=0.7, focus=(1.2, 1.4))),
        _base(Options((Phase(None, 3600, 64),), lr=2e-3, decay=0.8, focus=(1.2, 1.4), seed=1)),
    ),
    "tiny-upsample": (
        _upsampler(Options((Phase(64, 2400, 16), Phase(128, 1600, 5), Phase(256, 200, 2)), lr=2e-3, focus=(-0.3, 1.6))),
        _upsampler(Options((Phase(64, 4000, 16),), lr=1.5e-3, decay=0.9, focus=(0.5, 1.6), noise_offset=(0.26, 0.15))),
        _upsampler(
            Options(
                (Phase(256, 300, 2),),
                lr=8e-4,
                warmup=10,
                decay=0.9,
                ema=0.99,
                focus=(0.5, 1.6),
                noise_offset=(0.15,),
            )
        ),
    ),
    "tiny-base-inpaint": (
        _base(Options((Phase(None, 1600, 16),), lr=1.5e-3, decay=0.8, focus=(1.2, 1.4)), inpaint=True),
    ),
    "tiny-upsample-inpaint": (
        _upsampler(
            Options((Phase(64, 1000, 16),), lr=1e-3, decay=0.8, focus=(0.5, 1.6), noise_offset=(0.15,)), inpaint=True
        ),
    ),
}


def make(name: str, folder: Path, *, scale: float = 1.0, device: str = "auto", precision: str = "auto") -> Path:
    """Make one model in a folder, and the model it starts from where that is not there yet.

    Args:
        name: one of ``NAMES``.
        folder: for all that is made on the way, and for the result.
        scale: of the numbers of steps. With 1 they are the shipped models', more is better.
        device, precision: see ``TrainingRequest`` and ``Options``.
    Returns:
        The finished .safetensors.
    Raises:
        Interrupted: a stage was stopped, for example by Ctrl-C.
    """
    result = folder / f"{name}.safetensors"
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith("-inpaint"):
        plain = name.removesuffix("-inpaint")
        source = make(plain, folder, scale=scale, device=device, precision=precision)
    else:
        source = _with_lesson(name, folder, scale)
    return stages.run(result, source, STAGES[name], scale=scale, device=device, precision=precision)


def _with_lesson(name: str, folder: Path, scale: float) -> Path:
    """A model with random weights whose text transformer had its first lesson."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        vocabulary.write_tokenizer(tokenizer)
    taught = folder / f"{name}.text.safetensors"
    if not taught.exists():
        text_lesson.write_taught(name, taught, tokenizer, max(1, round(scale * LESSON_STEPS)))
    return taught


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make one of the embedded tiny models.")
    add = parser.add_argument
    add("name", choices=[*NAMES, *thing_recipes.MODELS, JUDGE, CLIP], help="the model to make")
    add("folder", type=Path, help="the folder for all that is made on the way, and for the result NAME.safetensors")
    add("--scale", type=float, default=1.0, help="scale of the numbers of steps (default: %(default)s)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="default: bf16 where the hardware computes in it, else fp32",
    )
    add("--scenes", choices=clip_recipe.SCENES, default="shapes", help="what the clip learns (default: %(default)s)")
    args = parser.parse_args()
    try:
        if args.name == CLIP:
            made = clip_recipe.make(
                args.folder, scenes=args.scenes, scale=args.scale, device=args.device, precision=args.precision
            )
            print(made, clip_recipe.table(made), sep="\n")
            return
        if args.name == JUDGE:
            print(thing_judge_recipe.make(args.folder, scale=args.scale, device=args.device))
            return
        maker = thing_recipes.make if args.name in thing_recipes.MODELS else make
        print(maker(args.name, args.folder, scale=args.scale, device=args.device, precision=args.precision))
    except Interrupted as interruption:
        print(f"{interruption}; the same command goes on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
