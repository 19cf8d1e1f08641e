"""Inpainting in real ComfyUI: stock nodes and our own keep the known pixels."""

import copy

import numpy as np
import pytest
from PIL import Image

import inpaint_models

HOLE = np.s_[16:48, 20:52]


@pytest.fixture(scope="session")
def models(host):
    """The loader's names of the inpainting base and upsampler."""
    folder = host.base / "models" / "glide"
    return {kind: inpaint_models.write(kind, folder).name for kind in ("base", "upsample")}


def painting(size=64):
    """A smooth picture [size, size, 3] uint8 of many colours."""
    y, x = np.mgrid[:size, :size] / size
    return (255 * np.stack([x, y, (1 + np.sin(9 * x * y)) / 2], axis=-1)).astype(np.uint8)


def with_hole(picture, hole):
    """RGBA as the mask editor saves it: alpha 0 is where it was painted on."""
    alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
    alpha[hole] = 0
    return Image.fromarray(np.concatenate([picture, alpha], axis=-1))


def stock_graph(checkpoint, image):
    return {
        "1": {"class_type": "GlideLoader", "inputs": {"checkpoint": checkpoint, "dtype": "fp32"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a red circle"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "LoadImage", "inputs": {"image": image}},
        "5": {
            "class_type": "InpaintModelConditioning",
            "inputs": {
                "positive": ["2", 0], "negative": ["3", 0], "vae": ["1", 2], "pixels": ["4", 0], "mask": ["4", 1],
                "noise_mask": True,
            },
        },
        "6": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0], "positive": ["5", 0], "negative": ["5", 1], "latent_image": ["5", 2], "seed": 3,
                "steps": 4, "cfg": 3.0, "sampler_name": "dpmpp_2m", "scheduler": "sgm_uniform", "denoise": 1.0,
            },
        },
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "inpaint"}},
    }  # fmt: skip


def pictures(host, nodes, node="8"):
    return [host.image(entry).astype(int) for entry in host.run(nodes)[node]["images"]]


def test_stock_nodes_inpaint(host, models):
    photo = painting()
    nodes = stock_graph(models["base"], host.upload_image(with_hole(photo, HOLE), "hole.png"))
    (picture,) = pictures(host, nodes)
    known = np.ones((64, 64), bool)
    known[HOLE] = False
    assert np.abs(picture - photo)[known].max() <= 1
    assert np.abs(picture - photo)[HOLE].mean() > 10
    # The model reads the surroundings: with other ones the hole is filled otherwise, though the noise is the same.
    other = copy.deepcopy(nodes)
    other["4"]["inputs"]["image"] = host.upload_image(with_hole(255 - photo, HOLE), "inverse.png")
    assert np.abs(pictures(host, other)[0] - picture)[HOLE].mean() > 1
