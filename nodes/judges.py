"""What judges how well images fit texts: GLIDE's noised CLIP, or a standard one of the host's."""

from comfy_api.latest import io

from .host import clip as host

GlideClip = io.Custom("GLIDE_CLIP")


def clip_input(**options) -> io.Input:
    return GlideClip.Input("glide_clip", tooltip="The noised CLIP of GlideCLIPLoader.", **options)


def judge_inputs() -> list[io.Input]:
    """Another judge than GLIDE's CLIP."""
    return [
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="Another judge: the image encoder of a standard CLIP. Connect its text encoder to clip.",
        ),
        io.Clip.Input("clip", optional=True, tooltip="The text encoder that belongs to clip_vision."),
    ]


def judged(image, text, glide_clip, clip_vision, clip) -> list[float]:
    """How well each image fits a text by the judge that is connected. Raises ValueError unless it is exactly one."""
    if (clip_vision is None) != (clip is None):
        raise ValueError("clip_vision and clip belong together: connect both, or glide_clip")
    if (glide_clip is None) == (clip_vision is None):
        raise ValueError("connect either glide_clip, or clip_vision and clip: one of them is the judge")
    if glide_clip is not None:
        return host.scores(glide_clip, image, text)
    return host.standard_scores(clip_vision, clip, image, text)
