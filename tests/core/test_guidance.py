"""Guidance, thresholding and pinning, with U-Nets whose answer is known, and a small real one through Stage.sample."""

from types import SimpleNamespace

import pytest
import torch

from glide_core.diffusion.guidance import Denoiser, TextEncoding, clip, dynamic_threshold, guide
from glide_core.diffusion.noise import picture_seed, seeded_noise
from glide_core.diffusion.samplers import SAMPLERS
from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.models.config import BASE, PUBLISHED, ModelConfig
from glide_core.models.text2im import Text2Im
from glide_core.pipeline import Sampling, Stage

SCHEDULE = NoiseSchedule("squaredcos_cap_v2")
SMALL = ModelConfig(
    image_size=16,
    num_channels=16,
    num_res_blocks=1,
    channel_mult=(1, 2),
    attention_resolutions=(8,),
    num_head_channels=16,
    norm_groups=8,
    text_ctx=8,
    xf_width=16,
    xf_layers=1,
    xf_heads=2,
    vocab_size=64,
)


class FakeUNet:
    """eps is the context's value, the variance channels are y's; remembers what it was called with."""

    dtype = torch.float32

    def __init__(self):
        self.calls = []

    def __call__(self, x, timesteps, context, y):
        self.calls.append(SimpleNamespace(x=x, timesteps=timesteps))
        eps = context[:, :1, :1, None].expand(-1, 3, *x.shape[2:])
        return torch.cat([eps, y[:, :1, None, None].expand_as(eps)], dim=1)


def encoded(value, variance=0.0, batch=2):
    return TextEncoding(torch.full((batch, 8, 16), value), torch.full((batch, 64), variance))


def denoiser(cond, uncond=None, guidance_scale=1.0, *, config=BASE, **kwargs):
    model = SimpleNamespace(unet=FakeUNet(), config=config)
    return Denoiser(model=model, schedule=SCHEDULE, cond=cond, uncond=uncond, guidance_scale=guidance_scale, **kwargs)


def x_and_sigma(sigma=0.5):
    return 0.1 * seeded_noise((2, 3, 16, 16), 0), torch.full((2,), sigma)


def test_guide():
    cond, uncond = torch.tensor(3.0), torch.tensor(1.0)
    assert guide(cond, uncond, 1) == cond
    assert guide(cond, uncond, 0) == uncond
    assert guide(cond, uncond, 4) == 9


def test_scale_1_runs_the_conditional_half_only():
    x, sigma = x_and_sigma()
    guided = denoiser(encoded(0.2), encoded(-0.4), 1.0)
    alone = denoiser(encoded(0.2))
    assert guided(x, sigma).equal(alone(x, sigma))
    assert [len(call.x) for call in guided.model.unet.calls] == [2]


@pytest.mark.parametrize("scale", [0.0, 3.0, -1.0])
def test_scale_moves_eps_away_from_the_unconditional(scale):
    x, sigma = x_and_sigma()
    model = denoiser(encoded(0.2), encoded(-0.4), scale)
    eps = -0.4 + scale * (0.2 + 0.4)
    torch.testing.assert_close(model(x, sigma), (x - 0.5 * eps).clamp(-1, 1))
    assert [len(call.x) for call in model.model.unet.calls] == [4]


def test_unet_sees_unit_variance_and_the_timestep():
    sigma = torch.from_numpy(SCHEDULE.sigmas[[500, 20]]).float()
    x = seeded_noise((2, 3, 16, 16), 0)
    model = denoiser(encoded(0.2), encoded(-0.4), 3.0)
    model(x, sigma)
    (call,) = model.model.unet.calls
    torch.testing.assert_close(call.timesteps, torch.tensor([500.0, 20.0, 500.0, 20.0]), rtol=0, atol=1e-3)
    expected = x / (1 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()
    torch.testing.assert_close(call.x, torch.cat([expected, expected]))


def test_variance_is_the_conditional_halfs():
    x, sigma = x_and_sigma()
    model = denoiser(encoded(0.2, variance=0.7), encoded(-0.4, variance=-0.7), 3.0)
    model(x, sigma)
    assert model.variance.take(x).eq(0.7).all()


@pytest.mark.parametrize("threshold", [None, 0.9, 1.0])
def test_known_pixels_are_pinned_exactly(threshold):
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8] = 1
    image = seeded_noise((2, 3, 16, 16), 1).clamp(-1, 1)
    x, sigma = x_and_sigma()
    model = denoiser(
        encoded(7.0),
        config=PUBLISHED["base-inpaint"],
        threshold=threshold,
        conditions={"image": image, "known": mask},
    )
    x_start = model(x, sigma)
    assert x_start[..., :8].equal(image[..., :8])
    unpinned = denoiser(encoded(7.0), threshold=threshold)(x, sigma)
    assert x_start[..., 8:].equal(unpinned[..., 8:])


