"""Pictures of any size: GlideUpsampler enlarges them, and GlideInpaint does what its input fit says."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_inpainting_nodes import painting

import inpaint_models
from glide_core.images import from_uint8
from glide_core.pipeline import Sampling, Stage, upsample
from graphs import INPAINT, PROMPT, UPSAMPLE, Graph, failure, latents

ROUNDING = 2e-2
SAMPLING = {"seed": 1, "sampler": "ddim", "eta": 0.0, "steps": "2"}


def photo(height, width):
    return np.array(Image.fromarray(painting(256)).resize((width, height)))


def load(host, graph, picture, name):
    return graph.node("LoadImage", 2, image=host.upload_image(Image.fromarray(picture), name))[0]


@pytest.mark.parametrize("height, width", [(13, 21), (70, 33)])
def test_the_upsampler_takes_any_size(host, height, width):
    """The same as the library, of exactly 4 times the size."""
    graph, picture = Graph(), photo(height, width)
    model, clip, _ = graph.load(UPSAMPLE)
    links = {"model": model, "clip": clip, "positive": graph.text(clip)}
    options = {**SAMPLING, "guidance_scale": 1.0, "temperature": 1.0}
    image = load(host, graph, picture, f"odd-{height}.png")
    graph.save(graph.node("GlideUpsampler", 2, image=image, **links, **options)[0])
    (enlarged,) = latents(host, graph)
    expected = upsample(
        Stage.load("tiny-upsample"), PROMPT, from_uint8(picture[None]), Sampling("2", "ddim", 1.0), seed=1
    )
    assert enlarged.shape == expected.shape == (1, 3, 4 * height, 4 * width)
    assert (enlarged - expected).abs().max() < ROUNDING


def test_so_does_the_inpainting_upsampler(host):
    graph, original = Graph(), photo(84, 108)
    name = inpaint_models.write("upsample", host.base / "models" / "glide").name
    model, clip, _ = graph.load(name)
    links = {"model": model, "clip": clip, "positive": graph.text(clip)}
    options = {**SAMPLING, "guidance_scale": 1.0, "temperature": 1.0}
    links["image"] = load(host, graph, photo(21, 27), "small-odd.png")
    links["original"] = load(host, graph, original, "large-odd.png")
    square = graph.node("SolidMask", value=1.0, width=30, height=20)
    black = graph.node("SolidMask", value=0.0, width=108, height=84)
    links["mask"] = graph.node("MaskComposite", destination=black, source=square, x=70, y=60, operation="add")
    graph.save(graph.node("GlideUpsampler", 2, **links, **options)[0])
    (enlarged,) = latents(host, graph)
    assert enlarged.shape == (1, 3, 84, 108)
    known = torch.ones(84, 108, dtype=torch.bool)
    known[60:80, 70:100] = False
    apart = (enlarged - from_uint8(original[None])).abs().amax(dim=1)[0]
    assert apart[known].max() < 1e-2 < apart[~known].mean()


def repaint(host, graph, picture, **fit):
    model, clip, _ = graph.load(INPAINT)
    height, width = picture.shape[:2]
    square = graph.node("SolidMask", value=1.0, width=40, height=40)
    black = graph.node("SolidMask", value=0.0, width=width, height=height)
    mask = graph.node("MaskComposite", destination=black, source=square, x=200, y=60, operation="add")
    links = {"model": model, "positive": graph.text(clip), "mask": mask}
    links["image"] = load(host, graph, picture, "photo.png")
    options = {**SAMPLING, "guidance_scale": 2.0, "hide_until": 0.0, "denoise": 1.0}
    return graph.node("GlideInpaint", 2, **links, **options, **fit)


def test_a_photo_is_repainted_around_its_mask(host):
    graph, picture = Graph(), photo(300, 450)
    latent, image = repaint(host, graph, picture, fit="crop around mask")
    graph.save(latent)
    graph.node("SaveImage", images=image, filename_prefix="fit")
    outputs = host.run(graph)
    result = host.image(outputs[graph.number("SaveImage")]["images"][0]).astype(int)
    assert result.shape == (300, 450, 3)
    near = np.zeros((300, 450), bool)
    near[50:110, 190:250] = True  # the mask and its feather
    assert np.array_equal(result[~near], picture[~near])
    assert np.abs(result - picture)[60:100, 200:240].mean() > 5
    assert latents(host, graph)[0].shape == (1, 3, 64, 64)


def test_or_shrunk_or_refused(host):
    graph = Graph()
    graph.save(repaint(host, graph, photo(300, 450))[0])
    assert latents(host, graph)[0].shape == (1, 3, 64, 96)
    graph = Graph()
    graph.save(repaint(host, graph, photo(300, 450), fit="refuse")[0])
    message = failure(host, graph)
    assert "GlideInpaint: image is 450x300 pixels, but the model paints 96x64: put GlideCrop before" in message
