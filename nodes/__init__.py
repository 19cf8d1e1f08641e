"""GLIDE's nodes: sockets, tooltips, checks, and a call into ``glide_core`` or the host."""

from .clip import GlideBest, GlideCLIPGuidance, GlideCLIPLoader, GlideCLIPScore
from .conditioning import GlideInpaintConditioning, GlideUpsampleConditioning
from .custom_sampling import GlideGuidanceInterval, GlideNoise, GlideSamplerSelect, GlideScheduler, GlideThreshold
from .grids import GlideGrid, GlideTally
from .host.grid import GlideGridCell
from .inpainting import GlideInpaint
from .loaders import GlideLoader
from .regions import GlideCrop, GlideOutpaintPad, GlideStitch
from .sampling import EmptyGlideLatent, GlideSampler
from .studies import GlidePrompts, GlideSweep
from .text import GlideTextEncode
from .upsampling import GlideUpsampler

NODES = [
    GlideLoader,
    GlideTextEncode,
    EmptyGlideLatent,
    GlideSampler,
    GlideUpsampler,
    GlideInpaint,
    GlideCrop,
    GlideStitch,
    GlideOutpaintPad,
    GlideInpaintConditioning,
    GlideUpsampleConditioning,
    GlideScheduler,
    GlideSamplerSelect,
    GlideNoise,
    GlideThreshold,
    GlideGuidanceInterval,
    GlideCLIPLoader,
    GlideCLIPGuidance,
    GlideCLIPScore,
    GlideBest,
    GlidePrompts,
    GlideSweep,
    GlideGrid,
    GlideTally,
]
AT_RUN_TIME = [GlideGridCell]  # nodes that other nodes put into a running graph
