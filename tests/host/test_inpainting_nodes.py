"""Inpainting in real ComfyUI: stock nodes and our own keep the known pixels."""

import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

import inpaint_models
from glide_core.images import to_uint8
from glide_core.pipeline import Sampling, Stage, inpaint
from graphs import Graph, failure, pictures
from hosts import HostError, python_of

HOLE = np.s_[16:48, 20:52]
PROMPT = "a red circle"


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
    graph = Graph()
    model, clip, vae = graph.load(checkpoint)
    pixels, mask = graph.node("LoadImage", 2, image=image)
    positive, negative, latent = graph.node(
        "InpaintModelConditioning",
        3,
        positive=graph.text(clip, PROMPT),
        negative=graph.text(clip, ""),
        vae=vae,
        pixels=pixels,
        mask=mask,
        noise_mask=True,
    )
    latent = graph.ksampler(model, positive, negative, latent, seed=3, sampler_name="dpmpp_2m")
    decoded = graph.node("VAEDecode", samples=latent, vae=vae)
    graph.node("SaveImage", images=decoded, filename_prefix="inpaint")
    return graph


def test_stock_nodes_inpaint(host, models):
    photo = painting()
    nodes = stock_graph(models["base"], host.upload_image(with_hole(photo, HOLE), "hole.png"))
    (picture,) = pictures(host, nodes)
    known = np.ones((64, 64), bool)
    known[HOLE] = False
    assert np.abs(picture - photo)[known].max() <= 1
    assert np.abs(picture - photo)[HOLE].mean() > 10
    # The model reads the surroundings: with other ones the hole is filled otherwise, though the noise is the same.
    nodes.inputs("LoadImage")["image"] = host.upload_image(with_hole(255 - photo, HOLE), "inverse.png")
    assert np.abs(pictures(host, nodes)[0] - picture)[HOLE].mean() > 1


def photo_graph(models, image, **changes):
    """The whole edit of a photo with GLIDE's own nodes; changes: GlideCrop={"size": 64}, ..."""
    defaults = {
        "GlideCrop": {
            "crop_factor": 2.0,
            "size": 256,
            "squares": "whole mask",
            "grow": 0,
            "interpolation": "area",
            "square_side": 0,
        },
        "GlideInpaint": {
            "seed": 7,
            "steps": "3",
            "sampler": "euler",
            "guidance_scale": 2.0,
            "eta": 0.0,
            "hide_until": 0.0,
            "denoise": 1.0,
        },
        "GlideUpsampler": {
            "seed": 7,
            "steps": "1",
            "sampler": "ddim",
            "guidance_scale": 1.0,
            "eta": 0.0,
            "temperature": 1.0,
        },
        "GlideStitch": {"blend": "hard", "feather": 8, "match_colours": False},
    }
    graph = Graph()

    def ours(name, outputs, **links):
        return graph.node(name, outputs, **defaults[name] | links | changes.get(name, {}))

    photo, mask = graph.node("LoadImage", 2, image=image)
    model, clip, _ = graph.load(models["base"])
    up_model, up_clip, _ = graph.load(models["upsample"])
    positive = graph.node("GlideTextEncode", clip=clip, text=PROMPT)
    cut, cut_mask, regions = ours("GlideCrop", 3, image=photo, mask=mask)
    latent, _ = ours("GlideInpaint", 2, model=model, positive=positive, image=cut, mask=cut_mask)
    _, large = ours(
        "GlideUpsampler", 2, model=up_model, clip=up_clip, positive=positive, latent=latent, original=cut, mask=cut_mask
    )
    whole, _ = ours("GlideStitch", 2, crop=large, regions=regions)
    graph.node("SaveImage", images=whole, filename_prefix="edit")
    return graph


def saved(host, graph):
    """The pictures of each SaveImage by its prefix, and what the nodes said."""
    outputs = host.run(graph)
    saves = {
        node["inputs"]["filename_prefix"]: number for number, node in graph.items() if node["class_type"] == "SaveImage"
    }
    images = {
        prefix: [host.image(entry).astype(int) for entry in outputs[number]["images"]]
        for prefix, number in saves.items()
    }
    return images, [output["text"][0] for output in outputs.values() if "text" in output]


