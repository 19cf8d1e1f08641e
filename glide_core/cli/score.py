"""``glide score``: how well pictures fit a text."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError
from . import clip, common, outputs

if TYPE_CHECKING:
    from torch import Tensor

AT_A_TIME = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide score``."""
    add = parser.add_argument
    add("pictures", nargs="+", type=Path, metavar="PICTURE", help="the pictures, of any size")
    add(
        "--prompt",
        metavar="TEXT",
        help="what they should show (default: the prompt that each was made with, which its file says)",
    )
    add("--json", action="store_true", help="print JSON: a list of objects with file, prompt and score")
    add("--scorer", metavar="NAME", help=clip.SCORER_HELP)
    clip.clip_option(parser)
    add("--checkpoint", choices=("tiny", "openai"), default="tiny", help="whose noised CLIP scores, without --clip")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    parser.set_defaults(dtype="fp32")


def run(args: argparse.Namespace) -> None:
    """Score the pictures and print them, the best first."""
    import torch

    if args.prompt is not None and not args.prompt.strip():
        raise OptionError("--prompt is empty: write what the pictures should show")
    prompts = [_prompt(args.prompt, path) for path in args.pictures]
    scorer = clip.scorer(args, common.compute(args))
    scores: list[float] = []
    for start in range(0, len(prompts), AT_A_TIME):
        some = slice(start, start + AT_A_TIME)
        pictures = torch.cat([_picture(path, scorer.side) for path in args.pictures[some]])
        scores += scorer.scores(pictures, prompts[some]).tolist()
    found = sorted(zip(scores, args.pictures, prompts), key=lambda each: -each[0])
    if args.json:
        rows = [{"file": str(path), "prompt": prompt, "score": round(score, 5)} for score, path, prompt in found]
        outputs.say(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for score, path, _ in found:
        outputs.say(f"{score:.4f} {path}")


def _prompt(given: str | None, path: Path) -> str:
    from ..images import read_parameters

    prompt = given or (read_parameters(path) or {}).get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise OptionError(f"--prompt: {path} does not say what it was made from: write what it should show")
    return prompt


def _picture(path: Path, side: int) -> Tensor:
    """[1, 3, side, side] in -1..1, so that pictures of all sizes go in one batch."""
    from ..diffusion.clip_guidance import resized
    from ..images import read_photo, to_channels_first

    return resized(to_channels_first(read_photo(path).pixels[..., :3]), side)
