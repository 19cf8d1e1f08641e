"""Prompts with AND and NOT: their parts, the rows of a step, and what comes out of models whose answer is known."""

from types import SimpleNamespace

import pytest
import torch

from glide_core.diffusion.composition import compose, plain_words, predicted_parts, split_prompt
from glide_core.diffusion.guidance import Denoiser, TextEncoding
from glide_core.diffusion.noise import seeded_noise
from glide_core.diffusion.schedule import NoiseSchedule
from glide_core.errors import OptionError
from glide_core.models.config import BASE
from glide_core.pipeline import Sampling, Stage, generate, inpaint, upsample

PLAIN = "a red circle on a blue background"
QUICK = Sampling(steps="2", sampler="ddim", guidance_scale=3.0)


@pytest.mark.parametrize(
    "prompt, parts",
    [
        ("a red circle AND a heart", [("a red circle", 1), ("a heart", 1)]),
        ("a red circle :1.2 AND a heart:.5", [("a red circle", 1.2), ("a heart", 0.5)]),
        ("a NOT b", [("a", 1), ("b", -1)]),
        ("a AND NOT b : 0.5", [("a", 1), ("b", -0.5)]),
        ("NOT b", [("b", -1)]),
        ("a NOT b :-2", [("a", 1), ("b", 2)]),
        ("a\nAND\tb\n", [("a", 1), ("b", 1)]),
        ("a AND  AND b AND", [("a", 1), ("b", 1)]),
        ("a AND b :0", [("a", 1)]),
        ("NOT b :0", [("", 1)]),
        ("a clock at 10:30 AND a cat", [("a clock at 10:30", 1), ("a cat", 1)]),
        ("a (red:1.3) circle AND b", [("a (red:1.3) circle", 1), ("b", 1)]),
    ],
)
def test_parts(prompt, parts):
    assert split_prompt(prompt) == parts


@pytest.mark.parametrize(
    "prompt",
    ["", " a  b ", "bread and butter, not jam", "SAND, NOTES AND-gates", "an AND-gate", "A CAT AND A DOG", "a :1.2"],
)
def test_a_prompt_without_the_words_is_left_alone(prompt):
    assert split_prompt(prompt) == [(prompt, 1)]


@pytest.mark.parametrize("weight", ["101", "-1000000"])
def test_absurd_weights_are_named(weight):
    with pytest.raises(OptionError, match=f"'a heart' the weight {weight}"):
        split_prompt(f"a AND a heart :{weight}")


@pytest.mark.parametrize("prompt", ["a", "a AND b", "a :0.7 AND b :1.9 NOT c", "NOT b", "a :0.5 AND b :0.5"])
def test_weights_add_up_to_one(prompt):
    assert sum(part.weight for part in predicted_parts(prompt)) == pytest.approx(1)


@pytest.mark.parametrize(
    "prompt, plain",
    [
        ("a red circle", "a red circle"),
        ("a red circle:1.3", "a red circle:1.3"),
        ("a red circle :1.2 AND a blue background:.8 NOT a star", "a red circle and a blue background"),
        ("NOT a star", ""),
    ],
)
def test_what_clip_reads_of_a_prompt(prompt, plain):
    assert plain_words(prompt) == plain


def test_the_empty_prompt_is_asked_once_for_a_picture():
    guided = compose(["a AND b", "c", "d NOT e"], ["", "", "f"])
    assert (guided.uncond_texts, guided.cond_texts) == (["", "", "f"], ["a", "b", "c", "d", "e", ""])
    assert guided.pictures.tolist() == [0, 1, 2, 0, 0, 1, 2, 2, 2]
    assert guided.cond.rows.tolist() == [[3, 4, 0], [5, 5, 5], [6, 7, 8]]
    assert guided.cond.weights.tolist() == [[1, 1, -1], [1, 0, 0], [1, -1, 1]]
    alone = compose(["a AND b", "c"], None)
    assert (alone.uncond, alone.cond_texts, alone.cond.rows.tolist()) == (
        None,
        ["a", "b", "", "c"],
        [[0, 1, 2], [3] * 3],
    )


