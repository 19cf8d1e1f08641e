"""Seeds and noise: what a picture is made of depends on its own seed alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from glide_core.diffusion.noise import StepNoise, picture_seed, picture_seeds, seeded_noise
from glide_core.errors import OptionError

SHAPE = (3, 3, 8, 8)


def test_hashes_stay_what_they_are():
    """Files say with which seed they were made: these numbers must never change."""
    assert [picture_seed(0, k) for k in range(3)] == [0, 1498765885564669, 4592581745434984]
    assert picture_seed(2**64 - 1, 1) == 3672796978599346


def test_picture_0_has_the_seed_itself():
    for seed in (0, 1, 2**32, 2**64 - 1):
        assert picture_seed(seed, 0) == seed
    assert picture_seed(-1, 0) == 2**64 - 1 and picture_seed(2**64 + 3, 0) == 3


def test_batches_of_neighbouring_seeds_share_no_picture():
    seeds = [each for seed in range(200) for each in picture_seeds(seed, 50)]
    assert len(set(seeds)) == len(seeds)
    batches = torch.cat([seeded_noise((4, 1, 4, 4), seed) for seed in range(10, 14)])
    assert len({tuple(picture.flatten().tolist()) for picture in batches}) == 16


def test_hashes_can_be_kept_as_doubles():
    assert all(int(float(picture_seed(seed, k))) == picture_seed(seed, k) for seed in range(50) for k in range(1, 50))


@pytest.mark.parametrize("seed", [5, 2**40, -3])
def test_picture_is_the_same_alone_and_in_a_batch(seed):
    batch, noise = seeded_noise(SHAPE, seed), StepNoise(seed, 3)
    steps = [noise(batch), noise(batch)]
    for k in range(3):
        alone = StepNoise(picture_seed(seed, k), 1)
        assert batch[k : k + 1].equal(seeded_noise((1, *SHAPE[1:]), picture_seed(seed, k)))
        for step in steps:
            assert step[k : k + 1].equal(alone(batch[:1]))


def test_a_seed_for_each_picture():
    seeds = [7, 2**63, 7]
    batch, steps = seeded_noise(SHAPE, seeds), StepNoise(seeds, 3)(torch.zeros(SHAPE))
    for k, seed in enumerate(seeds):
        assert batch[k].equal(seeded_noise((1, *SHAPE[1:]), seed)[0])
        assert steps[k].equal(StepNoise(seed, 1)(torch.zeros(1, *SHAPE[1:]))[0])
    assert batch[0].equal(batch[2]) and not batch[0].equal(batch[1])


@pytest.mark.parametrize(
    "given, meant",
    [
        (np.int64(5), 5),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (torch.tensor(5), 5),
        (range(2, 5), [2, 3, 4]),
        ((2, 3, 4), [2, 3, 4]),
        (np.array([2, 3, 4]), [2, 3, 4]),
        (np.array([2, 3, 2**64 - 1], np.uint64), [2, 3, 2**64 - 1]),
    ],
)
def test_kinds_of_integers(given, meant):
    assert seeded_noise(SHAPE, given).equal(seeded_noise(SHAPE, meant))
    assert picture_seeds(given, 3) == picture_seeds(meant, 3)


@pytest.mark.parametrize("given", [1.5, "7", None, [1, 2.0, 3], np.array([0.5, 1, 2]), [1, 2], [1, 2, 3, 4], []])
def test_other_seeds_are_refused_by_name(given):
    for make in (lambda: seeded_noise(SHAPE, given), lambda: StepNoise(given, 3)):
        with pytest.raises(OptionError, match="seed"):
            make()


def test_noises_differ():
    x = seeded_noise((2, 3, 8, 8), 5)
    noise = StepNoise(5, 2)
    first, second = noise(x), noise(x)
    pictures = [*x, *first, *second, *seeded_noise((1, 3, 8, 8), 7)]
    for i, a in enumerate(pictures):
        assert not any(a.equal(b) for b in pictures[:i])


def test_seeds_have_64_bits_and_wrap():
    last = 2**64 - 1
    assert seeded_noise(SHAPE, last + 1).equal(seeded_noise(SHAPE, 0))
    for other in (last - 1, last - 2**32):
        assert not seeded_noise(SHAPE, last).equal(seeded_noise(SHAPE, other))


def test_noise_is_normal():
    noise = seeded_noise((64, 3, 32, 32), 0)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01


def test_the_default_dtype_does_not_matter():
    expected, steps = seeded_noise(SHAPE, 3), StepNoise(3, 3)(torch.zeros(SHAPE))
    torch.set_default_dtype(torch.float64)
    try:
        noise = seeded_noise(SHAPE, 3)
        fresh = StepNoise(3, 3)(torch.zeros(SHAPE, dtype=torch.float32))
    finally:
        torch.set_default_dtype(torch.float32)
    assert noise.dtype == torch.float32 and noise.equal(expected)
    assert fresh.equal(steps)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_step_noise_is_like_x(dtype):
    assert StepNoise(0, 3)(torch.zeros(SHAPE, dtype=dtype)).dtype == dtype


def test_an_offset_shifts_each_channel_of_each_picture_by_an_own_number():
    plain, shifted = seeded_noise((400, 3, 8, 8), 5), seeded_noise((400, 3, 8, 8), 5, (0.5,))
    shift = shifted - plain
    torch.testing.assert_close(shift, shift[..., :1, :1].expand_as(shift))
    # a random part, 0 to 1, of a normal number: the mean square of the part is 1/3
    assert shift[..., 0, 0].std().item() == pytest.approx(0.5 / 3**0.5, rel=0.15)
    assert abs(shift[..., 0, 0].mean()) < 0.04
    assert seeded_noise((400, 3, 8, 8), 5, ()).equal(plain)


def test_the_second_offset_is_on_a_grid_of_four():
    shift = (seeded_noise((64, 1, 64, 64), 5, (0.0, 0.5)) - seeded_noise((64, 1, 64, 64), 5)).double()
    quarters = F.adaptive_avg_pool2d(shift, 4)
    apart = (quarters[..., :, 0] - quarters[..., :, 3]).std()  # columns that share no number of the grid
    near = (shift[..., 1:] - shift[..., :-1]).std()
    assert 0.2 < apart < 0.6 and near < 0.05


def test_the_offset_of_a_picture_is_the_same_alone():
    batch = seeded_noise((3, 3, 8, 8), 5, (0.5, 0.2))
    for k in range(3):
        assert batch[k : k + 1].equal(seeded_noise((1, 3, 8, 8), picture_seed(5, k), (0.5, 0.2)))
