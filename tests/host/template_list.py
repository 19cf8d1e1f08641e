"""Which templates there are: their order, their notes, and what stands where. `templates.py` draws them."""

from dataclasses import dataclass, field

MODELS = ["Base model", "Upsampler"]
SMALL = {"64x64": ("PreviewImage", {"images": ("GlideSampler", 1)})}
TINY = "The tiny models know coloured shapes only, and need no download. For others choose a model in each loader."
MASK = "On a photo of your own, right-click LoadImage, choose Open in MaskEditor, and paint over what should change."
OPENAI = "These are OpenAI's models: click Download on both loaders, 3.1 GB together."


def where(*photos):
    return f"Drag {' and '.join(photos)} from this pack's folder example_workflows/photos onto LoadImage."


@dataclass
class Template:
    """Attributes:
    graph: the name in example_workflows/api.
    note: what to change first.
    groups: title of the group -> the titles of its nodes, from top to bottom.
    shown: title of a node that programs do not need -> its type, and input -> (title, output) of its picture.
    rooms: title of a node that grows higher than others of its type -> its height.
    """

    graph: str
    note: str
    groups: dict[str, list[str]]
    shown: dict[str, tuple[str, dict[str, tuple[str, int]]]] = field(default_factory=dict)
    rooms: dict[str, int] = field(default_factory=dict)


def compared(before, after):
    """Two pictures side by side. ImageCompare shows them in ComfyUI's newest canvas alone, and older hosts lack it."""
    return {
        "Side by side": ("ImageStitch", {"image1": before, "image2": after}),
        "Compare": ("PreviewImage", {"images": ("Side by side", 0)}),
    }


def text_to_image(graph, note, canvas="EmptyGlideLatent"):
    groups = {
        "Models": MODELS,
        "Prompt": ["Prompt", canvas],
        "Paint": ["GlideSampler"],
        "Enlarge": ["GlideUpsampler"],
        "Picture": ["SaveImage", "64x64"],
    }
    return Template(graph, note, groups, SMALL)


def edit(graph, note):
    groups = {
        "Models": MODELS,
        "Photo and prompt": ["Photo", "Prompt"],
        "Cut out": ["GlideCrop"],
        "Repaint": ["GlideInpaint"],
        "Enlarge": ["GlideUpsampler"],
        "Put back": ["GlideStitch", "SaveImage"],
        "Before and after": ["Side by side", "Compare"],
    }
    return Template(graph, note, groups, compared(("Photo", 0), ("GlideStitch", 0)))


def edit_twice(graph, note, before, *inputs):
    groups = {
        "Models": MODELS,
        "Photo": list(inputs),
        "Prompts": ["Prompt", "Prompt 2"],
        "Cut out": ["GlideCrop", "GlideCrop 2"],
        "Repaint": ["GlideInpaint", "GlideInpaint 2"],
        "Enlarge": ["GlideUpsampler", "GlideUpsampler 2"],
        "Put back": ["GlideStitch", "GlideStitch 2", "SaveImage"],
        "Before and after": ["Side by side", "Compare"],
    }
    return Template(graph, note, groups, compared((before, 0), ("GlideStitch 2", 0)))


