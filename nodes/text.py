"""Prompts."""

from comfy_api.latest import io, ui

from .checks import named
from .host import feedback
from .host.text import tokenizer_of
from .schema import schema

SHOWN = 40  # characters of what was cut that the report shows


class GlideTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideTextEncode",
            display_name="GLIDE Text Encode",
            description="Encodes a prompt with a GLIDE model's own text transformer. The node shows how many tokens "
            "the prompt has, and where it was cut if it is too long.",
            search_aliases=["prompt", "clip text encode", "positive prompt", "token count"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the GlideLoader whose MODEL will use the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to paint. GLIDE does not distinguish upper and lower case. An empty text means "
                    "anything; guidance moves away from it. (word:1.3) gives a word more weight, (word:0.7) less.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    tooltip="Connect it to positive or negative. GlideUpsampler takes the same prompt."
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip, text) -> io.NodeOutput:
        with named("GlideTextEncode"):
            encoded, _ = tokenizer_of(clip).encode(text)
        report = _report(encoded)
        feedback.show(report, cls.hidden.unique_id)
        conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        return io.NodeOutput(conditioning, ui=ui.PreviewText(report))


def _report(encoded) -> str:
    """How many tokens a prompt has, and the first words that did not fit."""
    report = f"{encoded.count} of {len(encoded.ids)} tokens"
    cut = " ".join(encoded.cut.split())
    if not cut:
        return report
    shown = cut if len(cut) <= SHOWN else f"{cut[:SHOWN]}..."
    return f"{report}: the prompt is too long and was cut before {shown!r}"
