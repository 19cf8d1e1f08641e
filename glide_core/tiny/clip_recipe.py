"""How the embedded noised CLIP is made, and how well it tells captions apart."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..diffusion.schedule import NoiseSchedule
from ..files import clip_checkpoints
from ..images import from_uint8
from ..models.clip import NoisedClip
from ..models.clip_config import START_LOGIT_SCALE, TINY_CLIP, ClipConfig
from ..models.clip_tokenizer import ClipTokenizer
from ..models.tokenizer import Tokenizer
from ..train import clip_session
from ..train.dataset import DataSource
from ..train.options import Options, Phase
from . import thing_data, thing_vocabulary, vocabulary
from .clip_details import details
from .clip_lesson import ContrastSource, SceneLesson
from .scenes import held_out_scenes, prompt, render
from .stages import Interrupted

SCENES = ("shapes", "things")
_ALWAYS = Options((Phase(None, 1000, 64),), ema=0.998, lr=2e-3, warmup=100, caption_dropout=0.0, save_every=3)
STAGES = (  # they follow each other; the first one has little noise, so that shapes are seen soon
    replace(_ALWAYS, schedule="constant", timestep_power=5.0),
    replace(_ALWAYS, phases=(Phase(None, 2000, 64),), decay=0.7, timestep_power=2.0, seed=1),
)
SHAPE_SCENES = 72_000
THINGS_TEXT_CTX = 66  # captions of things are longer
CAPTIONS, SEEN = 100, 500  # captions to choose from, and held-out scenes, of ``accuracy``


def make(
    folder: Path, *, scenes: str = "shapes", scale: float = 1.0, device: str = "auto", precision: str = "auto"
) -> Path:
    """Make one in a folder; when it was stopped and is started again, it goes on where it was.

    Args:
        scenes: which of ``SCENES`` it learns; those of things need the published drawings, see ``thing_data``.
        scale: of the number of steps.
        device, precision: see ``TrainingRequest`` and ``Options``.
    Returns:
        The finished .safetensors.
    Raises:
        Interrupted: it was stopped, for example by Ctrl-C.
    """
    result = folder / "tiny-clip.safetensors"
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(folder, scenes)
    start: ClipConfig | Path = replace(
        TINY_CLIP, vocab_size=tokenizer.vocab_size, text_ctx=tokenizer.text_ctx, logit_scale=START_LOGIT_SCALE
    )
    data: DataSource = ContrastSource(SHAPE_SCENES) if scenes == "shapes" else thing_data.ThingSource()
    for k, stage in enumerate(STAGES):
        out = folder / f"tiny-clip.{k}"
        phases = tuple(replace(p, steps=max(1, round(scale * p.steps))) for p in stage.phases)
        request = clip_session.ClipTrainingRequest(
            start=start,
            tokenizer=tokenizer,
            data=data,
            out=out,
            options=replace(stage, phases=phases, precision=precision),
            lesson=SceneLesson if scenes == "shapes" else None,
            device=device,
            resume=(out / "state.pt").exists(),
        )
        outcome = clip_session.run(request)
        if outcome.interrupted:
            raise Interrupted(f"{out.name} was stopped after step {outcome.step}")
        start = made = outcome.model
    temporary = result.with_suffix(".tmp")
    shutil.copyfile(made, temporary)
    temporary.replace(result)
    return result


def _tokenizer(folder: Path, scenes: str) -> ClipTokenizer:
    file = folder / "tokenizer.json"
    if not file.exists():
        write = vocabulary.write_tokenizer if scenes == "shapes" else thing_vocabulary.write_tokenizer
        write(file)
    text_ctx = TINY_CLIP.text_ctx if scenes == "shapes" else THINGS_TEXT_CTX
    return clip_checkpoints.of_words(Tokenizer.from_file(file, text_ctx), text_ctx)


def accuracy(
    model: NoisedClip, tokenizer: ClipTokenizer, timestep: int, *, count: int = SEEN, captions: int = CAPTIONS
) -> float:
    """The share of held-out scenes whose own prompt is the most similar of ``captions`` different ones, 0..1.

    Args:
        timestep: of the noise on the pictures, 0 for none.
    """
    scenes = held_out_scenes(count)
    texts = [prompt(scene) for scene in scenes]
    pictures = from_uint8(np.stack([render(scene, model.config.image_size) for scene in scenes]))
    image, text = embed(model, tokenizer, pictures, texts, timestep)
    others = list(dict.fromkeys(texts))
    ids = np.array([others.index(each) for each in texts])
    table = torch.stack([text[texts.index(each)] for each in others])
    rng, right = np.random.default_rng(0), 0
    for k, own in enumerate(ids):
        wrong = rng.permutation([i for i in range(len(others)) if i != own])[: captions - 1]
        chosen = table[[own, *wrong]] @ image[k]
        right += int(chosen.argmax() == 0)
    return right / len(scenes)


@torch.no_grad()
def embed(
    model: NoisedClip, tokenizer: ClipTokenizer, pictures: Tensor, texts: list[str], timestep: int
) -> tuple[Tensor, Tensor]:
    """The embeddings of pictures [B, 3, H, W] with the noise of a timestep, and of texts."""
    bar = float(NoiseSchedule("squaredcos_cap_v2").alphas_cumprod[timestep]) if timestep else 1.0
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    x = bar**0.5 * pictures + (1 - bar) ** 0.5 * noise
    timesteps = torch.full((len(x),), timestep)
    return model.embed_image(x, timesteps), model.embed_text(*tokenizer(texts))


def table(source: str | Path) -> str:
    """``accuracy`` of a noised CLIP at several timesteps, and ``details``, in Markdown."""
    model, tokenizer = clip_checkpoints.load(source)
    steps = (0, 250, 500, 750)
    found = details(model, tokenizer)
    cells = [f"{100 * accuracy(model, tokenizer, t):.1f}" for t in steps]
    head = " | ".join(f"timestep {t}" for t in steps)
    rows = [f"| {name} | {100 * right:.1f} | {100 * chance:.1f} |" for name, (right, chance) in found.items()]
    return "\n".join(
        [
            f"| {head} |\n| {' | '.join('---' for _ in steps)} |\n| {' | '.join(cells)} |\n",
            "| one detail | right % | by chance % |\n| --- | --- | --- |",
            *rows,
        ]
    )
