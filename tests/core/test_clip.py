"""The noised CLIP: the reference's embeddings, tokens and guided runs; what else guidance promises."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clips import SMALL, golden_clip, small_clip
from glide_core.diffusion.clip_guidance import Clip, ClipGradient, ClipGuide
from glide_core.diffusion.guidance import Denoiser, TextEncoding
from glide_core.diffusion.samplers import SAMPLERS, Variance, sample_ddpm
from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.errors import ImageError, OptionError
from glide_core.models.clip import NoisedClip, own_names, published_names
from glide_core.models.clip_config import PUBLISHED_CLIP
from glide_core.models.clip_tokenizer import ClipTokenizer
from glide_core.pipeline import Sampling, Stage, inpaint
from golden import DEVICES, Golden

golden = Golden()
META = golden.meta
CLIP = golden.npz("clip_small.npz")


def close(ours, expected, tolerance=1e-4):
    """Within a part of the largest value."""
    worst = np.abs(ours.detach().cpu().numpy() - expected).max() / np.abs(expected).max()
    assert worst < tolerance, f"differs by {worst:.2e} of the largest value"


@pytest.fixture
def small():
    return Clip(*small_clip())


@pytest.mark.parametrize("part, file", [("image", "clip/image-enc"), ("text", "clip/text-enc")])
def test_published_names_and_shapes(part, file):
    encoder = getattr(NoisedClip(PUBLISHED_CLIP, device="meta"), part)
    published = published_names(encoder.state_dict())
    assert {name: list(t.shape) for name, t in published.items()} == golden.json("checkpoint_manifests.json")[file]
    assert list(own_names(published)) == list(encoder.state_dict())


@pytest.mark.parametrize("entry", golden.json("tokens.json"), ids=lambda entry: entry["prompt"][:20])
def test_tokens(entry):
    ids, lengths = ClipTokenizer.openai(77)([entry["prompt"]])
    assert [ids[0].tolist(), int(lengths[0])] == entry["clip77"]


def test_texts_as_people_write_them():
    tokenizer = ClipTokenizer.openai(77)
    for same in ("A  Dog’s\nlife &amp; more", "a dog's life & more "):
        assert tokenizer.encode(same) == tokenizer.encode("a dog's life & more")
    ids, lengths = tokenizer(["word " * 5000])
    assert ids.shape == (1, 77) and int(lengths[0]) == 77 and int(ids[0, -1]) == tokenizer.end
    assert int(tokenizer(["\ud83d"])[1][0]) > 2  # half an emoji


@pytest.mark.parametrize("device", DEVICES)
def test_embeddings_and_gradient(device):
    model, tokenizer = golden_clip(golden, device=device)
    clip = Clip(model, tokenizer)
    text = clip.embed_texts(META["prompts"]["clip_small"])
    close(text, CLIP["text"])
    x = golden.draw("clip_x", (2, 3, 64, 64)).tanh().to(device).requires_grad_(True)
    image = model.embed_image(x, torch.tensor(META["clip_small_timesteps"], device=device))
    close(image, CLIP["image"])
    (gradient,) = torch.autograd.grad(model.similarity(image, text).sum(), x)
    close(gradient * META["guidance_scale"]["clip_small.grad"], CLIP["grad"])


def test_text_in_a_batch_and_without_padding():
    model, tokenizer = golden_clip(golden)
    tokens, lengths = tokenizer(["a dog", "a very long sentence about a dog and its house by the sea"])
    both = model.embed_text(tokens, lengths)
    alone = model.embed_text(tokens[:1, : int(lengths[0])], lengths[:1])
    torch.testing.assert_close(both[:1], alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    exact, tokenizer = golden_clip(golden)
    half, _ = golden_clip(golden, dtype)
    x, sigma = golden.draw("clip_x", (2, 3, 64, 64)).tanh(), torch.tensor([0.1, 2.0])
    gradients = []
    for model in (exact, half):
        guide = ClipGuide(Clip(model, tokenizer), scale=3.0)
        run = guide.start(META["prompts"]["clip_small"], torch.tensor([2.0, 0.1, 0.0]))
        gradients.append(run.gradient(x, sigma).flatten())
    assert torch.cosine_similarity(*gradients, dim=0) > 0.98


def guided_run(clip, *, dtype, sampler=sample_ddpm, respacing="8", scale=None, **options):
    """The golden set's run, as OpenAI's code does it."""
    name, prompts = "clip_guided_ddpm8", META["prompts"]["clip_guided"]
    model = golden.model(golden.small_config("base"), dtype)
    schedule = NoiseSchedule(model.config.noise_schedule)
    sigmas = schedule.respaced_sigmas(respacing)
    with torch.no_grad():
        cond = TextEncoding(*model.text(*golden.tokens(prompts)))
    gradient = Variance() if sampler is sample_ddpm else None
    scale = META["guidance_scale"]["clip_guided"] if scale is None else scale
    denoiser = Denoiser(
        model=model,
        schedule=schedule,
        cond=cond,
        as_reference=True,
        clip=ClipGuide(clip, scale=scale, **options).start(prompts, sigmas),
        gradient=gradient,
    )
    steps = iter(range(1000))

    def noise(x=None):
        return golden.draw(f"{name}:{next(steps)}", (1, 3, 64, 64)).to(dtype)

    x = noise() * (1 + sigmas[0] ** 2).sqrt()
    extra = {"variance": denoiser.variance, "gradient": gradient} if sampler is sample_ddpm else {}
    return sampler(denoiser, x, sigmas, noise=noise, **extra)


def test_guided_run():
    x = guided_run(Clip(*golden_clip(golden, torch.float64)), dtype=torch.float64)
    expected = golden.npz("clip_guided.npz")["base_ddpm8"]
    difference = np.abs(x.numpy() - expected)
    # The golden run was computed in float32, which moves single pixels at timestep 999 (see test_golden_sampling).
    assert difference.max() < 2e-3 and difference.mean() < 1e-4, f"differs by {difference.max():.2e}"
    unguided = guided_run(Clip(*golden_clip(golden, torch.float64)), dtype=torch.float64, scale=0.0)
    assert np.abs(unguided.numpy() - expected).mean() > 1e-3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_is_guided(sampler):
    clip = Clip(*golden_clip(golden))
    guided, free = (
        guided_run(clip, dtype=torch.float32, sampler=SAMPLERS[sampler], respacing="10", scale=s) for s in (3.0, 0.0)
    )
    text = META["prompts"]["clip_guided"]
    assert clip.scores(guided, text) > clip.scores(free, text)


def test_recompute_changes_nothing(small):
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sigmas = torch.tensor([1.0, 0.0])
    runs = [ClipGuide(small, recompute=recompute).start(["a dog"], sigmas) for recompute in (False, True)]
    first, second = (run.gradient(x, sigmas[:1]) for run in runs)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_the_gradient_is_of_the_similarity(small):
    """By finite differences, also where the picture is larger than what CLIP reads."""
    small.model.double().dtype = torch.float64
    for side in (16, 64):
        g = torch.Generator().manual_seed(side)
        x, sigma = torch.randn(1, 3, side, side, generator=g).double(), torch.tensor([1.5]).double()
        step = 1e-4 * torch.randn(x.shape, generator=g).double()
        run = ClipGuide(small, scale=1.0).start(["a dog"], torch.tensor([1.5, 0.0]))
        after, before = (small.log_probability(x + s * step, sigma, run.text) for s in (1, -1))
        slope = (run.gradient(x, sigma) * step).sum() * 2
        torch.testing.assert_close(after - before, slope, rtol=1e-4, atol=1e-12)


def test_a_larger_picture_has_less_noise_for_clip(small):
    """Reducing a picture 4 times makes sigma a quarter: CLIP reads the timestep of that."""
    asked = []
    embed = small.model.embed_image
    small.model.embed_image = lambda x, t: asked.append((float(x.std()), int(t[0]))) or embed(x, t)
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    text = small.embed_texts(["a dog"])
    small.log_probability(8 * noise, torch.tensor([8.0]), text)
    small.log_probability(2 * noise[..., :16, :16], torch.tensor([2.0]), text)
    assert asked[0][1] == asked[1][1] == round(float(small.schedule.timestep(torch.tensor(2.0))))
    assert abs(asked[0][0] - asked[1][0]) < 0.1


@given(share=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), every=st.integers(1, 5), steps=st.integers(1, 40))
def test_steps_that_are_guided(share, every, steps):
    clip = Clip(NoisedClip(SMALL, device="meta"), None)
    guide = ClipGuide(clip, guide_from=share[0], guide_until=share[1], every=every)
    sigmas = [float(steps - i) for i in range(steps)] + [0.0]
    run = ClipGradient(guide, torch.zeros(1), sigmas)
    wanted = [run.wanted(sigma) for sigma in sigmas[:-1]]
    for i, found in enumerate(wanted):
        assert found == (share[0] * steps <= i < share[1] * steps and i % every == 0)


@pytest.mark.parametrize(
    "options",
    [{"scale": float("nan")}, {"scale": 1e9}, {"guide_from": 0.6, "guide_until": 0.5}, {"every": 0}, {"every": 1.5}],
)
def test_wrong_options(small, options):
    with pytest.raises(OptionError):
        ClipGuide(small, **options)


def test_wrong_texts_and_pictures(small):
    with pytest.raises(OptionError, match="empty"):
        small.embed_texts(["a dog", "  "])
    with pytest.raises(OptionError, match="2 texts for 3"):
        ClipGuide(small, texts=("a", "b")).start(["x"] * 3, torch.tensor([1.0, 0.0]))
    with pytest.raises(ImageError, match="1x64"):
        small.scores(torch.zeros(1, 3, 64, 1), ["a dog"])
    assert small.scores(torch.zeros(2, 3, 5, 7), ["a dog", "a cat"]).shape == (2,)


@pytest.fixture(scope="module")
def inpainting():
    return Stage.load("tiny-base-inpaint")


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp_2m"])
@pytest.mark.parametrize("hide_until", [0.0, 0.5])
def test_guidance_changes_the_hole_alone(inpainting, small, sampler, hide_until):
    """However strong it is, not one value outside of the mask is another."""
    image = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0)) * 2 - 1
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 12:52] = 1
    sampling = Sampling("2", sampler)
    plain, guided = (
        inpaint(inpainting, ["a red star"], image, mask, sampling, hide_until=hide_until, repaint_passes=1, clip=guide)
        for guide in (None, ClipGuide(small, scale=300.0))
    )
    outside = (mask == 0).expand_as(image)
    assert torch.equal(guided[outside], image[outside])
    assert (guided - plain)[~outside].abs().mean() > 1e-3
