"""Prompts."""

from comfy_api.latest import io, ui

from ..glide_core.diffusion.composition import Part, split_prompt
from .checks import named
from .host import feedback
from .host.text import HostTokenizer, encode, tokenizer_of
from .schema import schema

SHOWN = 40  # characters of the prompt that the report repeats


class GlideTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideTextEncode",
            category="conditioning",
            display_name="GLIDE Text Encode",
            description="Encodes a prompt with a GLIDE model's own text transformer. The node shows how many tokens "
            "the prompt has, and where it was cut if it is too long. AND and NOT join several prompts.",
            search_aliases=["prompt", "clip text encode", "positive prompt", "token count"],
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the GlideLoader whose MODEL will use the prompt."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to paint. GLIDE does not distinguish upper and lower case. An empty text means "
                    "anything; guidance moves away from it. (word:1.3) gives a word more weight, (word:0.7) less. In "
                    "'a red circle AND a blue background :0.8 NOT a heart' each part is predicted by itself, with the "
                    "weights 1, 0.8 and -1; AND and NOT count in capitals alone.",
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
            report = _report(tokenizer_of(clip), text)
            conditioning = encode(clip, text)
        feedback.show(report, cls.hidden.unique_id)
        return io.NodeOutput(conditioning, ui=ui.PreviewText(report))


def _report(tokenizer: HostTokenizer, prompt: str) -> str:
    """How many tokens a prompt has, and the first words that did not fit; a line for each part if it has several."""
    parts = split_prompt(prompt)
    if len(parts) == 1 and parts[0].weight == 1:
        return _tokens(tokenizer, parts[0])
    return "\n".join(f"{part.weight:g} x {_shortened(part.text)!r}: {_tokens(tokenizer, part)}" for part in parts)


def _tokens(tokenizer: HostTokenizer, part: Part) -> str:
    encoded, _ = tokenizer.encode(part.text)
    report = f"{encoded.count} of {len(encoded.ids)} tokens"
    cut = " ".join(encoded.cut.split())
    return f"{report}: the prompt is too long and was cut before {_shortened(cut)!r}" if cut else report


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