EMPTY = "Negative prompt"
TEMPLATES = [
    text_to_image(
        "text_to_image",
        f"Change the prompt first, then the seed of both samplers. {TINY}\n\nguidance_scale 3 to 5 follows the prompt "
        "more closely; more steps give cleaner pictures. batch_size paints several at once.",
    ),
    text_to_image(
        "openai_text_to_image",
        f"{OPENAI} Then write your own prompt and run.\n\nChange the prompt first, then the seed; a guidance_scale of "
        "3 to 5 follows the prompt more closely. OpenAI trained these models without pictures of people.",
    ),
    edit(
        "inpaint_photo",
        f"{where('wall.png')} {MASK}\n\nChange the prompt first: it says what the whole square shows afterwards. Then "
        "the seed, and crop_factor: a smaller square gives finer detail.",
    ),
    edit(
        "openai_edit_photo",
        f"{OPENAI} {where('wall.png')} {MASK}\n\nChange the prompt first: it says what the whole square shows "
        "afterwards. Then the seed. If the prompt is ignored, set hide_until to 0.4.",
    ),
    edit_twice(
        "outpaint",
        f"{where('star.png')}\n\nChange the margins of GlideOutpaintPad first, then the prompts: each says what its "
        "square shows. Two squares paint 192 pixels on one side; chain more of them for wider margins.",
        "GlideOutpaintPad",
        "Photo",
        "GlideOutpaintPad",
    ),
    edit(
        "sketch_to_image",
        f"{where('wall_sketch.png')} Draw a sketch on a photo of your own, and mask it.\n\nChange denoise of "
        "GlideInpaint first: a smaller one keeps more of the sketch. Then the prompt and the seed.",
    ),
    edit_twice(
        "iterate_edit",
        f"{where('wall.png', 'wall_second.png')}\n\nChange the two masks and prompts first: the second edit sees the "
        "result of the first one. Masks and prompts belong to squares, not to the photo.",
        "Photo",
        "Photo",
        "Second mask",
    ),
    Template(
        "edit_regions",
        f"{where('wall_regions.png')} {MASK} Every part that you paint over by itself becomes a square of its own, and "
        "all are repainted at once.\n\nChange the prompts first: one a line, the first for the part that begins "
        "highest in the photo. GlideCrop shows the numbers. Each says what its whole square shows afterwards.",
        {
            "Models": MODELS,
            "Photo and prompts": ["Photo", "Prompts"],
            "Cut out": ["GlideCrop"],
            "Repaint": ["GlideInpaint"],
            "Enlarge": ["GlideUpsampler"],
            "Put back": ["GlideStitch", "SaveImage"],
            "Before and after": ["Side by side", "Compare"],
        },
        compared(("Photo", 0), ("GlideStitch", 0)),
    ),
    Template(
        "train_lora",
        f"{where('lessons.png')} It holds 8 pictures as an animated PNG. Your own: Batch Images, or Load Image Dataset "
        "from Folder, in the place of LoadImage; their caption goes into the prompt.\n\nChange the pictures and the "
        "caption first, then steps and learning_rate: OpenAI's model takes 0.0005 and some hundred steps. The LoRA is "
        "saved to output/loras; the template use_lora loads it. Made with ComfyUI 0.29: Train LoRA of version 0.3 has "
        "other inputs.",
        {
            "Model": ["Base model"],
            "Pictures and their caption": ["Pictures", "ImageScale", "VAEEncode", "Prompt"],
            "Train": ["TrainLoraNode", "SaveLoRA"],
            "Without the LoRA": ["EmptyGlideLatent", "Paint without it"],
            "With the LoRA": ["LoraModelLoader", "Paint with it"],
            "Before and after": ["SaveImage", "Side by side", "Compare"],
        },
        compared(("Paint without it", 1), ("Paint with it", 1)),
    ),
    Template(
        "use_lora",
        "Run the template train_lora first, or put a LoRA for GLIDE into models/loras. Press R, and choose it in "
        "LoraLoader.\n\nChange the strengths first, then the prompt: use the words of the caption that it learned.",
        {
            "Models": MODELS,
            "LoRA": ["LoraLoader"],
            "Prompt": ["Prompt", "EmptyGlideLatent"],
            "Paint": ["GlideSampler"],
            "Enlarge": ["GlideUpsampler"],
            "Picture": ["SaveImage", "64x64"],
        },
        SMALL,
    ),
    Template(
        "text_to_image_stock",
        "The same as text_to_image with ComfyUI's own nodes. Change the prompt first, then the seed. KSampler takes "
        "any sampler; the schedulers sgm_uniform, normal and beta are good.",
        {
            "Models": MODELS,
            "Prompt": ["Prompt", EMPTY, "EmptyGlideLatent"],
            "Paint": ["KSampler"],
            "Enlarge": ["GlideUpsampler"],
            "Picture": ["VAEDecode", "SaveImage"],
        },
    ),
    Template(
        "upsampling_stock",
        "Both stages with KSampler. Change the prompt first, then the seed. The upsampler's cfg is 1: it needs no "
        "guidance.",
        {
            "Models": MODELS,
            "Prompt": ["Prompt", EMPTY, "EmptyGlideLatent"],
            "Paint": ["Paint 64x64"],
            "Enlarge": ["GlideUpsampleConditioning", "Enlarge to 256x256"],
            "Picture": ["VAEDecode", "SaveImage"],
        },
    ),
    Template(
        "inpainting_stock",
        "Paints a picture and repaints its right half, with KSampler. Change the second prompt first: it says what the "
        "whole picture shows afterwards. Then the mask.",
        {
            "Models": ["Base model"],
            "Prompts": ["Prompt of the picture", EMPTY, "Prompt of the repainted half", "EmptyGlideLatent"],
            "Paint": ["Paint a picture", "VAEDecode"],
            "Mask": ["SolidMask", "SolidMask 2", "Mask: the right half", "GlideInpaintConditioning"],
            "Repaint": ["Repaint its right half", "VAEDecode 2"],
            "Before and after": ["SaveImage", "Side by side", "Compare"],
        },
        compared(("VAEDecode", 0), ("VAEDecode 2", 0)),
    ),
    Template(
        "custom_sampling",
        "GLIDE's own steps, samplers and noise for SamplerCustomAdvanced. Change the sampler of GlideSamplerSelect "
        "first, then the steps of GlideScheduler: ddpm needs 50, dpmpp_2m 20, and ays10 means 10 well chosen ones.",
        {
            "Models": MODELS,
            "Prompt": ["Prompt", EMPTY, "EmptyGlideLatent"],
            "How to paint": ["GlideNoise", "CFGGuider", "GlideSamplerSelect", "GlideScheduler"],
            "Paint": ["SamplerCustomAdvanced"],
            "Enlarge": ["GlideUpsampler"],
            "Picture": ["SaveImage"],
        },
    ),
    Template(
        "clip_best_of",
        "Paints four small pictures, led by GLIDE's noised CLIP, keeps the one that fits best, and enlarges it. Change "
        "the text in its three places first, then batch_size of the latent and the scale of GlideCLIPGuidance.",
        {
            "Models": [*MODELS, "Noised CLIP"],
            "Prompt": ["Prompt", "4 tries"],
            "Guide": ["GlideCLIPGuidance"],
            "Paint": ["GlideSampler"],
            "Choose": ["64x64", "GlideBest"],
            "Enlarge": ["GlideUpsampler"],
            "Picture": ["SaveImage"],
        },
        SMALL,
        rooms={"GlideSampler": 940},
    ),
    Template(
        "study_guidance",
        "A labelled picture of guidance scales and seeds. Change the axes of GlideSweep first: a name and its values, "
        "as guidance=1,2,3 or seed=0..3. Connect its other outputs for the other axes: steps, sampler, prompt.",
        {
            "Model": ["Base model"],
            "Prompt": ["Prompt", "EmptyGlideLatent"],
            "Values": ["GlideSweep"],
            "Paint": ["GlideSampler"],
            "Grid": ["GlideGrid"],
            "Picture": ["SaveImage"],
        },
    ),
    Template(
        "study_temperature",
        "What the temperature of the upsampler does: the same small picture, enlarged once for each value. Change the "
        "values of GlideSweep first, then the prompt.",
        {
            "Models": MODELS,
            "Prompt": ["Prompt", "EmptyGlideLatent"],
            "Values": ["GlideSweep"],
            "Paint": ["GlideSampler"],
            "Enlarge": ["GlideUpsampler"],
            "Grid": ["GlideGrid"],
            "Picture": ["SaveImage"],
        },
    ),
    Template(
        "study_styles",
        "A picture for each prompt of a list. Change the text of GlidePrompts first: one prompt a line, and {a|b} "
        "stands for either.",
        {
            "Model": ["Base model"],
            "Prompts": ["GlidePrompts", "Prompts", "EmptyGlideLatent"],
            "Paint": ["GlideSampler"],
            "Grid": ["GlideGrid"],
            "Picture": ["SaveImage"],
        },
    ),
    Template(
        "study_bias",
        "What a model paints where the prompt leaves it open: GlideTally tells which label fits each picture best, and "
        "draws how many there are. Change the prompt and the labels first, then batch_size: the more, the surer.",
        {
            "Models": ["Base model", "GlideCLIPLoader"],
            "Prompt": ["Prompt", "EmptyGlideLatent"],
            "Paint": ["GlideSampler"],
            "Count": ["GlideTally"],
            "Picture": ["SaveImage"],
        },
        rooms={"GlideSampler": 1060},
    ),
]
