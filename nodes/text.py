"""Prompts."""

from comfy_api.latest import io, ui

from .checks import named
from .host import feedback
from .host.text import tokenizer_of
from .schema import schema


class GlideTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideTextEncode",
            display_name="GLIDE Text Encode",
            description="Encodes a prompt with a GLIDE model's own text transformer, and says on the node how many "
            "tokens it has and what did not fit.",
            search_aliases=["prompt", "clip text encode", "positive prompt", "token count"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the GlideLoader whose MODEL will use the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to paint. Case does not matter. Empty is GLIDE's unconditional: anything. "
                    "(word:1.3) gives a word more weight, (word:0.7) less.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For positive or negative. GlideUpsampler takes it as it is too.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip, text) -> io.NodeOutput:
        with named("GlideTextEncode"):
            encoded, _ = tokenizer_of(clip).encode(text)
        report = f"{encoded.count} of {len(encoded.ids)} tokens"
        if encoded.cut:
            report += f", cut: {encoded.cut[:200]}"
        feedback.show(report, cls.hidden.unique_id)
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        return io.NodeOutput(conditioning, ui=ui.PreviewText(report))
