"""Ours against OpenAI's code, run side by side; the golden tests hold numbers of the same code for when it is not here.

Set GLIDE_REFERENCE to a checkout of openai/glide-text2im, or install it.
"""

import pytest
import torch

from clips import golden_clip
from glide_core.bench.reference import load_reference, reference_model
from glide_core.diffusion.clip_guidance import Clip, ClipGuide
from glide_core.diffusion.guidance import Denoiser, TextEncoding
from glide_core.diffusion.noise import StepNoise, seeded_noise
from glide_core.diffusion.samplers import Variance, sample_ddim, sample_ddpm
from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.models.clip import published_names
from glide_core.models.config import PUBLISHED
from golden import Golden

golden = Golden()
reference = load_reference()
pytestmark = pytest.mark.skipif(
    reference is None, reason="no reference implementation: set GLIDE_REFERENCE to a checkout of openai/glide-text2im"
)
KINDS = list(PUBLISHED)
PROMPTS = golden.meta["prompts"]["trajectories"]


def close(ours, theirs, tolerance):
    """Within a part of the largest value of theirs."""
    worst = (ours - theirs).abs().max() / theirs.abs().max()
    assert worst < tolerance, f"differs by {worst:.2e} of the largest value"


@pytest.fixture(params=KINDS)
def pair(request):
    """Ours and theirs with equal weights, float32."""
    ours = golden.model(golden.small_config(request.param))
    theirs = reference_model(reference, ours.config)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@torch.no_grad()
def test_forward(pair):
    ours, theirs = pair
    tokens, mask = golden.tokens(PROMPTS)
    size = ours.config.image_size
    x = golden.draw("x", (2, 3, size, size))
    timesteps, conditions = torch.tensor([3, 777]), golden.conditions(ours.config, 2)
    their_names = {"image": "inpaint_image", "known": "inpaint_mask", "low_res": "low_res"}
    theirs_given = {their_names[name]: value for name, value in conditions.items()}
    expected = theirs(x, timesteps, tokens=tokens, mask=mask, **theirs_given)
    close(ours(x, timesteps, tokens, mask, **conditions), expected, 1e-5)


@torch.no_grad()
def test_text(pair):
    ours, theirs = pair
    tokens, mask = golden.tokens(PROMPTS)
    xf_out, xf_proj = ours.text(tokens, mask)
    expected = theirs.get_text_emb(tokens, mask)
    close(xf_out.transpose(1, 2), expected["xf_out"], 1e-5)
    close(xf_proj, expected["xf_proj"], 1e-5)


class GivenNoise:
    """Hands out the same noises to both implementations, in turn."""

    def __init__(self, noises):
        self.noises = iter(noises)

    def __call__(self, x):
        return next(self.noises)


@torch.no_grad()
def test_ddpm_run(monkeypatch):
    """Eight steps of guided DDPM from timestep 500: from 999, sigma 20291, float32 differences grow too large."""
    scale, shape = 3.0, (1, 3, 64, 64)
    ours = golden.model(golden.small_config("base"))
    theirs = reference_model(reference, ours.config)
    theirs.load_state_dict(ours.state_dict())
    tokens, mask = golden.tokens(PROMPTS)
    x = seeded_noise(shape, 0)
    noise = StepNoise(0, 1)
    noises = [noise(x) for _ in range(8)]

    def guided(x, timesteps, **kwargs):
        eps, variance = theirs(torch.cat([x, x]), timesteps.repeat(2), **kwargs).chunk(2, dim=1)
        cond, uncond = eps.chunk(2)
        return torch.cat([uncond + scale * (cond - uncond), variance[:1]], dim=1)

    text = {"tokens": tokens, "mask": mask}
    diffusion = reference.create_gaussian_diffusion(1000, ours.config.noise_schedule, "7,1")
    monkeypatch.setattr(torch, "randn_like", GivenNoise(noises))
    expected = diffusion.p_sample_loop(guided, shape, noise=x, device="cpu", model_kwargs=text)

    texts = ours.text(tokens, mask)
    cond, uncond = (TextEncoding(*(part[i : i + 1] for part in texts)) for i in (0, 1))
    schedule = NoiseSchedule(ours.config.noise_schedule)
    sigmas = schedule.respaced_sigmas("7,1")
    denoiser = Denoiser(
        model=ours, schedule=schedule, cond=cond, uncond=uncond, guidance_scale=scale, as_reference=True
    )
    start = x * (1 + sigmas[0] ** 2).sqrt()
    actual = sample_ddpm(denoiser, start, sigmas, noise=GivenNoise(noises), variance=denoiser.variance)
    close(actual, expected, 1e-4)


