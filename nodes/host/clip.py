"""GLIDE's noised CLIP through the host: placed and offloaded by it, and a part of a MODEL that it guides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...glide_core.diffusion.clip_guidance import Clip, ClipGradient, ClipGuide, said
from ...glide_core.files import clip_checkpoints
from ...glide_core.models.clip import NoisedClip
from . import threshold
from .attention import attention
from .loader import EMBEDDED, glide_file, glide_files
from .sampling import require_glide

BESIDE = "in the same file, or beside it"  # the loader's choice where the other encoder need not be named
KEY = "glide_clip"
EMBEDDED_NAME = clip_checkpoints.EMBEDDED + EMBEDDED


@dataclass(frozen=True)
class HostClip:
    """What the socket GLIDE_CLIP carries.

    Attributes:
        clip: the model with its tokenizer; its weights are where the host has put them.
        patcher: the host's object that moves them.
    """

    clip: Clip
    patcher: object

    @contextmanager
    def loaded(self) -> Iterator[Clip]:
        """The model on the host's device, for use outside of sampling."""
        with differentiable(self.clip.model):
            comfy.model_management.load_models_gpu([self.patcher])
            yield self.clip


@contextmanager
def differentiable(model: torch.nn.Module) -> Iterator[None]:
    """Leave the host's inference mode. Weights that were made or moved in it cannot take part in a gradient until they
    are copied."""
    with torch.inference_mode(False):
        for module in model.modules():
            for name, p in module.named_parameters(recurse=False):
                if p.is_inference():
                    module._parameters[name] = torch.nn.Parameter(p.clone(), requires_grad=False)
        yield


def clip_names() -> list[str]:
    """The loader's choices: the embedded one, then the files of models/glide."""
    return [EMBEDDED_NAME, *glide_files()]


def clip_paths(name: str, text_name: str = BESIDE) -> list[str]:
    """The files of two of ``clip_names``. Raises CheckpointError: there is no such file."""
    if name.removesuffix(".safetensors") in (EMBEDDED_NAME, clip_checkpoints.EMBEDDED):
        return [clip_checkpoints.EMBEDDED]
    paths = [str(glide_file(name))]
    return paths if text_name == BESIDE else [*paths, str(glide_file(text_name))]


def load_clip(name: str, text_name: str, dtype: torch.dtype | None) -> HostClip:
    """Load a noised CLIP.

    Args:
        name, text_name: see ``clip_paths``.
        dtype: of the weights; None leaves the choice to the host.
    Raises:
        CheckpointError: the files are not those of a noised CLIP.
    """
    mm = comfy.model_management
    device, offload_device = mm.get_torch_device(), mm.text_encoder_offload_device()
    paths = clip_paths(name, text_name)
    if len(paths) == 1:
        paths = [str(path) for path in clip_checkpoints.find(paths[0])]
    with torch.inference_mode(False):
        state_dict, config = clip_checkpoints.read_clip(*paths)
        tokenizer = clip_checkpoints.tokenizer_for(config, paths[0])
        parameters = sum(tensor.numel() for tensor in state_dict.values())
        dtype = dtype or mm.unet_dtype(model_params=parameters)
        if dtype.itemsize == 1:  # 8 bits are for the U-Net's weights; gradients need more
            dtype = torch.bfloat16
        model = NoisedClip(
            config, operations=comfy.ops.manual_cast, attention=attention, device=offload_device, dtype=dtype
        )
        model.load_state_dict(state_dict)
        model.eval().requires_grad_(False)
    patcher_class = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return HostClip(
        Clip(model, tokenizer, name), patcher_class(model, load_device=device, offload_device=offload_device)
    )


@dataclass
class Guidance:
    """A wrapper around all that the host does to predict x_start, inside of ``Threshold``.

    Attributes:
        guide: what guides; text: [1, embed_width], towards what.
    """

    guide: ClipGuide
    text: Tensor
    runs: list[ClipGradient] = field(default_factory=list)

    def __call__(self, predict_noise, x: Tensor, timestep: Tensor, model_options: dict, *args, **kwargs) -> Tensor:
        x_start = predict_noise(x, timestep, model_options, *args, **kwargs)
        run = self._run(model_options["transformer_options"])
        if not run.wanted(float(timestep.flatten()[0])):
            return x_start
        kept = threshold.of(predict_noise.class_obj).keep(x_start)
        with differentiable(self.guide.clip.model):
            shift = run.shift(x.clone(), timestep.clone())
        return kept + shift.to(x_start)

    def _run(self, transformer_options: dict) -> ClipGradient:
        sigmas = transformer_options["sample_sigmas"].tolist()
        if not self.runs or self.runs[0].sigmas != sigmas:
            self.runs[:] = [ClipGradient(self.guide, self.text, sigmas)]
        return self.runs[0]


def with_guidance(model, host_clip: HostClip, text: str, guide: ClipGuide):
    """A clone of the MODEL that a noised CLIP guides towards a text, with every sampler.

    Several of them add up. Raises ValueError where the MODEL is not GLIDE's, and OptionError where the text is empty.
    """
    require_glide(model)
    with host_clip.loaded() as clip:
        embedded = clip.embed_texts([text])
    model = model.clone()
    number = len(model.wrappers.get(WrappersMP.PREDICT_NOISE, {}))
    key = f"{KEY}_{number}"
    model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, key, Guidance(replace(guide, clip=clip), embedded))
    model.set_additional_models(key, [host_clip.patcher])
    return model


def scores(host_clip: HostClip, images: Tensor, text: str) -> list[float]:
    """How well each of the images [B, H, W, C] in 0..1 fits the text, -1..1."""
    with host_clip.loaded() as clip, torch.no_grad():
        pictures = images[..., :3].clone().movedim(-1, 1) * 2 - 1
        return clip.scores(pictures, [text] * len(pictures)).tolist()


def standard_scores(clip_vision, clip, images: Tensor, text: str) -> list[float]:
    """The same by the host's own CLIP_VISION and CLIP.

    Raises:
        ValueError: the two do not belong together, or the text is empty.
    """
    (plain,) = said([text])
    image = clip_vision.encode_image(images[..., :3])["image_embeds"].float()
    _, pooled = clip.encode_from_tokens(clip.tokenize(plain), return_pooled=True)
    if pooled is None or pooled.shape[-1] != image.shape[-1]:
        width = "none" if pooled is None else str(pooled.shape[-1])
        raise ValueError(
            f"clip_vision gives {image.shape[-1]} numbers and clip {width}: they are of different models. Take the "
            "text encoder that was trained with the image encoder, such as both parts of ViT-L/14"
        )
    return torch.cosine_similarity(image.cpu(), pooled.float().cpu()).tolist()


def best_places(found: Sequence[float], keep: int) -> list[int]:
    """The places of the best, the best first; all where there are less."""
    return sorted(range(len(found)), key=lambda k: -found[k])[:keep]
