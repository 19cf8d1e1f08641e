"""Loading GLIDE models."""

from comfy_api.latest import io

from .checks import named
from .host.loader import checkpoint_names, checkpoint_path, load_checkpoint, register_folder
from .schema import DTYPES, schema

register_folder()


class GlideLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideLoader",
            category="loaders",
            display_name="Load GLIDE Model",
            description="Loads one GLIDE checkpoint, either from models/glide or one of the embedded tiny ones. It "
            "tells from the tensors whether the checkpoint is a base model or an upsampler. Text to image needs one of "
            "each.",
            search_aliases=["load checkpoint", "checkpoint loader", "model", "openai"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=checkpoint_names(),
                    tooltip="The model to load. The embedded models need no download; they are tiny and know coloured "
                    "shapes only. For a model of OpenAI's that is not downloaded, this node shows a Download button.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(DTYPES),
                    default="auto",
                    tooltip="The precision of the weights. auto lets ComfyUI choose what suits your device. fp32 is "
                    "exact. fp16 and bf16 take half the memory and are faster on most GPUs. fp8_e4m3fn takes a quarter "
                    "of the memory and is less exact.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The U-Net, for GlideSampler, GlideUpsampler, KSampler and other samplers."),
                io.Clip.Output(tooltip="The checkpoint's text transformer, for GlideTextEncode or CLIPTextEncode."),
                io.Vae.Output(
                    tooltip="Converts between LATENT and IMAGE. GLIDE's latents are pixels, so nothing is lost."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint):
        if checkpoint is None:  # the name comes from another node
            return True
        try:
            checkpoint_path(checkpoint)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, checkpoint, dtype) -> io.NodeOutput:
        with named("GlideLoader"):
            return io.NodeOutput(*load_checkpoint(checkpoint, DTYPES[dtype]))
