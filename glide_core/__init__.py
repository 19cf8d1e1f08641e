"""GLIDE (Nichol et al. 2021, arXiv 2112.10741) in PyTorch: exact to the published models, independent of ComfyUI.

The names in ``__all__`` are the public interface of the library. A picture of a prompt, with the embedded models::

    import glide_core as glide

    base, upsampler = glide.Stage.load("tiny-base"), glide.Stage.load("tiny-upsample")
    small = glide.generate(base, ["a red circle on a blue background"], seed=1)
    large = glide.upsample(upsampler, ["a red circle on a blue background"], small, seed=1)
    glide.save_image("circle.png", large[0])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .diffusion.options import UPSAMPLING as UPSAMPLING
    from .diffusion.options import Sampling as Sampling
    from .diffusion.schedule import NoiseSchedule as NoiseSchedule
    from .editing.photo import Editor as Editor
    from .editing.photo import edit as edit
    from .errors import CheckpointError as CheckpointError
    from .errors import DownloadError as DownloadError
    from .errors import GlideError as GlideError
    from .errors import ImageError as ImageError
    from .errors import NotFiniteError as NotFiniteError
    from .errors import OptionError as OptionError
    from .files.download import fetch as fetch
    from .images import read_image as read_image
    from .images import save_image as save_image
    from .pipeline import Stage as Stage
    from .pipeline import generate as generate
    from .pipeline import inpaint as inpaint
    from .pipeline import upsample as upsample

__version__ = "0.2.0"

# Where each public name is defined. They are imported when they are first used, because torch takes seconds to import
# and the command line answers `glide --help` without it.
_DEFINED_IN = {
    "Stage": "pipeline",
    "Sampling": "diffusion.options",
    "UPSAMPLING": "diffusion.options",
    "generate": "pipeline",
    "inpaint": "pipeline",
    "upsample": "pipeline",
    "Editor": "editing.photo",
    "edit": "editing.photo",
    "fetch": "files.download",
    "read_image": "images",
    "save_image": "images",
    "NoiseSchedule": "diffusion.schedule",
    "GlideError": "errors",
    "OptionError": "errors",
    "ImageError": "errors",
    "CheckpointError": "errors",
    "DownloadError": "errors",
    "NotFiniteError": "errors",
}
__all__ = ["__version__", *_DEFINED_IN]


def __getattr__(name: str) -> Any:
    if name not in _DEFINED_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_DEFINED_IN[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
