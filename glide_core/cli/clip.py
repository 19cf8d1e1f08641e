"""Options of CLIP: guidance by a noised one, and the best of several tries."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GlideError, OptionError
from . import common

if TYPE_CHECKING:
    from torch import Tensor

    from ..diffusion.clip_guidance import ClipGuide
    from ..editing.regions import Region
    from ..scoring import Scorer

CLIPS = {"tiny": "tiny-clip", "openai": "clip"}  # of the families of models, see ``common.FAMILIES``
SCORES = "scores.json"
MOST_TRIES = 1000


def clip_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the noised CLIP."""
    parser.add_argument(
        "--clip",
        metavar="NAME|FILE",
        help="the noised CLIP for guidance and scores: tiny-clip (embedded; the default with the tiny models), clip "
        "(the default with OpenAI's, after `glide fetch clip-image-enc clip-text-enc`), or a file",
    )


def guidance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of CLIP guidance. What is not given is None, and not noted in pictures."""
    add = parser.add_argument_group(
        "CLIP guidance", "OpenAI's published: --guidance-scale 1 --clip-guidance 3"
    ).add_argument
    scale = common.number(0, 1000)
    add("--clip-guidance", type=scale, metavar="SCALE", help="how strongly CLIP guides the base model (default: 0)")
    add("--upsample-clip-guidance", type=scale, metavar="SCALE", help="the same for the upsampler (default: 0)")
    share = common.number(0, 1)
    add("--clip-from", type=share, metavar="PART", help="share of the steps after which CLIP guides (default: 0)")
    add("--clip-until", type=share, metavar="PART", help="share of the steps until which it does (default: 1)")
    add("--clip-every", type=common.count, metavar="N", help="it guides in every N-th step alone (default: 1)")
    add(
        "--clip-save-memory",
        action="store_const",
        const=True,
        help="compute CLIP's layers again for the gradient instead of keeping them",
    )


def best_options(parser: argparse.ArgumentParser, what: str, *, keep: bool = True) -> None:
    """Add the options that try several times and keep the best; what is not given is None.

    Args:
        what: is made several times.
        keep: let more than one be kept.
    """
    add = parser.add_argument_group("the best of several").add_argument
    kept = "those that fit" if keep else "the one that fits"
    add("--best-of", type=_tries, metavar="N", help=f"make {what} N times, and keep {kept} the prompt best")
    if keep:
        add("--keep", type=_tries, metavar="K", help="how many of them to keep, the best first (default: 1)")
    add("--scorer", metavar="NAME", help=SCORER_HELP)


SCORER_HELP = (
    "what tells how well a picture fits: glide-clip (default; see --clip), or open-clip:NAME, a model of the package "
    "open_clip such as open-clip:ViT-L-14, from the file NAME.safetensors or NAME.pt in ~/.cache/glide/open_clip, or "
    "open-clip:NAME:FILE"
)


def scoring_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of what scores pictures that are there already; it computes in fp32."""
    add = parser.add_argument
    add("--scorer", metavar="NAME", help=SCORER_HELP)
    clip_option(parser)
    add("--checkpoint", choices=("tiny", "openai"), default="tiny", help="whose noised CLIP scores, without --clip")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: the GPU if there is one")
    parser.set_defaults(dtype="fp32")


def _tries(text: str) -> int:
    value = common.count(text)
    if value > MOST_TRIES:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MOST_TRIES}")
    return value


def clip_name(args: argparse.Namespace) -> str:
    """Which noised CLIP the options mean."""
    return args.clip or CLIPS.get(getattr(args, "checkpoint", "tiny"), "clip")


def guiding_name(args: argparse.Namespace) -> str | None:
    """Which noised CLIP guides, None where none does."""
    return clip_name(args) if args.clip_guidance or args.upsample_clip_guidance else None


def guides(args: argparse.Namespace, where: common.Compute) -> tuple[ClipGuide | None, ClipGuide | None]:
    """What guides the base and the upsampler, None where nothing does.

    Raises:
        GlideError: an option or the noised CLIP is wrong; the message names the option.
    """
    scales = args.clip_guidance or 0.0, args.upsample_clip_guidance or 0.0
    if not any(scales):
        return None, None
    from ..device import DTYPES
    from ..diffusion.clip_guidance import ClipGuide
    from ..scoring import load_clip

    start, stop = (
        default if given is None else given for given, default in ((args.clip_from, 0.0), (args.clip_until, 1.0))
    )
    if start > stop:
        raise OptionError(f"--clip-from {start} is above --clip-until {stop}: CLIP would never guide")
    try:
        clip = load_clip(clip_name(args), device=where.device, dtype=DTYPES[where.dtype])
    except GlideError as error:
        raise OptionError(f"--clip {error}") from error
    base, upsampler = (
        ClipGuide(
            clip,
            scale=scale,
            guide_from=start,
            guide_until=stop,
            every=args.clip_every or 1,
            recompute=bool(args.clip_save_memory),
        )
        if scale
        else None
        for scale in scales
    )
    return base, upsampler


