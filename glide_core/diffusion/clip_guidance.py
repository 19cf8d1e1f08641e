"""CLIP guidance (paper section 2.4): the gradient of how well a noised picture fits its prompt, in every sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError, OptionError
from ..models.clip import NoisedClip
from ..models.clip_tokenizer import ClipTokenizer
from .composition import plain_words
from .prediction import network_sigma
from .schedule import NoiseSchedule

NOISE_SCHEDULE = "squaredcos_cap_v2"  # that every noised CLIP is trained with, whatever the model that it guides
LARGEST_SCALE = 1000.0


@dataclass
class Clip:
    """A noised CLIP with its tokenizer, ready to compare pictures with texts.

    Attributes:
        name: what errors call it.
    """

    model: NoisedClip
    tokenizer: ClipTokenizer
    name: str = "the noised CLIP"
    schedule: NoiseSchedule = field(default_factory=lambda: NoiseSchedule(NOISE_SCHEDULE))

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [B, embed_width] of texts; what is too long is cut off.

        Of a prompt with AND and NOT it is that of its ``plain_words``.

        Raises:
            OptionError: a text is empty: every picture fits it equally well.
        """
        tokens, lengths = self.tokenizer(said(texts))
        longest = int(lengths.max())
        return self.model.embed_text(tokens[:, :longest].to(self.device), lengths.to(self.device))

    @torch.no_grad()
    def scores(self, pictures: Tensor, texts: Sequence[str]) -> Tensor:
        """How well each picture fits its text: [B], the cosine of their embeddings, -1..1.

        Args:
            pictures: [B, 3, H, W] in -1..1, of any size: they are resized to what the model reads.
            texts: one for each picture.
        Raises:
            OptionError: see ``embed_texts``.
            ImageError: a picture has a side of 1 pixel.
        """
        x = resized(pictures.to(self.device, torch.float32), self.model.config.image_size)
        image = self.model.embed_image(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        return (image * self.embed_texts(texts)).sum(dim=-1)

    def log_probability(self, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        """The similarity of noised pictures and texts, one number for the batch.

        Args:
            x: [B, 3, H, W], x_start + sigma * noise; larger pictures are reduced, and their noise with them.
            sigma: [B].
            text: [B or 1, embed_width].
        """
        size = self.model.config.image_size
        if x.shape[-2:] != (size, size):
            # The mean of n independent numbers has 1 / sqrt(n) of their standard deviation.
            sigma = sigma * math.sqrt(size * size / (x.shape[-2] * x.shape[-1]))
            x = F.adaptive_avg_pool2d(x, size)
        timesteps = self.schedule.timestep(sigma).round().long().clamp(max=self.model.config.timesteps - 1)
        image = self.model.embed_image(x / (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt(), timesteps)
        return self.model.similarity(image, text).sum()


def said(texts: Sequence[str]) -> list[str]:
    """The ``plain_words`` of texts. Raises OptionError: of one nothing is left, every picture fits it equally well."""
    plain = [plain_words(text) for text in texts]
    if any(not text.strip() for text in plain):
        raise OptionError("the text for CLIP is empty: write what the picture should show")
    return plain


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures [B, 3, size, size] from those of any size: the mean of the pixels, or between them where there are less.

    Raises:
        ImageError: a side has less than 2 pixels.
    """
    height, width = pictures.shape[-2:]
    if min(height, width) < 2:
        raise ImageError(f"a picture of {width}x{height} pixels shows nothing to score: give a larger one")
    if min(height, width) >= size:
        return F.adaptive_avg_pool2d(pictures, size)
    return F.interpolate(pictures, (size, size), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


@dataclass(frozen=True)
class ClipGuide:
    """How a noised CLIP guides.

    Attributes:
        clip: the model.
        scale: of the gradient; 0 is no guidance. OpenAI's notebook takes 3.
        guide_from, guide_until: the share of the steps, 0..1, before which and from which on it does not guide.
        every: it guides only every n-th step, which saves time; the scale should then grow as much.
        recompute: compute the layers again for the gradient instead of keeping what is inside, to save memory.
        texts: what it guides towards, one for all pictures or one for each; by default the prompts.

    Raises:
        OptionError: a number is outside of its range.
    """

    clip: Clip
    scale: float = 3.0
    guide_from: float = 0.0
    guide_until: float = 1.0
    every: int = 1
    recompute: bool = False
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and abs(self.scale) <= LARGEST_SCALE):
            raise OptionError(f"the scale of CLIP guidance is {self.scale}: give a number from 0 to {LARGEST_SCALE:g}")
        if not 0 <= self.guide_from <= self.guide_until <= 1:
            raise OptionError(
                f"guide_from is {self.guide_from} and guide_until {self.guide_until}: give shares of the steps with "
                "0 <= guide_from <= guide_until <= 1"
            )
        if isinstance(self.every, bool) or not isinstance(self.every, int) or self.every < 1:
            raise OptionError(f"every is {self.every}: give a whole number, 1 or more")

    def start(self, prompts: Sequence[str], sigmas: Tensor) -> ClipGradient:
        """Get ready for one run.

        Args:
            prompts: of the pictures.
            sigmas: [steps + 1] of the run, descending.
        Raises:
            OptionError: a text is empty, or there is not one for each picture.
        """
        texts = list(self.texts or prompts)
        if len(texts) not in (1, len(prompts)):
            raise OptionError(f"CLIP guidance has {len(texts)} texts for {len(prompts)} pictures: give 1, or one each")
        return ClipGradient(self, self.clip.embed_texts(texts), sigmas.tolist())


@dataclass
class ClipGradient:
    """A guide in one run.

    Attributes:
        text: [B or 1, embed_width], what to guide towards.
        sigmas: of the run, descending.
    """

    guide: ClipGuide
    text: Tensor
    sigmas: list[float]

    def wanted(self, sigma: float) -> bool:
        """Whether it guides in the step that starts at this sigma."""
        guide, steps = self.guide, len(self.sigmas) - 1
        step = min(range(steps), key=lambda i: abs(self.sigmas[i] - sigma))
        inside = math.ceil(guide.guide_from * steps) <= step < math.ceil(guide.guide_until * steps)
        return guide.scale != 0 and inside and step % guide.every == 0

    def gradient(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``scale`` times the gradient of the similarity with respect to x, like x [B, 3, H, W].

        Args:
            sigma: [B].
        """
        model = self.guide.clip.model
        model.image.recompute = self.guide.recompute
        with torch.enable_grad():
            variable = x.detach().requires_grad_(True)
            similarity = self.guide.clip.log_probability(variable, sigma, self.text)
            (gradient,) = torch.autograd.grad(similarity, variable)
        return gradient.detach() * self.guide.scale

    def shift(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What to add to x_start (Dhariwal & Nichol 2021, alg. 2, written for x and sigma), like x [B, 3, H, W].

        As in ``prediction``, the model is never asked about more than a certain noise.
        """
        asked = network_sigma(sigma)
        a, s = (value.view(-1, 1, 1, 1) for value in (asked, sigma))
        seen = x * ((1 + a**2) / (1 + s**2)).sqrt()
        return a**2 * self.gradient(seen, asked)

    def reference_shift(self, x: Tensor, sigma: Tensor) -> Tensor:
        """``shift`` as OpenAI's code computes it, without a limit of sigma."""
        return sigma.view(-1, 1, 1, 1) ** 2 * self.gradient(x, sigma)
