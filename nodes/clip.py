"""GLIDE's noised CLIP: it guides a MODEL, scores images, and picks the best of them."""

from comfy_api.latest import io

from ..glide_core.diffusion.clip_guidance import ClipGuide
from ..glide_core.diffusion.noise import picture_seed
from .checks import named
from .host import clip as host
from .host.feedback import show
from .host.pictures import sheet
from .judges import GlideClip, clip_input, judge_inputs, judged
from .schema import DTYPES, schema


def text_input(tooltip: str) -> io.Input:
    return io.String.Input("text", multiline=True, tooltip=tooltip)


class GlideCLIPLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideCLIPLoader",
            category="clip",
            display_name="Load GLIDE Noised CLIP",
            description="Loads the CLIP of GLIDE that was trained on noisy pictures, either from models/glide or the "
            "embedded tiny one. It guides GLIDE models, scores images, and picks the best of them.",
            search_aliases=["noised clip", "clip loader", "clip guidance", "score", "openai"],
            inputs=[
                io.Combo.Input(
                    "image_encoder",
                    options=host.clip_names(),
                    tooltip="The file of the image encoder, or of both encoders. The embedded one needs no download "
                    "and belongs to the embedded models. To get OpenAI's, run `glide fetch clip-image-enc "
                    "clip-text-enc` and put both files into models/glide.",
                ),
                io.Combo.Input(
                    "text_encoder",
                    options=[host.BESIDE, *host.clip_names()[1:]],
                    tooltip="The file of the text encoder, where it is neither in the same file nor beside it under "
                    "the same name with text in the place of image.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[name for name in DTYPES if not name.startswith("fp8")],
                    default="auto",
                    tooltip="The precision of the weights. auto lets ComfyUI choose what suits your device.",
                ),
            ],
            outputs=[
                GlideClip.Output(display_name="GLIDE_CLIP", tooltip="For GlideCLIPGuidance, GlideCLIPScore, GlideBest.")
            ],
        )

    @classmethod
    def validate_inputs(cls, image_encoder, text_encoder):
        try:
            host.clip_paths(image_encoder or host.EMBEDDED_NAME, text_encoder or host.BESIDE)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, image_encoder, text_encoder, dtype) -> io.NodeOutput:
        with named("GlideCLIPLoader"):
            return io.NodeOutput(host.load_clip(image_encoder, text_encoder, DTYPES[dtype]))


class GlideCLIPGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideCLIPGuidance",
            category="clip",
            display_name="GLIDE CLIP Guidance",
            description="Lets a noised CLIP lead every step towards a text, as the paper's CLIP guidance does. It "
            "works with every sampler, for text to image, inpainting and enlarging, alone (with a guidance of 1) or "
            "beside the usual guidance.",
            search_aliases=["clip guidance", "guidance", "guided diffusion", "prompt adherence"],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of any GLIDE model."),
                clip_input(),
                text_input("What to lead towards: usually the prompt."),
                io.Float.Input(
                    "scale",
                    default=3.0,
                    min=0.0,
                    max=1000.0,
                    step=0.1,
                    tooltip="How strongly it leads. OpenAI's notebook takes 3; 0 changes nothing. Too much gives "
                    "patterns that please CLIP alone.",
                ),
                io.Float.Input(
                    "guide_from",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The share of the steps after which it begins.",
                ),
                io.Float.Input(
                    "guide_until",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="The share of the steps after which it ends.",
                ),
                io.Int.Input(
                    "every",
                    default=1,
                    min=1,
                    max=100,
                    tooltip="It leads in every n-th step alone, which saves time; then the scale should be larger.",
                ),
                io.Boolean.Input(
                    "save_memory",
                    default=False,
                    tooltip="Computes CLIP's layers again for the gradient instead of keeping what is inside of them. "
                    "It takes less memory and more time, and changes nothing else.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The MODEL with this guidance, for any sampler.")],
        )

    @classmethod
    def execute(cls, model, glide_clip, text, scale, guide_from, guide_until, every, save_memory) -> io.NodeOutput:
        with named("GlideCLIPGuidance"):
            guide = ClipGuide(
                glide_clip.clip,
                scale=scale,
                guide_from=guide_from,
                guide_until=guide_until,
                every=every,
                recompute=save_memory,
            )
            return io.NodeOutput(host.with_guidance(model, glide_clip, text, guide))


class GlideCLIPScore(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideCLIPScore",
            category="clip",
            display_name="GLIDE CLIP Score",
            description="Tells how well each image fits a text, from -1 to 1, by GLIDE's noised CLIP. Numbers of the "
            "same text can be compared; those of different texts hardly.",
            search_aliases=["clip score", "similarity", "rank", "evaluate", "metric"],
            inputs=[
                io.Image.Input("image", tooltip="One image or several, of any size."),
                clip_input(),
                text_input("What the images should show."),
            ],
            outputs=[
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="The score of each image, as a list. Nodes with one number run once for each.",
                )
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, glide_clip, text) -> io.NodeOutput:
        with named("GlideCLIPScore"):
            scores = host.scores(glide_clip, image, text)
        show("\n".join(f"{place}: {score:.4f}" for place, score in enumerate(scores)), cls.hidden.unique_id)
        return io.NodeOutput(scores)


class GlideBest(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return schema(
            node_id="GlideBest",
            category="clip",
            display_name="GLIDE Best of Batch",
            description="Keeps the images of a batch that fit a text best, the best one first. Painting eight small "
            "pictures and keeping the best is the simplest way to better pictures. The judge is GLIDE's noised CLIP, "
            "or any CLIP_VISION with the CLIP that belongs to it.",
            search_aliases=["best of n", "rank", "rerank", "choose", "filter batch", "clip score"],
            inputs=[
                io.Image.Input("image", tooltip="A batch of images, of any size."),
                text_input("What the images should show: usually the prompt."),
                io.Int.Input("keep", default=1, min=1, max=4096, tooltip="How many to keep."),
                clip_input(optional=True),
                *judge_inputs(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    optional=True,
                    force_input=True,
                    tooltip="The sampler's seed, to show the own seed of each picture, which makes it again alone.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="The best images, the best one first."),
                io.Float.Output(display_name="scores", is_output_list=True, tooltip="Their scores, as a list."),
                io.Int.Output(
                    display_name="places",
                    is_output_list=True,
                    tooltip="Their places in the batch, counted from 0, as a list; for LatentFromBatch or batch_index.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, text, keep, glide_clip=None, clip_vision=None, clip=None, seed=None) -> io.NodeOutput:
        with named("GlideBest"):
            scores = judged(image, text, glide_clip, clip_vision, clip)
        places = host.best_places(scores, keep)
        best = [scores[place] for place in places]
        seeds = [None if seed is None else picture_seed(seed, place) for place in places]
        lines = [f"{place}: {score:.4f}" for place, score in zip(places, best)]
        if seed is not None:
            lines = [f"{line}, seed {own}" for line, own in zip(lines, seeds)]
        show("\n".join(lines), cls.hidden.unique_id)
        kept = image[places]
        return io.NodeOutput(kept, best, places, ui=sheet(kept, seeds, [text] * len(kept), best))
