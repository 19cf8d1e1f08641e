"""``glide inpaint``: repaint a part of a photo, or paint what is beyond its edges."""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..choices import BLENDS, REPAINT_PASSES
from ..diffusion.options import UPSAMPLING, Sampling
from ..errors import GlideWarning, ImageError, OptionError, counted
from . import clip, common, outputs, words
from .preset import preset_option

if TYPE_CHECKING:
    from torch import Tensor

    from ..editing import regions
    from ..editing.photo import Editor
    from ..images import Photo

SHAPE_TOLERANCE = 0.02  # of the logarithm of the sides' ratio: rounding of small pictures stays below it
NEARLY_ALL = 0.9  # share of a photo; who repaints more has mostly swapped black and white


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide inpaint``."""
    add = parser.add_argument
    add("input", type=Path, metavar="PHOTO", help="a picture of any size")
    add("--prompt", default="", metavar="TEXT", help="what the picture shows once it is repainted")
    outputs.output_options(parser, "the .png, .jpg or .webp file to write")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    what = parser.add_argument_group("what to repaint").add_argument
    what("--mask", type=Path, metavar="FILE", help="a picture that is white there; grey repaints by degree")
    what("--invert-mask", action="store_true", help="repaint where the mask is black")
    what("--keep-specks", action="store_true", help="repaint stray pixels of the mask, too")
    what("--alpha", action="store_true", help="repaint where PHOTO is transparent")
    what("--pad", type=_margins, metavar="L,T,R,B", help="add margins of so many pixels and paint them")
    what("--grow", type=common.number(0, 1000), default=0, metavar="PIXELS", help="make the mask larger (default: 0)")
    what("--fill-holes", action="store_true", help="repaint what the mask surrounds, too")
    what(
        "--blur",
        type=common.number(0, 1000),
        default=0,
        metavar="PIXELS",
        help="fade the edge of the mask over so many pixels (default: 0)",
    )
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
        type=_square_side,
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
        choices=BLENDS,
        default="feather",
        help="hard keeps to the mask; feather fades out beyond "
        "it; poisson takes colours from the border (default: %(default)s)",
    )
    how("--feather", type=common.number(0, 1000), default=8, metavar="PIXELS", help="default: %(default)s")
    how("--match-colours", action="store_true", help="shift colours to agree in a ring around the mask")
    common.model_options(
        parser,
        "tiny (embedded; the default), openai (after `glide fetch base-inpaint "
        "upsample-inpaint`), or the file of an inpainting base model",
    )
    add("--upsampler", metavar="FILE", help="the inpainting upsampler that belongs to the file in --checkpoint")
    common.reference_option(parser)
    preset_option(parser, base="", upsampler="upsample-")
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
    clip.clip_option(parser)
    clip.guidance_options(parser)
    clip.best_options(parser, "the edit")


@dataclass(frozen=True)
class Subject:
    """What is edited.

    Attributes:
        photo: the file, for its metadata.
        image: [1, H, W, 3 or 4] in 0..1, with margins where some were asked for.
        mask: [1, H, W] in 0..1, 1 = repaint.
        squares: the parts to repaint, one after the other.
    """

    photo: Photo
    image: Tensor
    mask: Tensor
    squares: list[regions.Region]


def run(args: argparse.Namespace) -> None:
    """Cut, repaint, enlarge and put back, --batch times."""
    import torch

    from ..diffusion.noise import picture_seeds
    from ..editing.blending import Blend
    from ..editing.photo import edit

    if args.best_of is not None and args.batch > 1:
        raise OptionError("give either --batch or --best-of, whose --keep says how many pictures are written")
    tries = outputs.tries(args, args.keep or args.batch)
    blend = Blend(args.blend, int(args.feather), args.match_colours)
    subject = _subject(args)
    _require_no_loss_of_transparency(subject.image, args.output)
    where = common.compute(args)
    _require_memory(subject)
    names = {"checkpoint": _base_name, "upsampler": _upsampler_name, "clip": clip.guiding_name}
    recorded = common.parameters(args, where, {n: of(args) for n, of in names.items()} if subject.squares else {})
    editor = _editor(args, where) if subject.squares else None
    if editor is None:
        outputs.note("the mask is empty: the photo is written as it is")
    else:
        common.warn_of_cuts(editor.base, [args.prompt])
        words.warn_of_unknown(_base_name(args), common.texts_of([args.prompt]))
    best_of = clip.best_of(args, where, [args.prompt])

    def repainted(seed: int) -> Tensor:
        if editor is None:
            return subject.image
        return edit(editor, args.prompt, subject.image, subject.mask, subject.squares, seed=seed, blend=blend)

    def write(path: Path, image: Tensor, notes: dict[str, object]) -> None:
        pixels = (image[0] * 255).round().to(torch.uint8)
        outputs.write_picture(path, pixels, {**recorded, **notes}, subject.photo.metadata)

    if best_of is not None and editor is not None:
        found = clip.best_edits(
            best_of, subject.mask, subject.squares, args.prompt, picture_seeds(args.seed, best_of.tries), repainted
        )
        scores = args.output.with_name(f"{args.output.stem}.{clip.SCORES}")
        clip.add_scores(scores, args.output.name, clip.with_files([one for one, _ in found], tries))
        for path, (one, image) in zip(tries, found):
            write(path, image, {"seed": args.seed, **one.notes})
        outputs.say(scores)
        outputs.write_sheet_of(args.sheet, tries, [one.seed for one, _ in found[: len(tries)]])
        return
    seeds = picture_seeds(args.seed, len(tries))
    for path, seed in zip(tries, seeds):
        write(path, repainted(seed), {"seed": seed})
    outputs.write_sheet_of(args.sheet, tries, seeds)


def _subject(args: argparse.Namespace) -> Subject:
    """Read the photo and the mask. Both get the margins of --pad."""
    import torch

    from ..editing import regions
    from ..editing.photo import squares
    from ..images import read_photo

    if not (args.mask or args.alpha or args.pad):
        raise OptionError("say what to repaint: --mask FILE, --alpha or --pad L,T,R,B")
    if args.square and not args.pad:
        raise OptionError(
            "--square is for the margins of --pad: give --pad L,T,R,B, or --crop-factor for the square around a mask"
        )
    photo = read_photo(args.input)
    image, mask = photo.pixels, torch.zeros(photo.pixels.shape[:3])
    if args.mask:
        mask = _fitted_mask(args, photo)
    if args.alpha:
        if image.shape[-1] < 4:
            raise ImageError(f"--alpha: nothing of {args.input} is transparent")
        mask, image = torch.maximum(mask, regions.clean(1 - image[..., 3])), image[..., :3]
    mask = _without_specks(mask, args.keep_specks)
    if args.pad:
        left, top, right, bottom = args.pad
        height, width = image.shape[1] + top + bottom, image.shape[2] + left + right
        _require_photo_memory(f"--pad: a photo of {width}x{height}", width * height)
        image, margins = regions.pad(image, left, top, right, bottom)
        margins[:, top : height - bottom, left : width - right] = mask
        mask = margins
    mask = regions.fill_holes(mask) if args.fill_holes else mask
    mask = regions.blur(regions.grow(mask, int(args.grow)), int(args.blur))
    walk = (args.square or min(mask.shape[1:])) if args.pad else None
    return Subject(photo, image, mask, squares(mask, crop_factor=args.crop_factor, each=args.each, walk=walk))


def _fitted_mask(args: argparse.Namespace, photo: Photo) -> Tensor:
    """The mask of --mask in the photo's size. Warns where its shape is another, or nearly all is masked."""
    from ..editing import regions
    from ..images import read_mask

    mask = read_mask(args.mask, photo)
    if args.invert_mask:
        mask = 1 - mask
    (height, width), (mask_height, mask_width) = photo.pixels.shape[1:3], mask.shape[1:]
    if abs(math.log(width * mask_height / (height * mask_width))) > SHAPE_TOLERANCE:
        text = f"--mask {args.mask} is {mask_width}x{mask_height}, it is stretched to the photo's {width}x{height}"
        warnings.warn(text, GlideWarning, stacklevel=2)
    mask = regions.fit(photo.pixels, mask)
    share = float((mask > 0).float().mean())
    if share > NEARLY_ALL:
        text = (
            f"--mask {args.mask} repaints {share:.0%} of the photo: give --invert-mask if its black is to be repainted"
        )
        warnings.warn(text, GlideWarning, stacklevel=2)
    return mask


