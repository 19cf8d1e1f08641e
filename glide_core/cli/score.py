"""``glide score``: how well pictures fit a text, single ones or the shards of ``glide batch``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GlideError, OptionError
from . import clip, common, outputs

if TYPE_CHECKING:
    from torch import Tensor

AT_A_TIME = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide score``."""
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        metavar="PICTURE|SHARDS",
        help="pictures of any size; or shards, each scored by the prompts in it: the folder of a `glide batch`, a "
        "folder of .tar files, or a .tar file. Their scores go into the folder scores beside them",
    )
    add(
        "--prompt",
        metavar="TEXT",
        help="what the pictures should show (default: the prompt that each was made with, which its file says)",
    )
    add(
        "--json",
        action="store_true",
        help="print JSON: a list of objects with file, prompt and score; of shards an object that sums them up",
    )
    clip.scoring_options(parser)


def run(args: argparse.Namespace) -> None:
    """Score the pictures and print them, the best first; or score shards, and print what sums their scores up."""
    shards = [source for source in args.sources if _are_shards(source)]
    if shards:
        others = [source for source in args.sources if source not in shards]
        if others or args.prompt is not None:
            raise OptionError(
                f"{shards[0]}: shards have their prompts: give no "
                f"{'--prompt' if args.prompt is not None else 'single pictures such as ' + others[0]} beside them, or "
                f"single pictures alone, such as {shards[0]}/*.png"
            )
        _score_shards(args, shards)
        return
    _score_pictures(args, [Path(source) for source in args.sources])


def _are_shards(source: str) -> bool:
    return "://" in source or source.lower().endswith(".tar") or Path(source).is_dir()


def _score_shards(args: argparse.Namespace, sources: list[str]) -> None:
    from tqdm import tqdm

    from ..batch.scores import Summary, score_shards

    scorer = clip.scorer(args, common.compute(args))  # what is wrong with it is told first
    mark = clip.scorer_mark(args)
    summary = Summary()
    for source in sources:
        try:
            for _, table in tqdm(score_shards(source, scorer, mark), f"scoring {source}", unit="shard"):
                summary.add(table)
        except GlideError:
            raise
        except OSError as error:
            reason = f"{source}: {error.strerror}" if error.strerror else error  # which names its place
            raise GlideError(
                f"{reason}; the shards that are scored are kept, and the same command goes on with the others"
            ) from error
    found = summary.to_dict()
    if args.json:
        outputs.say(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for name, value in found.items():
        if name != "lowest":
            outputs.say(f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}")
    for one in found["lowest"]:
        outputs.say(f"{one['score']:.4f} {one['id']}: {one['prompt']}")


def _score_pictures(args: argparse.Namespace, paths: list[Path]) -> None:
    import torch

    if args.prompt is not None and not args.prompt.strip():
        raise OptionError("--prompt is empty: write what the pictures should show")
    prompts = [_prompt(args.prompt, path) for path in paths]
    scorer = clip.scorer(args, common.compute(args))
    scores: list[float] = []
    for start in range(0, len(prompts), AT_A_TIME):
        some = slice(start, start + AT_A_TIME)
        pictures = torch.cat([_picture(path, scorer.side) for path in paths[some]])
        scores += scorer.scores(pictures, prompts[some]).tolist()
    found = sorted(zip(scores, paths, prompts), key=lambda each: -each[0])
    if args.json:
        rows = [{"file": str(path), "prompt": prompt, "score": round(score, 5)} for score, path, prompt in found]
        outputs.say(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    for score, path, _ in found:
        outputs.say(f"{score:.4f} {path}")


def _prompt(given: str | None, path: Path) -> str:
    from ..images import read_parameters

    if not path.exists():
        raise OptionError(f"{path} does not exist")
    prompt = given or (read_parameters(path) or {}).get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise OptionError(f"--prompt: {path} does not say what it was made from: write what it should show")
    return prompt


def _picture(path: Path, side: int) -> Tensor:
    """[1, 3, side, side] in -1..1, so that pictures of all sizes go in one batch."""
    from ..diffusion.clip_guidance import resized
    from ..images import read_photo, to_channels_first

    return resized(to_channels_first(read_photo(path).pixels[..., :3]), side)