@dataclass(frozen=True)
class BestOf:
    """Several tries of which the best are kept.

    Attributes:
        tries, keep: how many.
        scorer: what compares them.
    """

    tries: int
    keep: int
    scorer: Scorer


def best_of(args: argparse.Namespace, where: common.Compute, prompts: Sequence[str]) -> BestOf | None:
    """What --best-of, --keep and --scorer ask for.

    Raises:
        GlideError: they do not fit together, a prompt is empty, or the scorer is not there.
    """
    if args.best_of is None:
        if args.keep is not None or args.scorer is not None:
            raise OptionError("--keep and --scorer choose among several tries: give --best-of N")
        return None
    if (args.keep or 1) > args.best_of:
        raise OptionError(f"--keep {args.keep} is more than --best-of {args.best_of}")
    from ..diffusion.composition import leads_somewhere

    for prompt in prompts:
        if not leads_somewhere(prompt):
            raise OptionError(
                f"--best-of compares pictures with what their prompt should show: {prompt[:40]!r} says nothing of that"
            )
    return BestOf(args.best_of, args.keep or 1, scorer(args, where))


def scorer(args: argparse.Namespace, where: common.Compute) -> Scorer:
    """The scorer of --scorer and --clip. Raises OptionError that names the option: it is not there."""
    from ..scoring import GLIDE_CLIP, load_scorer

    name = args.scorer or GLIDE_CLIP
    try:
        return load_scorer(name, clip=clip_name(args), device=where.device)
    except GlideError as error:
        raise OptionError(f"{'--clip' if name == GLIDE_CLIP else '--scorer:'} {error}") from error


def scorer_mark(args: argparse.Namespace) -> dict[str, object]:
    """What tells this scorer from others: its name and the SHA-256 of its files."""
    from ..scoring import GLIDE_CLIP, scorer_files

    name = args.scorer or GLIDE_CLIP
    files = scorer_files(name, clip_name(args))
    return {"scorer": name, "files": [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]}


@dataclass(frozen=True)
class Try:
    """One try: its seed, its score, and its file where it was kept."""

    seed: int
    score: float
    file: str | None = None

    @property
    def notes(self) -> dict[str, object]:
        """What its picture's file says of it."""
        return {"try-seed": self.seed, "score": round(self.score, 5)}


def add_scores(path: Path, name: str, tries: Sequence[Try]) -> None:
    """Write the scores of all tries of a picture into a JSON file, beside those of others, all or nothing.

    Args:
        name: of the picture's file.
    """
    from ..images import write_text_whole

    try:
        content = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # it is not there, or something else
        content = {}
    content[name] = [{"seed": each.seed, "score": round(each.score, 5), "file": each.file} for each in tries]
    write_text_whole(path, json.dumps(dict(sorted(content.items())), indent=1) + "\n")


def ranked(seeds: Sequence[int], scores: Tensor) -> list[tuple[int, Try]]:
    """All tries with their places in the batch, the best first.

    Args:
        scores: [N], of the seeds.
    """
    from ..scoring import best

    return [(k, Try(seeds[k], float(scores[k]))) for k in best(scores, len(seeds))]


def with_files(tries: Sequence[Try], paths: Sequence[Path]) -> list[Try]:
    """The same tries, of which the first ones were kept in these files."""
    return [replace(one, file=path.name) for one, path in zip(tries, paths)] + list(tries[len(paths) :])


def best_edits(
    best_of: BestOf,
    mask: Tensor,
    squares: list[Region],
    prompt: str,
    seeds: Sequence[int],
    repainted: Callable[[int], Tensor],
) -> list[tuple[Try, Tensor]]:
    """Repaint a photo with each seed. The squares that were repainted are what is scored.

    Args:
        mask: [1, H, W]; squares: parts of it.
        repainted: makes a photo [1, H, W, C] in 0..1 from a seed.
    Returns:
        The tries with their photos, the best first.
    """
    import torch

    from ..editing.photo import scored

    images = [repainted(seed) for seed in seeds]
    scores = torch.tensor([scored(best_of.scorer, image, mask, squares, prompt) for image in images])
    return [(one, images[k]) for k, one in ranked(seeds, scores)]