def _without_specks(mask: Tensor, keep: bool) -> Tensor:
    from ..editing import regions

    if keep:
        return mask
    mask, count = regions.without_specks(mask)
    if count:
        text = f"left out of the mask: {counted(count, 'stray pixel')} beside its largest part (--keep-specks)"
        warnings.warn(text, GlideWarning, stacklevel=2)
    return mask


def _require_no_loss_of_transparency(image: Tensor, output: Path) -> None:
    from ..images import FORMATS

    if image.shape[-1] == 4 and FORMATS[output.suffix.lower()] == "JPEG":
        raise OptionError(f"--output {output}: the photo is transparent in parts, which JPEG cannot hold: choose .png")


def _require_memory(subject: Subject) -> None:
    height, width = subject.image.shape[1:3]
    _require_photo_memory(f"a photo of {width}x{height}", height * width)
    for square in subject.squares:
        _require_photo_memory(f"a square of {square.side}x{square.side}", square.side**2)


def _require_photo_memory(what: str, pixels: int) -> None:
    import torch

    from .. import memory

    memory.require(what, pixels * memory.PHOTO_BYTES_A_PIXEL, torch.device("cpu"))


def _editor(args: argparse.Namespace, where: common.Compute) -> Editor:
    from ..editing.photo import Editor

    guide, upsample_guide = clip.guides(args, where)
    if (guide or upsample_guide) and not args.prompt.strip():
        raise OptionError("--clip-guidance leads towards the prompt: give --prompt TEXT")
    editor = Editor(
        base=common.load_stage(where, "--checkpoint", _base_name(args), "base-inpaint"),
        upsampler=common.load_stage(where, "--upsampler", _upsampler_name(args), "upsample-inpaint"),
        sampling=common.sampling(args),
        upsampling=common.sampling(args, "upsample_"),
        negative=args.negative,
        hide_until=args.hide_until,
        repaint_passes=args.repaint_passes,
        denoise=args.denoise,
        detail=args.detail,
        clip=guide,
        upsample_clip=upsample_guide,
        progress=common.progress,
    )
    common.pictures_at_a_time([editor.base, editor.upsampler], [editor.sampling, editor.upsampling], 1, [args.prompt])
    return editor


def _base_name(args: argparse.Namespace) -> str:
    return common.family_member(args.checkpoint, "base-inpaint") or args.checkpoint


def _upsampler_name(args: argparse.Namespace) -> str:
    upsampler = args.upsampler or common.family_member(args.checkpoint, "upsample-inpaint")
    if not upsampler:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}")
    return str(upsampler)


def _context(text: str) -> float:
    """The value of the old option ``--context`` as one of ``--hide-until``."""
    return {"visible": 0.0, "hidden": 1.0}[text] if text in ("visible", "hidden") else common.number(0, 1)(text)


def _square_side(text: str) -> int:
    from ..editing.regions import MIN_SIDE

    side = common.count(text)
    if side < MIN_SIDE:
        raise argparse.ArgumentTypeError(f"{text!r} is too small, a square has {MIN_SIDE} pixels or more")
    return side


def _margins(text: str) -> list[int]:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.strip().isdecimal() and len(part.strip()) < 8 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not four numbers of pixels: left,top,right,bottom")
    return [int(part) for part in parts]
