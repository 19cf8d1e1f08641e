"""``glide inpaint``: repaint a part of a photo, or paint what is beyond its edges."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from .. import images
from ..diffusion.inpainting import REPAINT_PASSES
from ..editing import blending, regions
from ..editing.photo import Editor, edit, squares
from ..errors import OptionError
from ..pipeline import UPSAMPLING, Sampling
from . import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide inpaint``."""
    add = parser.add_argument
    add("input", type=Path, metavar="PHOTO", help="a picture of any size")
    add("--prompt", default="", metavar="TEXT", help="what the picture shows once it is repainted")
    add("-o", "--output", type=Path, required=True, metavar="PNG", help="the file to write")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    what = parser.add_argument_group("what to repaint").add_argument
    what("--mask", type=Path, metavar="FILE", help="a picture that is white there; grey repaints by degree")
    what("--alpha", action="store_true", help="repaint where PHOTO is transparent")
    what("--pad", type=_margins, metavar="L,T,R,B", help="add margins of so many pixels and paint them")
    what("--grow", type=common.number(0, 1000), default=0, metavar="PIXELS", help="make the mask larger (default: 0)")
    what("--each", action="store_true", help="one square for each connected region of the mask, not one for all")
    what(
        "--crop-factor",
        type=common.number(1, 100),
        default=2.0,
        metavar="FACTOR",
        help="side of the square around the mask, as a multiple of the mask's (default: %(default)s)",
    )
    what(
        "--square",
        type=common.count,
        metavar="PIXELS",
        help="with --pad: side of the overlapping squares that walk outwards (default: the photo's shorter side)",
    )
    how = parser.add_argument_group("how to repaint").add_argument
    how(
        "--hide-until",
        type=common.number(0, 1),
        default=0.0,
        metavar="PART",
        help="share of the steps for which the model does not see the surroundings. 0 (default) fits in best; 1 paints "
        "from the prompt alone, for when the prompt is ignored; between, it obeys first and fits in at the end",
    )
    how(
        "--repaint-passes",
        type=common.count,
        default=REPAINT_PASSES,
        metavar="TIMES",
        help="how often each step that decides the picture is taken while the surroundings are hidden, until both "
        "agree; 1 is fastest (default: %(default)s)",
    )
    common.old_name(what, "--context-factor", "crop_factor", common.number(1, 100))
    common.old_name(how, "--context", "hide_until", _context)
    common.old_name(how, "--resample", "repaint_passes", common.count)
    how(
        "--denoise",
        type=common.number(0.01, 1),
        default=1.0,
        metavar="PART",
        help="below 1 it starts from what is under the mask, such as a sketch (default: 1)",
    )
    how(
        "--detail",
        type=common.count,
        default=1024,
        metavar="PIXELS",
        help="longest side that is painted in full; of "
        "larger squares the repainted part is enlarged (default: %(default)s)",
    )
    how(
        "--blend",
        choices=blending.BLENDS,
        default="feather",
        help="hard keeps to the mask; feather fades out beyond "
        "it; poisson takes colours from the border (default: %(default)s)",
    )
    how("--feather", type=common.number(0, 1000), default=8, metavar="PIXELS", help="default: %(default)s")
    how("--match-colours", action="store_true", help="shift colours to agree in a ring around the mask")
    common.model_options(
        parser,
        "tiny (embedded; the default), openai (after `glide fetch base-inpaint "
        "upsample-inpaint vocab`), or the file of an inpainting base model",
    )
    add("--upsampler", metavar="FILE", help="the inpainting upsampler that belongs to the file in --checkpoint")
    common.sampling_options(
        parser, "", Sampling(), "base model", "GLIDE's published: --steps 100 --sampler ddpm --guidance-scale 5"
    )
    common.sampling_options(
        parser,
        "upsample-",
        UPSAMPLING,
        "upsampler",
        "GLIDE's published: --upsample-steps fast27 "
        "--upsample-sampler ddim --upsample-temperature 0.997 --upsample-guidance-scale 1",
    )


def run(args: argparse.Namespace) -> None:
    """Cut, repaint, enlarge and put back."""
    common.require_png("--output", args.output)
    blending.require_blend(args.blend)
    image, mask = _read(args)
    common.make_folder("--output", args.output.parent)
    walk = (args.square or min(mask.shape[1:])) if args.pad else None
    found = squares(mask, crop_factor=args.crop_factor, each=args.each, walk=walk)
    if found:
        editor = _editor(args)
        common.warn_of_cuts(editor.base, [args.prompt])
        image = edit(
            editor,
            args.prompt,
            image,
            mask,
            found,
            args.seed,
            how=args.blend,
            feather=int(args.feather),
            match=args.match_colours,
        )
    else:
        print("the mask is empty: the photo is written as it is", file=sys.stderr)
    images.write(args.output, (image[0] * 255).round().to(torch.uint8), common.parameters(args))
    print(args.output)


def _read(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """The photo [1, H, W, C] and the mask [1, H, W] in its size, both with the margins of --pad."""
    if not (args.mask or args.alpha or args.pad):
        raise OptionError("say what to repaint: --mask FILE, --alpha or --pad L,T,R,B")
    image = images.read_photo(args.input)
    mask = torch.zeros(image.shape[:3])
    if args.mask:
        mask = regions.fit(image, images.read_mask(args.mask))
    if args.alpha:
        if image.shape[-1] < 4:
            raise OptionError(f"--alpha: nothing of {args.input} is transparent")
        mask, image = torch.maximum(mask, 1 - image[..., 3]), image[..., :3]
    if args.pad:
        left, top, right, bottom = args.pad
        image, margins = regions.pad(image, *args.pad)
        margins[:, top : margins.shape[1] - bottom, left : margins.shape[2] - right] = mask
        mask = margins
    return image, regions.grow(mask, int(args.grow))


def _editor(args: argparse.Namespace) -> Editor:
    base = common.family_member(args.checkpoint, "base-inpaint") or args.checkpoint
    upsampler = args.upsampler or common.family_member(args.checkpoint, "upsample-inpaint")
    if not upsampler:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}")
    return Editor(
        common.load_stage(args, "--checkpoint", base, "base-inpaint"),
        common.load_stage(args, "--upsampler", upsampler, "upsample-inpaint"),
        common.sampling(args),
        common.sampling(args, "upsample_"),
        args.negative,
        args.hide_until,
        args.repaint_passes,
        args.denoise,
        args.detail,
        common.progress,
    )


def _context(text: str) -> float:
    """The value of the old option ``--context`` as one of ``--hide-until``."""
    return {"visible": 0.0, "hidden": 1.0}[text] if text in ("visible", "hidden") else common.number(0, 1)(text)


def _margins(text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers of pixels: left,top,right,bottom")
    return [int(part) for part in parts]
