"""Cutting squares out of pictures of any size and putting them back: bit for bit the same outside the feather."""

import dataclasses

import numpy as np
import pytest
import torch

from glide_core.editing import blending, regions
from glide_core.editing.blending import Blend

HARD = Blend("hard")

SIZES = {"tiny": (16, 16), "wide": (17, 301), "tall": (255, 33), "odd": (97, 101), "usual": (300, 400)}
LARGE = {"a photo": (2000, 3000), "another": (1001, 1300)}
MASKS = ("empty", "full", "corner", "blobs", "soft", "pixel")


def random_picture(rng, size, kind):
    """A picture [1, H, W, 3] and a mask [1, H, W] of one of ``MASKS``."""
    height, width = size
    image = torch.from_numpy(rng.random((1, height, width, 3), dtype=np.float32))
    mask = torch.zeros(1, height, width)
    if kind == "full":
        mask[:] = 1
    if kind == "corner":
        mask[:, -max(1, height // 5) :, : max(1, width // 3)] = 1
    if kind == "pixel":
        mask[0, rng.integers(height), rng.integers(width)] = 1
    if kind in ("blobs", "soft"):
        for _ in range(3):
            top, left = rng.integers(height), rng.integers(width)
            mask[0, top : top + height // 6 + 1, left : left + width // 7 + 1] = 1 if kind == "blobs" else 0.4
    return image, mask


def check_outside_is_untouched(size, kind, blend, each, interpolation):
    rng = np.random.default_rng(len(kind) + size[0])
    image, mask = random_picture(rng, size, kind)
    before = image.clone()
    found = regions.around(mask, crop_factor=float(rng.uniform(1, 4)), each=each)
    crops, masks = regions.cut(image, mask, found, 100, interpolation)
    assert crops.shape == (len(found), 100, 100, 3) and masks.shape == (len(found), 100, 100)
    assert (masks > 0).any() == (mask > 0).any()
    out = regions.stitch(image, found, 1 - crops, blend=blend)
    assert torch.equal(image, before)
    reach = blend.feather if blend.how == "feather" else 0
    outside = blending.feathered(mask[0] > 0, reach)[None] == 0
    assert torch.equal(out[outside], image[outside])
    if (mask > 0).any():
        assert not torch.equal(out, image)
    assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("how", blending.BLENDS)
def test_outside_the_feather_not_one_value_differs(size, kind, how):
    check_outside_is_untouched(size, kind, Blend(how, feather=7), each=False, interpolation="area")


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("match_colours", [False, True])
@pytest.mark.parametrize("interpolation", ["area", "lanczos"])
def test_nor_with_a_square_for_each_part_or_with_colours_matched(kind, match_colours, interpolation):
    blend = Blend("feather", 19, match_colours)
    check_outside_is_untouched(SIZES["usual"], kind, blend, each=True, interpolation=interpolation)


@pytest.mark.parametrize("size", LARGE.values(), ids=LARGE)
def test_nor_in_a_large_photo(size):
    check_outside_is_untouched(size, "blobs", Blend("feather", 8), each=False, interpolation="area")


@pytest.mark.parametrize("size", [(64, 64), (200, 90)])
def test_a_square_that_is_not_resized_comes_back_as_it_was(size):
    image = torch.rand(1, *size, 3)
    mask = torch.zeros(1, *size)
    mask[:, 5:20, 40:70] = 1
    (region,) = regions.around(mask, crop_factor=3)
    crops, masks = regions.cut(image, mask, [region], region.side)
    assert torch.equal(regions.stitch(image, [region], crops, blend=HARD), image)
    crops[:] = 0.25
    out = regions.stitch(image, [region], crops, blend=HARD)
    assert (out[mask > 0] == 0.25).all() and torch.equal(out[mask == 0], image[mask == 0])


def test_squares_move_into_the_picture_and_are_mirrored_where_they_do_not_fit():
    mask = torch.zeros(1, 100, 400)
    mask[:, 90:100, 390:400] = 1
    (corner,) = regions.around(mask, crop_factor=4)
    assert (corner.top, corner.left, corner.side) == (60, 360, 40)
    mask[:, :, 200:400] = 1
    (wide,) = regions.around(mask, crop_factor=1)
    assert (wide.top, wide.left, wide.side) == (-50, 200, 200)
    rows = torch.arange(100.0)[None, :, None, None].expand(1, 100, 400, 3) / 100
    crops, _ = regions.cut(rows, mask, [wide], 200)
    assert torch.equal(crops[0, 50:150, 0, 0], rows[0, :, 0, 0])
    assert torch.equal(crops[0, :50, 0, 0], rows[0, 1:51, 0, 0].flip(0))


def test_one_square_for_each_connected_region():
    mask = torch.zeros(2, 100, 100)
    mask[0, 5:10, 5:10] = mask[0, 50:60, 50:60] = mask[1, 90:, 90:] = 1
    assert [region.batch_index for region in regions.around(mask, each=True)] == [0, 0, 1]
    assert [region.batch_index for region in regions.around(mask)] == [0, 1]
    image = torch.zeros(2, 100, 100, 3)
    found = regions.around(mask, each=True)
    crops = torch.stack([torch.full((8, 8, 3), value) for value in (0.25, 0.5, 0.75)])
    out = regions.stitch(image, found, crops, blend=HARD)
    assert (out[0, 5:10, 5:10] == 0.25).all() and (out[0, 50:60, 50:60] == 0.5).all()
    assert (out[1, 90:, 90:] == 0.75).all() and out[mask == 0].sum() == 0


def test_of_regions_that_overlap_the_later_one_lies_on_top():
    masks = torch.zeros(2, 60, 60)
    masks[0, 10:30, 10:30] = masks[1, 20:40, 20:40] = 1
    found = [dataclasses.replace(region, batch_index=0) for region in regions.around(masks)]
    crops = torch.stack([torch.full((8, 8, 3), value) for value in (0.25, 0.5)])
    out = regions.stitch(torch.zeros(1, 60, 60, 3), found, crops, blend=HARD)[0, ..., 0]
    assert (out[20:40, 20:40] == 0.5).all() and (out[10:20, 10:30] == 0.25).all()
    assert out[(masks == 0).all(0)].sum() == 0


def test_walking_squares_paint_everything_from_the_known_outwards():
    mask = torch.ones(1, 64, 300)
    mask[:, :, 100:164] = 0
    covered = torch.zeros(64, 300)
    for region in regions.walk(mask, 64, 32):
        window = slice(region.left, region.left + 64)
        seen = (mask[0, :, window] == 0) | (covered[:, window] > 0)
        assert seen.float().mean() >= 0.2, "each square sees what is known"
        covered += region.own
    assert torch.equal(covered, mask[0])
    assert len(list(regions.walk(torch.zeros(1, 64, 64), 32, 8))) == 0


def test_holes_are_filled():
    mask = torch.zeros(2, 20, 20)
    mask[0, 4:16, 4:16], mask[0, 6:10, 6:14], mask[0, 12:14, 8:10] = 0.5, 0, 0
    mask[1, 4:16, 4:16], mask[1, 6:10, 6:20] = 1, 0  # open to the right
    filled = regions.fill_holes(mask)
    assert filled[0, 6:10, 6:14].eq(1).all() and filled[0, 12:14, 8:10].eq(1).all()
    assert filled[0, 4, 4] == 0.5 and filled[0, :4].eq(0).all()
    assert torch.equal(filled[1], mask[1])


def test_a_blurred_edge():
    mask = torch.zeros(1, 60, 60)
    mask[:, 20:40, 20:40] = 1
    blurred = regions.blur(mask, 8)
    across = blurred[0, 30, :31]
    assert across[:11].eq(0).all() and across[30] == 1 and (across.diff() >= 0).all()
    assert 0.3 < across[19] < 0.5 < across[20] < 0.7
    assert torch.equal(regions.blur(mask, 0), mask)


def test_grow():
    mask = torch.zeros(1, 21, 21)
    mask[0, 10, 10] = 1
    grown = regions.grow(mask, 4)
    assert grown[0, 6, 10] == grown[0, 10, 14] == 1 and grown[0, 5, 10] == 0 and grown[0, 6, 6] == 0
    assert torch.equal(regions.grow(mask, 0), mask)


def step(image, own):
    """Mean difference of neighbours across the left and right border of own."""
    across = own[:, 1:] != own[:, :-1]
    return (image[:, 1:] - image[:, :-1]).abs().mean(-1)[across].mean()


@pytest.mark.parametrize("where", [np.s_[30:70, 40:80], np.s_[0:40, 0:50], np.s_[20:, 50:51]])
def test_poisson_takes_colours_from_the_border(where):
    y, x = torch.meshgrid(torch.linspace(0.2, 0.6, 96), torch.linspace(0.3, 0.5, 96), indexing="ij")
    target = torch.stack([x, y, (x + y) / 2], dim=-1)
    own = torch.zeros(96, 96, dtype=torch.bool)
    own[where] = True
    painted = target + torch.tensor([0.2, -0.1, 0.1])
    hard = HARD(painted, target, own.float())
    soft = Blend("poisson")(painted, target, own.float())
    assert step(soft, own) < 0.5 * step(hard, own)
    assert torch.equal(soft[~own], target[~own])


def test_colours_are_matched_on_the_ring():
    target = torch.rand(60, 60, 3)
    own = torch.zeros(60, 60, dtype=torch.bool)
    own[20:40, 20:40] = True
    shifted = (0.8 * target + 0.1).clamp(0, 1)
    assert (blending.match_colours(shifted, target, own) - target).abs().max() < 0.02
    assert torch.equal(blending.match_colours(shifted, target, torch.ones_like(own)), shifted)


def test_padding():
    image = torch.rand(2, 10, 12, 3)
    padded, mask = regions.pad(image, 3, 20, 0, 5)
    assert padded.shape == (2, 35, 15, 3) and mask.shape == (2, 35, 15)
    assert torch.equal(padded[:, 20:30, 3:15], image) and mask.sum() == 2 * (35 * 15 - 120)
    assert torch.equal(padded[:, 20:30, 2], image[:, :, 1])
    with pytest.raises(ValueError, match="cannot be negative"):
        regions.pad(image, -1, 0, 0, 0)


def test_masks_of_other_sizes_and_batches():
    image = torch.rand(3, 30, 40, 3)
    assert regions.fit(image, torch.zeros(64, 64)).shape == (3, 30, 40)
    assert regions.fit(image, torch.ones(1, 64, 64)).min() == 1


@pytest.mark.parametrize(
    "image, mask, says",
    [
        (torch.rand(3, 8, 8, 3), torch.ones(2, 8, 8), "mask is a batch of 2 for 3 images"),
        (torch.rand(1, 8, 8, 3), torch.ones(1, 0, 8), "mask is empty"),
        (torch.rand(1, 8, 8, 3), torch.full((1, 8, 8), float("nan")), "mask has NaN"),
        (torch.full((1, 8, 8, 3), float("nan")), torch.ones(1, 8, 8), "image has NaN"),
    ],
)
def test_what_does_not_fit_is_named(image, mask, says):
    with pytest.raises(ValueError, match=says):
        regions.fit(image, mask)


def test_crops_that_do_not_fit_are_named():
    image, mask = torch.rand(1, 40, 40, 3), torch.ones(1, 40, 40)
    found = regions.around(mask)
    for crops, says in (
        (torch.rand(2, 8, 8, 3), "crops are 2 pictures, but 1 square had been cut"),
        (torch.full((1, 8, 8, 3), float("nan")), "crops have NaN"),
        (torch.rand(1, 8, 8, 1), "crops have the shape"),
    ):
        with pytest.raises(ValueError, match=says):
            regions.stitch(image, found, crops)
    speckles = torch.zeros(1, 40, 40)
    speckles[:, ::2, ::2] = 1
    with pytest.raises(ValueError, match="400 separate regions"):
        regions.around(speckles, each=True)
