"""Photos of any size: cut squares out of them, and put the squares back."""

import dataclasses
from typing import NamedTuple

import torch
from comfy_api.latest import io, ui

from ..glide_core.editing import regions
from ..glide_core.editing.blending import BLENDS, Blend
from ..glide_core.errors import counted
from .checks import blend_error, named
from .host import feedback
from .host.squares import EACH, NEXT, WHOLE, Crop
from .schema import ADVANCED, schema

Regions = io.Custom("GLIDE_REGIONS")


class Cut(NamedTuple):
    """What GlideStitch needs to know: the pictures [B, H, W, C], their masks [B, H, W], and the squares."""

    image: torch.Tensor
    mask: torch.Tensor
    squares: list[regions.Region]


class GlideCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideCrop",
            category="inpainting",
            display_name="GLIDE Crop",
            search_aliases=["crop", "inpaint crop", "crop around mask"],
            description="Cuts a square around the mask, with some of its surroundings, out of an image of any size. "
            "GlideStitch puts the square back after it was repainted. Nothing else of the image is touched.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, of any size, or a batch of pictures."),
                io.Mask.Input(
                    "mask",
                    tooltip="What will be repainted (white). Give one mask for each image, or one for all. Several "
                    "masks for one image give a square for each of them.",
                ),
                io.Float.Input(
                    "crop_factor",
                    default=2.0,
                    min=1.0,
                    max=10.0,
                    step=0.1,
                    tooltip="The side of the square as a multiple of the mask's longer side. A larger factor shows the "
                    "model more of the surroundings, a smaller one gives finer detail.",
                ),
                io.Int.Input(
                    "size",
                    default=256,
                    min=64,
                    max=1024,
                    step=64,
                    tooltip="The side of the crop in pixels. GLIDE's upsampler paints 256.",
                ),
                io.Combo.Input(
                    "squares",
                    options=[WHOLE, EACH, NEXT],
                    default=WHOLE,
                    tooltip="whole mask cuts one square around all of the mask. each region cuts one square for every "
                    "separate part of the mask. next square is for outpainting: it cuts the square that sees most of "
                    "what is known, and you chain several such crops.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="By how many pixels the mask is made larger (expanded) before the squares are placed.",
                ),
                io.Combo.Input(
                    "interpolation",
                    **ADVANCED,
                    options=["area", "lanczos"],
                    default="area",
                    tooltip="How the square is made smaller. area keeps the colours, lanczos is sharper. A square that "
                    "is made larger always uses lanczos.",
                ),
                io.Int.Input(
                    "square_side",
                    **ADVANCED,
                    default=0,
                    min=0,
                    max=8192,
                    tooltip="For next square: the side of the square in the image, in pixels. 0 means the shorter side "
                    "of the image.",
                ),
                io.Boolean.Input(
                    "invert_mask",
                    default=False,
                    optional=True,
                    tooltip="Repaints where the mask is black. This comes before anything else.",
                ),
                io.Boolean.Input(
                    "fill_holes",
                    **ADVANCED,
                    default=False,
                    optional=True,
                    tooltip="Repaints the black parts too that white surrounds, such as the inside of an outline. This "
                    "comes before grow.",
                ),
                io.Int.Input(
                    "blur",
                    **ADVANCED,
                    default=0,
                    min=0,
                    max=256,
                    optional=True,
                    tooltip="Over how many pixels the edge of the mask fades out, after grow. Grey is repainted by "
                    "degree: the darker it is, the closer it stays to what was there.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="crop", tooltip="The squares."),
                io.Mask.Output(display_name="mask", tooltip="The mask of each square."),
                Regions.Output(
                    display_name="regions", tooltip="Where the squares came from. Connect it to GlideStitch."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        image,
        mask,
        crop_factor,
        size,
        squares,
        grow,
        interpolation,
        square_side,
        invert_mask=False,
        fill_holes=False,
        blur=0,
    ) -> io.NodeOutput:
        with named("GlideCrop"):
            crop = Crop(crop_factor, squares, grow, square_side, invert_mask, fill_holes, blur)
            several = len(image) == 1 and mask.ndim == 3 and len(mask) > 1 and squares != NEXT
            mask, specks = crop.prepared(image.expand(len(mask), -1, -1, -1) if several else image, mask)
            found = crop.placed(mask)
            if several:  # squares for each mask, all of the one picture
                found = [dataclasses.replace(square, batch_index=0) for square in found]
                mask = mask.amax(dim=0, keepdim=True)
            crops, masks = regions.cut(image, mask, found, size, interpolation)
        if specks:
            feedback.show(f"Left out of the mask: {counted(specks, 'stray pixel')}.", cls.hidden.unique_id)
        return io.NodeOutput(crops[..., :3], masks, Cut(image, mask, found))


class GlideStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideStitch",
            category="inpainting",
            display_name="GLIDE Stitch",
            search_aliases=["stitch", "paste", "uncrop", "blend", "poisson"],
            description="Puts repainted squares back into the image that GlideCrop cut them from. Outside of the mask "
            "and its feather every value stays exactly as it was.",
            inputs=[
                io.Image.Input("crop", tooltip="The repainted squares. They may have another size than before."),
                Regions.Input("regions", tooltip="The regions of the GlideCrop that cut the squares out."),
                io.Combo.Input(
                    "blend",
                    options=list(BLENDS),
                    default="feather",
                    tooltip="hard replaces exactly the masked pixels. feather fades out beyond the mask. poisson takes "
                    "the colours from the border, which hides seams; do not use it for an object that should keep its "
                    "own colours.",
                ),
                io.Int.Input(
                    "feather",
                    default=8,
                    min=0,
                    max=256,
                    tooltip="For blend feather: over how many pixels the new part fades out.",
                ),
                io.Boolean.Input(
                    "match_colours",
                    **ADVANCED,
                    default=False,
                    tooltip="Shifts the colours of the square until they agree with the image in a ring around the "
                    "mask. This is for models that change the colours of the whole square, which GLIDE does not.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="The whole picture."),
                io.Mask.Output(
                    display_name="rest", tooltip="What is still to be painted. Connect it to the next GlideCrop."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, blend):
        return blend_error(blend)

    @classmethod
    def execute(cls, crop, regions: Cut, blend, feather, match_colours) -> io.NodeOutput:
        cut = regions
        with named("GlideStitch"):
            image, rest = _stitch(crop, cut, blend, feather, match_colours)
        report = _report(cut)
        feedback.show(report, cls.hidden.unique_id)
        return io.NodeOutput(image, rest, ui=ui.PreviewText(report))


def _stitch(crops, cut: Cut, blend: str, feather: int, match_colours: bool):
    """The whole pictures, and the part of their masks that no square has painted."""
    image = regions.stitch(cut.image, cut.squares, crops, blend=Blend(blend, feather, match_colours))
    rest = cut.mask.clone()
    for square in cut.squares:
        rest[square.batch_index][square.own] = 0
    return image, rest


def _report(cut: Cut) -> str:
    count = sum(bool(square.own.any()) for square in cut.squares)
    if not count:
        return feedback.EMPTY
    return "One square was put back." if count == 1 else f"{count} squares were put back."


class GlideOutpaintPad(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        sides = ("left", "top", "right", "bottom")
        return schema(
            node_id="GlideOutpaintPad",
            category="inpainting",
            display_name="Outpaint: Add Margins (GLIDE)",
            search_aliases=["outpaint", "pad image", "extend", "uncrop"],
            description="Adds margins to an image and makes the mask with which they are repainted.",
            inputs=[
                io.Image.Input("image", tooltip="The picture that gets the margins."),
                *(
                    io.Int.Input(
                        side,
                        default=0,
                        min=0,
                        max=8192,
                        step=8,
                        tooltip=f"How many pixels are added on the {side} side.",
                    )
                    for side in sides
                ),
            ],
            outputs=[
                io.Image.Output(
                    tooltip="The picture with its margins. They mirror the picture until they are painted."
                ),
                io.Mask.Output(tooltip="The margins."),
            ],
        )

    @classmethod
    def execute(cls, image, left, top, right, bottom) -> io.NodeOutput:
        with named("GlideOutpaintPad"):
            return io.NodeOutput(*regions.pad(image, left, top, right, bottom))