def edited(host, graph):
    return saved(host, graph)[0]["edit"][0]


def test_a_photo_painted_on_in_the_mask_editor(host, models):
    photo = np.asarray(Image.fromarray(painting(400)).resize((400, 300)))
    hole = np.s_[200:300, 40:120]
    (host.base / "input" / "clipspace").mkdir(exist_ok=True)
    image = host.upload_image(with_hole(photo, hole), "clipspace/painted-masked.png")
    picture = edited(host, photo_graph(models, f"{image} [input]"))
    known = np.ones((300, 400), bool)
    known[hole] = False
    assert picture.shape == (300, 400, 3)
    assert np.array_equal(picture[known], photo[known])
    assert np.abs(picture - photo)[hole].mean() > 5


@pytest.mark.parametrize("hide_until", [0.4, 1.0])
def test_hidden_surroundings_change_what_is_painted(host, models, hide_until):
    image = host.upload_image(with_hole(painting(), HOLE), "small-hole.png")
    visible = edited(host, photo_graph(models, image))
    other = edited(host, photo_graph(models, image, GlideInpaint={"hide_until": hide_until}))
    assert np.abs(visible - other)[HOLE].mean() > 0.5


def test_the_hole_is_what_glide_core_paints(host, models, tmp_path):
    """Soft mask, hidden start, resampling and denoise: node and library agree."""
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[10:50, 10:30], alpha[10:50, 30:50] = 0, 120
    photo = painting()
    image = host.upload_image(Image.fromarray(np.dstack([photo, alpha])), "soft.png")
    graph = Graph()
    loaded, mask = graph.node("LoadImage", 2, image=image)
    model, clip, _ = graph.load(models["base"])
    positive = graph.node("GlideTextEncode", clip=clip, text=PROMPT)
    _, painted = graph.node(
        "GlideInpaint",
        2,
        model=model,
        positive=positive,
        image=loaded,
        mask=mask,
        seed=7,
        steps="12",
        sampler="ddpm",
        guidance_scale=2.0,
        eta=0.0,
        hide_until=0.4,
        denoise=0.9,
        repaint_passes=2,
    )
    graph.node("SaveImage", images=painted, filename_prefix="edit")
    picture = edited(host, graph)
    stage = Stage.load(host.base / "models" / "glide" / models["base"])
    pixels = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1
    degree = 1 - torch.from_numpy(alpha)[None, None] / 255
    expected = inpaint(
        stage,
        [PROMPT],
        pixels,
        degree,
        Sampling("12", "ddpm", 2.0),
        seed=7,
        denoise=0.9,
        hide_until=0.4,
        repaint_passes=2,
    )
    difference = np.abs(picture - to_uint8(expected)[0].numpy().astype(int))
    assert (difference > 2).mean() < 0.002


def test_an_empty_mask_returns_the_input_and_says_so(host, models):
    photo = painting(100)
    image = host.upload_image(Image.fromarray(photo), "no-mask.png")
    images, texts = saved(host, photo_graph(models, image))
    assert np.array_equal(images["edit"][0], photo)
    assert sum("mask is empty" in text for text in texts) == 3


def test_outpainting_with_the_stock_pad_node_square_by_square(host, models):
    photo = painting()
    image = host.upload_image(Image.fromarray(photo), "photo.png")
    graph = photo_graph(models, image, GlideCrop={"squares": "next square"})
    margins = {"left": 0, "top": 0, "right": 64, "bottom": 0, "feathering": 0}
    padded = graph.node("ImagePadForOutpaint", 2, image=[graph.number("LoadImage"), 0], **margins)
    graph.inputs("GlideCrop").update(image=padded[0], mask=padded[1])
    rest = graph.node("MaskToImage", mask=[graph.number("GlideStitch"), 1])
    graph.node("SaveImage", images=rest, filename_prefix="rest")
    images, _ = saved(host, graph)
    (whole,), (left,) = images["edit"], images["rest"]
    assert whole.shape == (64, 128, 3) and np.array_equal(whole[:, :64], photo)
    assert left[:, :96].max() == 0 and left[:, 96:].min() == 255


