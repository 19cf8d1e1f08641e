"""Repainting a part of a picture."""

from comfy_api.latest import io

from ..glide_core.diffusion.inpainting import REPAINT_PASSES, fit_mask
from ..glide_core.editing import regions
from ..glide_core.images import to_channels_first, to_channels_last
from ..glide_core.pipeline import Sampling
from .checks import named, steps_error, still_to_come
from .host import conditioning, feedback
from .host.images import shrink_to_model
from .host.inpainting import inpaint_latent
from .host.sampling import placed, require_kind, require_prompts
from .schema import (
    ADVANCED,
    CUSTOM,
    DEFAULTS,
    batch_index_input,
    chosen,
    denoise_input,
    negative_input,
    preset_input,
    sampling_inputs,
    schema,
)

SHRINK, CROP, REFUSE = "shrink", "crop around mask", "refuse"
PHOTO = 256  # an image with longer sides is more than a square from GlideCrop, and its user is told that it is reduced


class GlideInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideInpaint",
            category="inpainting",
            display_name="Inpaint (GLIDE)",
            search_aliases=["inpaint", "repaint", "mask", "edit", "fill", "sketch"],
            description="Repaints the masked part of an image as the prompt says, at the model's own 64x64 pixels. "
            "Every other pixel is kept. To edit a photo of any size, put GlideCrop before it, and GlideUpsampler and "
            "GlideStitch after it.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of a GLIDE inpainting base model."),
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt: what the whole picture shows once it is repainted. For several squares "
                    "GlidePrompts gives each its own.",
                ),
                io.Image.Input(
                    "image",
                    lazy=True,
                    tooltip="The picture, best a square from GlideCrop. fit says what happens to a larger one.",
                ),
                io.Mask.Input(
                    "mask",
                    lazy=True,
                    tooltip="White is repainted and black is kept. The mask may have any size. Grey is repainted by "
                    "degree: the darker it is, the closer the result stays to what was there.",
                ),
                *sampling_inputs(DEFAULTS),
                io.Float.Input(
                    "hide_until",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="The share of the steps in which the model does not see the surroundings. With 0 it always "
                    "sees them, and the new part fits in best. With 1 it paints from the prompt alone: use this if the "
                    "prompt is ignored. With a value between, such as 0.4, the prompt decides what appears and the "
                    "surroundings decide how it ends. Every value above 0 is slower, see repaint_passes.",
                ),
                denoise_input(
                    "1 repaints from noise alone. A smaller value keeps more of what is under the mask: draw a sketch "
                    "there, and 0.7 to 0.9 turns it into a painting."
                ),
                negative_input(),
                io.Int.Input(
                    "repaint_passes",
                    **ADVANCED,
                    default=REPAINT_PASSES,
                    min=1,
                    max=20,
                    optional=True,
                    tooltip="How many times the model takes each step that decides what appears, as long as the "
                    "surroundings are hidden from it. More passes make the new part agree with its surroundings; 1 is "
                    "the fastest. With hide_until 0 it has no effect.",
                ),
                batch_index_input(),
                io.Combo.Input(
                    "fit",
                    options=[SHRINK, CROP, REFUSE],
                    default=SHRINK,
                    optional=True,
                    tooltip="What to do with an image that is larger than the 64x64 pixels that the model paints. "
                    "shrink reduces the whole image. crop around mask repaints a square around the mask and puts it "
                    "back, so that the image keeps its size; the new part is enlarged from 64 pixels. For detail in a "
                    "photo put GlideCrop before this node, and GlideUpsampler and GlideStitch after it. refuse is an "
                    "error.",
                ),
                preset_input(),
            ],
            outputs=[
                io.Latent.Output(tooltip="The small picture, for GlideUpsampler."),
                io.Image.Output(
                    tooltip="The same picture as an image; with fit 'crop around mask' the whole image. If the mask is "
                    "empty, this is the image as it came."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

    @classmethod
    def check_lazy_status(cls, model, positive, negative=None, **others):
        with named("GlideInpaint"):
            require_kind(model, "base-inpaint")
            require_prompts(model, positive, negative)
        return still_to_come(others, "image", "mask")

    @classmethod
    def execute(
        cls,
        model,
        positive,
        image,
        mask,
        seed,
        steps,
        sampler,
        guidance_scale,
        eta,
        hide_until,
        denoise,
        negative=None,
        repaint_passes=REPAINT_PASSES,
        batch_index=0,
        fit=SHRINK,
        preset=CUSTOM,
    ) -> io.NodeOutput:
        with named("GlideInpaint"):
            mask, config = regions.fit(image, mask), model.model.config
            squares = regions.around(mask) if fit == CROP else []
            if squares:
                pieces, holes = regions.cut(image[..., :3], mask, squares, config.image_size)
                positive = conditioning.cut_masks(positive, image, squares, config.image_size)
                negative = conditioning.cut_masks(negative, image, squares, config.image_size) if negative else None
            else:
                pieces, holes = shrink_to_model(image, config, refuse=fit == REFUSE), mask
            small = to_channels_first(pieces)
            if not mask.any():
                return feedback.untouched(cls.hidden.unique_id, small, image)
            latent = inpaint_latent(
                model,
                positive,
                negative,
                placed({"samples": small}, batch_index),
                fit_mask(holes[:, None], (small.shape[-2], small.shape[-1])),
                chosen(Sampling(steps, sampler, guidance_scale, eta), preset),
                seed=seed,
                denoise=denoise,
                hide_until=hide_until,
                repaint_passes=repaint_passes,
            )
        painted = to_channels_last(latent["samples"])
        if squares:
            return io.NodeOutput(latent, regions.stitch(image, squares, painted))
        if min(image.shape[1:3]) > PHOTO:
            feedback.show(_shrunk(image, painted), cls.hidden.unique_id)
        return io.NodeOutput(latent, painted)


def _shrunk(image, painted) -> str:
    """What became of a photo."""
    sizes = [f"{pictures.shape[2]}x{pictures.shape[1]}" for pictures in (image, painted)]
    return (
        f"The whole image was reduced from {sizes[0]} to {sizes[1]} pixels. To keep its size, put GlideCrop before "
        f"this node and GlideStitch after it, or set fit to '{CROP}'."
    )
