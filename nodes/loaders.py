"""Loading GLIDE models."""

import torch
from comfy_api.latest import io

from .checks import named
from .host import files
from .schema import schema

files.register_folder()

DTYPES = {
    "auto": None,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8_e4m3fn": torch.float8_e4m3fn,
}


class GlideLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideLoader",
            display_name="Load GLIDE Model",
            description="Loads one GLIDE checkpoint from models/glide, or an embedded tiny one, and tells from its "
            "tensors whether it is a base model or an upsampler. Text to image needs one of each.",
            search_aliases=["load checkpoint", "checkpoint loader", "model", "openai"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=files.names(),
                    tooltip="The model to load. The embedded ones are tiny, know coloured shapes only, and need no "
                    "download. Published ones: `glide fetch base`, `upsample` and `vocab` into models/glide.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(DTYPES),
                    default="auto",
                    tooltip="Precision of the weights. auto: what suits your device. fp32 is exact; fp16 and bf16 take "
                    "half the memory and are faster on most GPUs; fp8_e4m3fn takes a quarter and is coarse.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The U-Net, for GlideSampler, GlideUpsampler, KSampler and the like."),
                io.Clip.Output(tooltip="This checkpoint's text transformer, for GlideTextEncode or CLIPTextEncode."),
                io.Vae.Output(tooltip="GLIDE's latents are pixels: this VAE only converts ranges, without any loss."),
            ],
        )

    @classmethod
    def execute(cls, checkpoint, dtype) -> io.NodeOutput:
        with named("GlideLoader"):
            return io.NodeOutput(*files.load(checkpoint, DTYPES[dtype]))
