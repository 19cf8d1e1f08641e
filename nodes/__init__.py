"""GLIDE's nodes: sockets, tooltips, checks, and a call into ``glide_core`` or the host."""

from .conditioning import GlideInpaintConditioning, GlideUpsampleConditioning
from .custom_sampling import GlideNoise, GlideSamplerSelect, GlideScheduler, GlideThreshold
from .loaders import GlideLoader
from .sampling import EmptyGlideLatent, GlideSampler
from .text import GlideTextEncode
from .upsampling import GlideUpsampler

NODES = [
    GlideLoader,
    GlideTextEncode,
    EmptyGlideLatent,
    GlideSampler,
    GlideUpsampler,
    GlideInpaintConditioning,
    GlideUpsampleConditioning,
    GlideScheduler,
    GlideSamplerSelect,
    GlideNoise,
    GlideThreshold,
]