def test_our_pad_node(host, models):
    photo = painting()
    graph = photo_graph(models, host.upload_image(Image.fromarray(photo), "photo.png"))
    padded = graph.node("GlideOutpaintPad", 2, image=[graph.number("LoadImage"), 0], left=16, top=0, right=0, bottom=8)
    graph.inputs("GlideCrop").update(image=padded[0], mask=padded[1])
    whole = edited(host, graph)
    assert whole.shape == (72, 80, 3) and np.array_equal(whole[:64, 16:], photo)


def test_batches_that_do_not_fit(host, models):
    graph = photo_graph(models, host.upload_image(with_hole(painting(), HOLE), "one.png"))
    three = graph.node("RepeatImageBatch", image=[graph.number("LoadImage"), 0], amount=3)
    two = graph.node("RepeatImageBatch", image=[graph.number("LoadImage"), 0], amount=2)
    masks = graph.node("ImageToMask", image=two, channel="red")
    graph.inputs("GlideCrop").update(image=three, mask=masks)
    assert "GlideCrop: mask is a batch of 2 for 3 images" in failure(host, graph)


def test_a_batch_shares_a_mask(host, models):
    photo = painting()
    graph = photo_graph(models, host.upload_image(with_hole(photo, HOLE), "one.png"))
    batch = graph.node("RepeatImageBatch", image=[graph.number("LoadImage"), 0], amount=2)
    graph.inputs("GlideCrop")["image"] = batch
    both = saved(host, graph)[0]["edit"]
    assert len(both) == 2 and np.abs(both[0] - both[1])[HOLE].mean() > 1


def test_several_masks_of_one_image_give_a_square_each(host, models):
    """Stray pixels of a mask, and blacks that are not quite black, do not make a square the whole photo."""
    photo = painting(128)
    holes = [np.s_[8:24, 8:24], np.s_[100:120, 90:110]]
    masks = []
    for k, hole in enumerate(holes):
        mask = np.full((128, 128), 2, np.uint8)
        mask[hole], mask[64, 64] = 253, 255
        masks.append(host.upload_image(Image.fromarray(mask).convert("RGB"), f"mask-{k}.png"))
    graph = photo_graph(models, host.upload_image(Image.fromarray(photo), "photo.png"), GlideCrop={"size": 64})
    first, second = (graph.node("LoadImage", 2, image=name)[0] for name in masks)
    batch = graph.node("ImageBatch", image1=first, image2=second)
    crop = graph.inputs("GlideCrop")
    crop["mask"] = graph.node("ImageToMask", image=batch, channel="red")
    (picture,) = saved(host, graph)[0]["edit"]
    differs = (np.abs(picture - photo) > 1).any(axis=-1)
    painted = np.zeros((128, 128), bool)
    for hole in holes:
        painted[hole] = True
        assert differs[hole].mean() > 0.5
    assert not differs[~painted].any()


def test_plain_models_and_half_connected_inputs_are_named(host, models):
    image = host.upload_image(with_hole(painting(), HOLE), "one.png")
    assert "GlideInpaint: model is a GLIDE base model, but this node needs the base-inpaint one" in failure(
        host, photo_graph(models | {"base": "tiny-base (embedded)"}, image)
    )
    graph = photo_graph(models, image)
    del graph.inputs("GlideUpsampler")["mask"]
    assert "original and mask belong together" in failure(host, graph)


def test_a_blend_that_cannot_be_is_refused_before_anything_is_painted(host, models):
    graph = photo_graph(models, host.upload_image(with_hole(painting(), HOLE), "one.png"))
    stitch = graph.inputs("GlideStitch")

    def refusal(blend):
        stitch["blend"] = blend
        with pytest.raises(HostError) as error:
            host.submit(graph)
        return str(error.value.node_errors)

    assert "blend 'magic' is none of hard, feather, poisson" in refusal("magic")
    opencv = subprocess.run([python_of(host.checkout), "-c", "import cv2"], capture_output=True).returncode == 0
    if opencv:
        stitch["blend"] = "poisson"
        host.run(graph)
    else:
        assert "blend poisson needs OpenCV: pip install opencv-python-headless" in refusal("poisson")
