"""What ``glide bench quality`` can measure: free of torch, so that its ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..choices import DTYPES
from ..diffusion.options import Sampling

MEASURES = ("prompts", "upsampling", "inpainting")
GRAIN = "grain"  # a measure of the samplers, not of how well a model obeys
THINGS = "things"  # a measure of models that are not embedded yet


@dataclass(frozen=True)
class QualityRequest:
    """What to measure, and with which settings.

    Attributes:
        measures: some of ``MEASURES`` and ``THINGS``.
        count: held-out scenes for each of them.
        guidance_scales: of the base model; the table of prompts has a row for each, inpainting takes the first.
        steps, sampler: of the base models, see ``Sampling``.
        upsampling: how the upsamplers sample.
        base, upsampler, base_inpaint, upsampler_inpaint: the models, each a name or a file.
        judge: the file of a judge of things, where they are measured.
        sheet: also write the pictures of the first guidance scale to this PNG.
        seeds: from how many, starting with 0, the grain of pictures is measured.
        best_of: numbers of tries of which the noised CLIP chooses the best; there is a table where there are any.
        judge_all: judge every one of these tries, see ``clip_quality.best_of_rows``.
        clip_scales: of CLIP guidance; there is a table of them and the guidance scales where there are any, unless
            inpainting alone is measured. Inpainting is measured with each of them.
        clip_until: the share of the steps, 0..1, from which on CLIP does not guide.
        clip: the noised CLIP, a name or a file.
        grain_dtypes: the names of the precisions that it is measured in; ``dtype`` is for the other measures.
        dtype, device: names that ``pick_dtype`` and ``pick_device`` know.
    """

    measures: tuple[str, ...] = MEASURES
    count: int = 200
    guidance_scales: tuple[float, ...] = (3.0,)
    steps: str = "5,5,5,5,10"
    sampler: str = "ddpm"
    upsampling: Sampling = Sampling("10", "ddim", guidance_scale=1.0)
    base: str = "tiny-base"
    upsampler: str = "tiny-upsample"
    base_inpaint: str = "tiny-base-inpaint"
    upsampler_inpaint: str = "tiny-upsample-inpaint"
    judge: Path | None = None
    sheet: Path | None = None
    dtype: str = "fp32"
    device: str = "auto"
    seeds: int = 64
    best_of: tuple[int, ...] = ()
    judge_all: bool = False
    clip_scales: tuple[float, ...] = ()
    clip_until: float = 1.0
    clip: str = "tiny-clip"
    grain_dtypes: tuple[str, ...] = DTYPES
