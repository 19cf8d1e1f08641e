"""The pictures that each kind of model is shown in training."""

import dataclasses

import numpy as np
import pytest
import torch

from glide_core.models.text2im import unet_input
from glide_core.train.inputs import prepare
from small_models import BASE, UPSAMPLE


def noise(count, side):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_a_base_model_sees_whole_pictures():
    pictures = noise(2, 16)
    images, conditions = prepare(BASE, pictures, 8, np.random.default_rng(1))
    average = pictures.reshape(2, 8, 2, 8, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2) / 127.5 - 1
    torch.testing.assert_close(images, torch.from_numpy(average).float(), atol=1e-5, rtol=0)
    assert conditions == {}


def test_an_upsampler_sees_the_rounded_area_average_of_its_crop():
    images, conditions = prepare(UPSAMPLE, noise(2, 32), 16, np.random.default_rng(1))
    assert images.shape == (2, 3, 16, 16) and conditions["low_res"].shape == (2, 3, 4, 4)
    levels = (conditions["low_res"] + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    average = images.reshape(2, 3, 4, 4, 4, 4).mean(dim=(3, 5))
    assert (conditions["low_res"] - average).abs().max() < 1 / 127


def test_crops_lie_on_the_grid_of_low_res():
    """Stripes with a period of 4 pixels are a plain colour in low_res, so every crop must begin in the same place."""
    striped = 200 * (np.arange(32) % 4 < 2)
    brightness = np.arange(32) // 4  # of each period of the stripes, so that crops can be told apart
    picture = np.broadcast_to((striped + brightness).astype(np.uint8)[None, :, None, None], (1, 32, 32, 3))
    rng, tops = np.random.default_rng(0), set()
    for _ in range(30):
        images, _ = prepare(UPSAMPLE, picture, 16, rng)
        rows = ((images[0, 0, :, 0] + 1) * 127.5).round().int()
        top = int(rows[2])
        assert rows.tolist() == [value + brightness for brightness in range(top, top + 4) for value in (200, 200, 0, 0)]
        tops.add(top)
    assert tops == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("config", [BASE, UPSAMPLE], ids=["base", "upsample"])
def test_an_inpainting_model_is_shown_what_is_left_and_all_of_low_res(config):
    config = dataclasses.replace(config, inpaint=True)
    images, conditions = prepare(config, noise(4, config.image_size), 16, np.random.default_rng(1))
    known = conditions["known"]
    assert known.shape == (4, 1, 16, 16) and set(known.unique().tolist()) == {0, 1}
    channels = unet_input(config, torch.zeros_like(images), **conditions)
    torch.testing.assert_close(channels[:, 3:6], images * known)
    torch.testing.assert_close(channels[:, 6:7], known)
    if config.low_res:
        torch.testing.assert_close(conditions["low_res"], torch.nn.functional.avg_pool2d(images, 4), atol=1e-2, rtol=0)