class FakeUNet:
    """eps is the context's value."""

    dtype = torch.float32

    def __call__(self, x, timesteps, context, y):
        eps = context[:, :1, :1, None].expand(-1, 3, *x.shape[2:])
        return torch.cat([eps, eps], dim=1)


EPS = {"": -0.1, "a": 0.2, "b": 0.5, "c": -0.4}


def encoded(texts):
    values = torch.tensor([EPS[text] for text in texts])
    return TextEncoding(values[:, None, None].expand(-1, 8, 16), torch.zeros(len(texts), 64))


@pytest.mark.parametrize("scale", [1.0, 3.0, -0.5])
@pytest.mark.parametrize("negative", ["", "c", "a :0.5 AND c :0.5"])
def test_the_equation(scale, negative):
    """A plain prompt and composed ones in one batch; at sigma 0.5 x_start is x - eps / 2."""
    prompts = ["a", "a AND b", "a :0.8 NOT b :0.3"]
    composition = compose(prompts, None if scale == 1 else [negative] * 3)
    denoiser = Denoiser(
        model=SimpleNamespace(unet=FakeUNet(), config=BASE),
        schedule=NoiseSchedule("squaredcos_cap_v2"),
        cond=encoded(composition.cond_texts),
        uncond=None if scale == 1 else encoded(composition.uncond_texts),
        composition=composition,
        guidance_scale=scale,
    )
    x = 0.01 * seeded_noise((3, 3, 16, 16), 0)
    u, a, b, c = EPS.values()
    sums = torch.tensor([a, u + (a - u) + (b - u), u + 0.8 * (a - u) - 0.3 * (b - u)])
    away = {"": u, "c": c}.get(negative, (a + c) / 2)
    eps = away + scale * (sums - away)
    expected = (x - 0.5 * eps.view(-1, 1, 1, 1)).clamp(-1, 1)
    torch.testing.assert_close(denoiser(x, torch.full((3,), 0.5)), expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def base(request):
    return Stage.load("tiny-base", dtype=request.param)


def test_one_part_of_weight_1_is_the_plain_prompt_bit_for_bit(base):
    plain = generate(base, PLAIN, QUICK, size=16)
    for prompt in (f"{PLAIN} :1 AND", f"{PLAIN} AND a heart :0", f"AND {PLAIN} NOT"):
        assert generate(base, prompt, QUICK, size=16).equal(plain), prompt


def test_two_halves_of_a_prompt_are_the_prompt(base):
    """All but the rounding of a larger batch, which few steps from a large sigma magnify."""
    halves, whole = (
        generate(base, prompt, QUICK, size=16) for prompt in (f"{PLAIN} :0.5 AND {PLAIN} :0.5", f"{PLAIN}")
    )
    assert (halves - whole).abs().mean() < (1e-3 if base.model.unet.dtype == torch.float32 else 3e-2)


def test_parts_change_the_picture_and_a_batch_holds_both_kinds(base):
    prompts = [PLAIN, "a red circle AND a blue background", "a red circle NOT a blue background"]
    batch = generate(base, prompts, QUICK, size=16, seed=[1, 1, 1])
    for k, prompt in enumerate(prompts):
        alone = generate(base, prompt, QUICK, size=16, seed=1)
        assert (batch[k : k + 1] - alone).abs().mean() < (1e-3 if base.model.unet.dtype == torch.float32 else 3e-2)
    assert min((batch[0] - batch[k]).abs().mean() for k in (1, 2)) > 0.01


def test_every_stage_reads_them():
    quick = Sampling(steps="1", sampler="ddim", guidance_scale=1.0)
    picture, mask = torch.zeros(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    painter, upsampler = Stage.load("tiny-base-inpaint"), Stage.load("tiny-upsample")
    for run in (
        lambda prompt: inpaint(painter, prompt, picture, mask, quick),
        lambda prompt: upsample(upsampler, prompt, picture[..., :16, :16], quick),
    ):
        plain, composed = run("a red circle"), run("a red circle AND a green background")
        assert plain.shape == composed.shape and (plain - composed).abs().max() > 1e-4
