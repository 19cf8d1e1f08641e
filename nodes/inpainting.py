"""Repainting a part of a picture."""

import torch
from comfy_api.latest import io, ui

from ..glide_core.diffusion.inpainting import REPAINT_PASSES, fit_mask
from ..glide_core.editing import regions
from ..glide_core.pipeline import Sampling
from .checks import named, steps_error
from .host import feedback, sampling
from .host.inpainting import inpaint
from .sampling import DEFAULTS, denoise_input, sampling_inputs
from .schema import schema

CONTEXTS = ("visible", "hidden", "hidden first")
EMPTY = "The mask is empty: nothing to repaint, the image is returned as it came."


class GlideInpaint(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideInpaint",
            display_name="GLIDE Inpaint",
            search_aliases=["inpaint", "repaint", "mask", "edit", "fill", "sketch"],
            description="Repaints the masked part of an image as the prompt says, at the model's own 64x64; every "
            "other pixel is kept. GlideCrop before and GlideStitch after it make it work on photos of any size, "
            "GlideUpsampler in between adds the detail.",
            inputs=[
                io.Model.Input("model", tooltip="A GLIDE inpainting base model."),
                io.Conditioning.Input("positive", tooltip="What the picture shows once it is repainted."),
                io.Image.Input(
                    "image", tooltip="The picture, best a square from GlideCrop. It is reduced to 64 pixels here."
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="What to repaint (white). Of any size. Grey repaints by degree: the darker, the closer to "
                    "what was there.",
                ),
                *sampling_inputs(DEFAULTS),
                io.Combo.Input(
                    "context",
                    options=list(CONTEXTS),
                    default=CONTEXTS[0],
                    tooltip="What the model sees of the surroundings. visible: fits in best, the usual choice. hidden: "
                    "paints from the prompt alone, take it when the prompt is ignored (slower: see resample). hidden "
                    "first: obeys the prompt at the start and fits in at the end.",
                ),
                io.Float.Input(
                    "visible_from",
                    default=0.4,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="With context hidden first: the part of the steps to hide the surroundings for.",
                ),
                denoise_input(
                    "1 repaints from noise. Less keeps more of what is under the mask: draw a sketch there, and 0.7 to "
                    "0.9 turns it into a painting."
                ),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What to move away from. Leave it open for GLIDE's own: nothing."
                ),
                io.Int.Input(
                    "resample",
                    default=REPAINT_PASSES,
                    min=1,
                    max=20,
                    optional=True,
                    tooltip="While the surroundings are hidden: how often each step that decides what comes is taken, "
                    "until the new part and its surroundings agree. 1 is fastest.",
                ),
            ],
            outputs=[
                io.Latent.Output(tooltip="The small picture, for GlideUpsampler."),
                io.Image.Output(tooltip="The same, to look at; with an empty mask the image as it came."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, steps):
        return steps_error(steps)

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
        context,
        visible_from,
        denoise,
        negative=None,
        resample=REPAINT_PASSES,
    ) -> io.NodeOutput:
        with named("GlideInpaint"):
            sampling.require_kind(model, "base-inpaint")
            mask = regions.fit(image, mask)
            small = shrunk(image, model.model.config)
            if not mask.any():
                return untouched(cls, sampling.from_image(small), image)
            options = Sampling(steps, sampler, guidance_scale, eta)
            hidden = {"visible": 0.0, "hidden": 1.0, "hidden first": visible_from}[context]
            latent = inpaint(
                model,
                positive,
                negative,
                sampling.from_image(small),
                fit_mask(mask[:, None], small.shape[1:3]),
                options,
                seed,
                denoise,
                hidden,
                resample,
            )
        return io.NodeOutput(latent, sampling.to_image(latent["samples"]))


def untouched(cls, samples, image) -> io.NodeOutput:
    """The outputs of a node that had nothing to do, and a line on its face that says so."""
    feedback.show(EMPTY, cls.hidden.unique_id)
    return io.NodeOutput({"samples": samples}, image, ui=ui.PreviewText(EMPTY))


def shrunk(image, config) -> torch.Tensor:
    """IMAGE with its shorter side at the model's size, the longer one at the multiple that it needs."""
    scale = config.image_size / min(image.shape[1:3])
    size = tuple(max(1, round(side * scale / config.size_multiple)) * config.size_multiple for side in image.shape[1:3])
    return torch.stack([regions.resize(picture[..., :3], size) for picture in image])
