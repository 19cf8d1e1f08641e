"""How to make the embedded tiny models: ``python -m glide_core.tiny.recipes NAME FOLDER`` makes one like the shipped.

The shipped ones came from these stages: ``assets/tiny/README.md`` has the times.

The same commands run on a CPU and on a GPU. A recipe that was stopped goes on where it was when it is started again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..cli import train
from ..models.config import TINY
from . import text_lesson, vocabulary

NAMES = [f"tiny-{kind}" for kind in TINY]
COMMON = "scenes --optimizer muon"
LESSON = 700  # steps of ``pretext``
SCENES = "--freeze text --layout 0.02 --noise-offset 0.15 0.15"  # what both base models have

# Stages of `glide train`, one after the other; {init} is the result of the one before, at first of the text's lesson
# or, for an inpainting model, of the plain model's recipe.
STAGES = {
    "tiny-base": [
        f"--init {{init}} {SCENES} --lr 2.5e-3 --focus 1.2 1.6 --resolution 16 32 --steps 1000 4000 --batch 16 "
        "--decay 0.15",
        f"--init {{init}} {SCENES} --lr 2e-3 --focus 1.2 1.4 --steps 4000 --batch 32 --decay 0.7",
        f"--init {{init}} {SCENES} --lr 2e-3 --focus 1.2 1.4 --steps 3600 --batch 64 --decay 0.8 --seed 1",
    ],
    "tiny-upsample": [
        "--init {init} --lr 2e-3 --focus -0.3 1.6 --scenes 4000 --resolution 64 128 256 --steps 2400 1600 200 "
        "--batch 16 5 2",
        "--init {init} --lr 1.5e-3 --focus 0.5 1.6 --noise-offset 0.26 0.15 --scenes 4000 --resolution 64 "
        "--steps 4000 --batch 16 --decay 0.9",
        "--init {init} --lr 8e-4 --ema 0.99 --focus 0.5 1.6 --noise-offset 0.15 --scenes 4000 --resolution 256 "
        "--steps 300 --batch 2 --decay 0.9 --warmup 10",
    ],
    "tiny-base-inpaint": [
        f"--init {{init}} --variant inpaint {SCENES} --lr 1.5e-3 --focus 1.2 1.4 --steps 1600 --batch 16 --decay 0.8",
    ],
    "tiny-upsample-inpaint": [
        "--init {init} --variant inpaint --lr 1e-3 --focus 0.5 1.6 --noise-offset 0.15 --scenes 4000 "
        "--resolution 64 --steps 1000 --batch 16 --decay 0.8"
    ],
}


def make(name: str, folder: Path, scale: float = 1.0, options: Sequence[str] = ()) -> Path:
    """Make one model below ``folder``, with the model it starts from where that is not there yet.

    Args:
        scale: of the numbers of steps; 1 is about what the shipped files had, more is better.
        options: of `glide train`, to add to every stage.
    Returns:
        The finished .safetensors.
    """
    result = folder / f"{name}.safetensors"
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    source = _start(name, folder, scale, options)
    for k, stage in enumerate(STAGES[name]):
        command = [*f"{COMMON} {stage}".format(init=source).split(), *options]
        source = _run(command, folder / f"{name}.{k}", scale)
    shutil.copyfile(source, result)
    return result


def _start(name: str, folder: Path, scale: float, options: Sequence[str]) -> Path:
    if name.endswith("-inpaint"):
        return make(name.removesuffix("-inpaint"), folder, scale, options)
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.exists():
        vocabulary.main(str(tokenizer))
    lesson = folder / f"{name}.text.safetensors"
    if not lesson.exists():
        text_lesson.lesson(name, lesson, tokenizer, max(1, round(scale * LESSON)))
    return lesson


def _run(command: Sequence[str], out: Path, scale: float) -> Path:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args([*command, "--out", str(out)])
    args.steps = [max(1, round(scale * steps)) for steps in args.steps]
    args.resume = (out / "state.pt").exists()
    train.run(args)
    (result,) = out.glob("*.safetensors")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Other options are those of `glide train`, added to every stage."
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("folder", type=Path, help="for all that is made on the way, and the result NAME.safetensors")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of steps (default: 1)")
    args, options = parser.parse_known_args()
    print(make(args.name, args.folder, args.scale, options))


if __name__ == "__main__":
    main()
