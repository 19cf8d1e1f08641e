"""Photos of any size: cut a square out, put it back."""

import itertools
from typing import NamedTuple

import torch
from comfy_api.latest import io, ui

from ..glide_core.editing import regions
from ..glide_core.editing.blending import BLENDS
from .checks import blend_error, named
from .host import feedback
from .schema import schema

Regions = io.Custom("GLIDE_REGIONS")
WHOLE, EACH, NEXT = "whole mask", "each region", "next square"


class Cut(NamedTuple):
    """What GlideStitch needs to know: the pictures [B, H, W, C], their masks [B, H, W], and the squares."""

    image: torch.Tensor
    mask: torch.Tensor
    regions: list


class GlideCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideCrop",
            display_name="GLIDE Crop",
            search_aliases=["crop", "inpaint crop", "crop around mask"],
            description="Cuts a square around the mask out of an image of any size, with some of its surroundings. "
            "GlideStitch puts it back after it was repainted. Nothing else of the image is touched.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, of any size, or a batch."),
                io.Mask.Input("mask", tooltip="What will be repainted (white); one for each image, or one for all."),
                io.Float.Input(
                    "context_factor",
                    default=2.0,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Side of the square as a multiple of the mask's: more shows the model more of the "
                    "surroundings, less paints finer detail.",
                ),
                io.Int.Input(
                    "size",
                    default=256,
                    min=64,
                    max=1024,
                    step=64,
                    tooltip="Side of the crop in pixels. 256 is what GLIDE's upsampler paints.",
                ),
                io.Combo.Input(
                    "squares",
                    options=[WHOLE, EACH, NEXT],
                    default=WHOLE,
                    tooltip="whole mask: one square around all of it. each region: one for every separate part of the "
                    "mask. next square: for outpainting, the square that sees most of what is known; chain several.",
                ),
                io.Int.Input(
                    "grow", default=0, min=0, max=256, tooltip="Make the mask larger by so many pixels first."
                ),
                io.Combo.Input(
                    "resampling",
                    options=["area", "lanczos"],
                    default="area",
                    tooltip="How to make the square smaller: area is true to colours, lanczos is sharper.",
                ),
                io.Int.Input(
                    "square_side",
                    default=0,
                    min=0,
                    max=8192,
                    tooltip="With next square: its side in the image, in pixels. 0 is the shorter side of the image.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="crop", tooltip="The squares."),
                io.Mask.Output(display_name="mask", tooltip="The mask of each."),
                Regions.Output(display_name="regions", tooltip="For GlideStitch: where they came from."),
            ],
        )

    @classmethod
    def execute(cls, image, mask, context_factor, size, squares, grow, resampling, square_side) -> io.NodeOutput:
        with named("GlideCrop"):
            mask = regions.grow(regions.fit(image, mask), grow)
            found = _next(mask, square_side) if squares == NEXT else []
            found = found or regions.around(mask, context_factor, squares == EACH)
            crops, masks = regions.cut(image, mask, found, size, resampling)
        return io.NodeOutput(crops[..., :3], masks, Cut(image, mask, found))


def _next(mask, side: int) -> list:
    if len(mask) > 1:
        raise ValueError("image is a batch: next square works on one image at a time")
    side = side or min(mask.shape[1:])
    return list(itertools.islice(regions.walk(mask, side, side // 2), 1))


class GlideStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideStitch",
            display_name="GLIDE Stitch",
            search_aliases=["stitch", "paste", "uncrop", "blend", "poisson"],
            description="Puts repainted squares back into the image that GlideCrop cut them from. Outside of the mask "
            "(and its feather) every value stays exactly what it was.",
            inputs=[
                io.Image.Input("crop", tooltip="The repainted squares, of any size."),
                Regions.Input("regions", tooltip="From GlideCrop."),
                io.Combo.Input(
                    "blend",
                    options=list(BLENDS),
                    default="feather",
                    tooltip="hard: the mask exactly. feather: fades out beyond the mask. poisson: takes the colours "
                    "from the border, which hides seams; not for an object that should keep its own colours.",
                ),
                io.Int.Input(
                    "feather", default=8, min=0, max=256, tooltip="With blend feather: over how many pixels to fade."
                ),
                io.Boolean.Input(
                    "match_colours",
                    default=False,
                    tooltip="Shift the colours so that they agree in a ring around the mask: for models that change "
                    "the colours of the whole crop. GLIDE's do not.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="The whole picture."),
                io.Mask.Output(display_name="rest", tooltip="What is still to be painted, for the next GlideCrop."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, blend):
        return blend_error(blend)

    @classmethod
    def execute(cls, crop, regions: Cut, blend, feather, match_colours) -> io.NodeOutput:
        with named("GlideStitch"):
            image, rest = _stitched(crop, regions, blend, feather, match_colours)
        report = f"{sum(bool(region.own.any()) for region in regions.regions)} squares put back"
        if not regions.mask.any():
            report = "The mask is empty: the image is returned as it came."
        feedback.show(report, cls.hidden.unique_id)
        return io.NodeOutput(image, rest, ui=ui.PreviewText(report))


def _stitched(crops, cut: Cut, blend, feather, match):
    image = regions.stitch(cut.image, cut.regions, crops, how=blend, feather=feather, match=match)
    rest = cut.mask.clone()
    for region in cut.regions:
        rest[region.batch_index][region.own] = 0
    return image, rest


class GlideOutpaintPad(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        sides = ("left", "top", "right", "bottom")
        return schema(
            node_id="GlideOutpaintPad",
            display_name="GLIDE Pad for Outpainting",
            search_aliases=["outpaint", "pad image", "extend", "uncrop"],
            description="Adds margins to an image and gives the mask that has them repainted.",
            inputs=[
                io.Image.Input("image", tooltip="The picture to enlarge."),
                *(
                    io.Int.Input(side, default=0, min=0, max=8192, step=8, tooltip=f"Pixels to add on the {side}.")
                    for side in sides
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="The picture with margins, which mirror it until they are painted."),
                io.Mask.Output(tooltip="The margins."),
            ],
        )

    @classmethod
    def execute(cls, image, left, top, right, bottom) -> io.NodeOutput:
        with named("GlideOutpaintPad"):
            return io.NodeOutput(*regions.pad(image, left, top, right, bottom))