def test_clip():
    assert clip(torch.tensor([-2.0, 0.5, 2.0])).tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize("threshold", [0.5, 0.995, 1.0])
def test_dynamic_threshold_keeps_the_range(threshold):
    bounded = dynamic_threshold(3 * seeded_noise((2, 3, 16, 16), 0), threshold)
    assert bounded.abs().max() <= 1
    assert bounded.abs().flatten(1).ge(1 - 1e-6).float().mean(dim=1).allclose(torch.tensor(1 - threshold), atol=0.01)


def test_dynamic_threshold_of_everything_divides_by_the_largest():
    x = 3 * seeded_noise((2, 3, 16, 16), 0)
    torch.testing.assert_close(dynamic_threshold(x, 1.0), x / x.abs().amax(dim=(1, 2, 3), keepdim=True))


def test_dynamic_threshold_leaves_a_picture_within_the_range():
    x = 0.9 * seeded_noise((2, 3, 16, 16), 0).clamp(-1, 1)
    assert dynamic_threshold(x, 0.9).equal(x)


class Letters:
    """A tokenizer that needs no vocabulary."""

    def batch(self, prompts):
        rows = [[ord(c) % 64 for c in prompt[:8]] for prompt in prompts]
        tokens = torch.tensor([row + [63] * (8 - len(row)) for row in rows])
        return tokens, torch.tensor([[i < len(row) for i in range(8)] for row in rows])


@pytest.fixture(scope="module")
def stage():
    torch.manual_seed(0)
    model = Text2Im(SMALL).eval()
    for parameter in (model.text.positional_embedding, model.text.padding_embedding):
        torch.nn.init.normal_(parameter)
    return Stage(model, Letters())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_picture_is_the_same_alone_and_in_a_batch(stage, sampler):
    options = Sampling(steps=4, sampler=sampler, eta=1.0)
    prompts = ["a red circle", "", "two cats"]
    batch = stage.sample(prompts, options, seed=5)
    assert batch.shape == (3, 3, 16, 16) and batch.dtype == torch.float32
    for k, prompt in enumerate(prompts):
        alone = stage.sample([prompt], options, seed=picture_seed(5, k))
        torch.testing.assert_close(batch[k : k + 1], alone, rtol=0, atol=1e-3)


def test_seeds_and_prompts_matter(stage):
    options = Sampling(steps=4)
    same = stage.sample(["a"], options, seed=1)
    assert same.equal(stage.sample(["a"], options, seed=1))
    assert not same.equal(stage.sample(["a"], options, seed=2))
    assert not same.equal(stage.sample(["b"], options, seed=1))
    assert not same.equal(stage.sample(["a"], options, seed=1, negative="b"))


def test_text_is_encoded_once_and_a_step_is_one_call(stage):
    calls, steps = [], []
    hooks = [
        getattr(stage.model, name).register_forward_hook(lambda *_, name=name: calls.append(name))
        for name in ("text", "unet")
    ]
    stage.sample(["a"], Sampling(steps=3), callback=lambda *step: steps.append(step))
    for hook in hooks:
        hook.remove()
    assert calls == ["text", "text", "unet", "unet", "unet"]
    assert [step[:2] for step in steps] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("size, shape", [(8, (8, 8)), ((8, 24), (8, 24)), (None, (16, 16))])
def test_sizes(stage, size, shape):
    assert stage.sample(["a"], Sampling(steps=1), size=size).shape[2:] == shape


@pytest.mark.parametrize("size", [0, 7, (8, 9), -8])
def test_bad_sizes_are_named(stage, size):
    with pytest.raises(ValueError, match="multiples of 2"):
        stage.sample(["a"], Sampling(steps=1), size=size)


@pytest.mark.parametrize(
    "name, value",
    [
        ("sampler", "fast"),
        ("guidance_scale", float("nan")),
        ("temperature", float("inf")),
        ("eta", float("nan")),
        ("eta", -0.1),
        ("eta", 1.1),
        ("threshold", 0.0),
        ("threshold", 1.1),
    ],
)
def test_bad_options_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        Sampling(**{name: value})