@pytest.fixture
def clip_pair():
    """Ours and their two encoders, with equal weights."""
    encoders = pytest.importorskip("glide_text2im.clip.encoders")
    model, tokenizer = golden_clip(golden)
    c = model.config
    common = {"n_embd": c.embed_width, "device": torch.device("cpu")}
    text = encoders.TextEncoder(
        n_bpe_vocab=c.vocab_size,
        max_text_len=c.text_ctx,
        n_head=c.text_heads,
        n_xf_blocks=c.text_layers,
        n_head_state=c.text_width // c.text_heads,
        **common,
    )
    image = encoders.ImageEncoder(
        image_size=c.image_size,
        patch_size=c.patch_size,
        n_head=c.image_heads,
        n_xf_blocks=c.image_layers,
        n_head_state=c.image_width // c.image_heads,
        n_timestep=c.timesteps,
        **common,
    )
    text.load_state_dict(published_names(model.text.state_dict()))
    image.load_state_dict(published_names(model.image.state_dict()))
    return Clip(model, tokenizer), text, image


def their_gradient(clip, text, image, prompts, scale):
    """The function that OpenAI's ``CLIPModel.cond_fn`` gives, without its tokenizer's package ftfy."""
    tokens, lengths = clip.tokenizer(prompts)
    z_t = torch.nn.functional.normalize(text(tokens, lengths), dim=-1).detach()

    def gradient(x, t, **kwargs):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            z_i = torch.nn.functional.normalize(image((x + 1) * 127.5, t), dim=-1)
            return scale * torch.autograd.grad(clip.model.config.logit_scale * (z_t * z_i).sum(), x)[0]

    return gradient


@pytest.mark.parametrize("sampler, respacing", [(sample_ddpm, "7,1"), (sample_ddim, "ddim10")])
def test_clip_guided_run(clip_pair, monkeypatch, sampler, respacing):
    clip, text, image = clip_pair
    prompts, shape, scale = PROMPTS[:1], (1, 3, 64, 64), 4.0
    ours = golden.model(golden.small_config("base"))
    theirs = reference_model(reference, ours.config)
    theirs.load_state_dict(ours.state_dict())
    tokens, mask = golden.tokens(prompts)
    x, noise = seeded_noise(shape, 0), StepNoise(0, 1)
    noises = [noise(x) for _ in range(10)]
    diffusion = reference.create_gaussian_diffusion(1000, ours.config.noise_schedule, respacing)
    loop = diffusion.p_sample_loop if sampler is sample_ddpm else diffusion.ddim_sample_loop
    monkeypatch.setattr(torch, "randn_like", GivenNoise(noises))
    arguments = {"noise": x, "device": "cpu", "model_kwargs": {"tokens": tokens, "mask": mask}}
    expected = loop(theirs, shape, cond_fn=their_gradient(clip, text, image, prompts, scale), **arguments)
    monkeypatch.setattr(torch, "randn_like", GivenNoise(noises))
    unguided = loop(theirs, shape, **arguments)

    schedule = NoiseSchedule(ours.config.noise_schedule)
    sigmas = schedule.respaced_sigmas(respacing)
    with torch.no_grad():
        cond = TextEncoding(*ours.text(tokens, mask))
    gradient = Variance() if sampler is sample_ddpm else None
    denoiser = Denoiser(
        model=ours,
        schedule=schedule,
        cond=cond,
        as_reference=True,
        clip=ClipGuide(clip, scale=scale).start(prompts, sigmas),
        gradient=gradient,
    )
    extra = {"variance": denoiser.variance, "gradient": gradient} if sampler is sample_ddpm else {}
    start = x * (1 + sigmas[0] ** 2).sqrt()
    actual = sampler(denoiser, start, sigmas, noise=GivenNoise(noises), **extra)
    close(actual, expected, 1e-4)
    assert (unguided - expected).abs().max() > 3e-3
