"""LATENT and IMAGE between GLIDE and the host's own nodes, and its two ways to inpaint and to enlarge."""

import numpy as np
import pytest
from PIL import Image

from graphs import BASE, INPAINT, PROMPT, UPSAMPLE, Graph, failure, latents, pictures


@pytest.fixture(scope="module")
def photo(host):
    """A smooth 64x64 picture; its name for LoadImage and its values in -1..1, [1, 3, 64, 64]."""
    y, x = np.mgrid[:64, :64] / 64
    picture = (255 * np.stack([x, y, 1 - x], axis=-1)).astype(np.uint8)
    return host.upload_image(Image.fromarray(picture), "photo.png"), picture.transpose(2, 0, 1)[None] / 127.5 - 1


def test_pixels_survive_every_latent_node(host, photo):
    name, values = photo
    g = Graph()
    _, _, vae = g.load()
    image = g.node("LoadImage", 2, image=name)[0]
    latent = g.node("VAEEncode", pixels=image, vae=vae)
    again = g.node("VAEEncode", pixels=g.node("VAEDecode", samples=latent, vae=vae), vae=vae)
    g.save(again)
    nearest = {"samples": latent, "upscale_method": "nearest-exact"}
    g.save(g.node("LatentUpscaleBy", **nearest, scale_by=2.0))
    g.save(g.node("LatentUpscale", **nearest, width=1024, height=1024, crop="disabled"))
    g.save(g.node("LatentBatch", samples1=latent, samples2=latent))
    composite = {"samples_to": latent, "samples_from": g.empty(32, 32), "x": 128, "y": 0, "feather": 0}
    g.save(g.node("LatentComposite", **composite))
    same, doubled, upscaled, batch, composed = latents(host, g)
    assert np.abs(same.numpy() - values).max() < 1e-5
    assert doubled.shape == upscaled.shape == (1, 3, 128, 128)
    assert np.abs(doubled[..., ::2, ::2].numpy() - values).max() < 1e-5
    assert batch.shape == (2, 3, 64, 64)
    assert (composed[..., :32, 16:48] == 0).all()
    assert np.abs(composed.numpy() - values)[..., 32:, :].max() < 1e-5


def test_a_saved_latent_is_loaded_again(host):
    g = Graph()
    model, clip, _ = g.load()
    positive, negative = g.text(clip), g.text(clip, "")
    g.save(g.ksampler(model, positive, negative, g.empty(), steps=1))
    (saved,) = latents(host, g)
    (file,) = sorted((host.base / "output").glob("test_*.latent"))[-1:]
    (host.base / "input" / "kept.latent").write_bytes(file.read_bytes())
    g = Graph()
    g.save(g.node("LoadLatent", latent="kept.latent"))
    assert (latents(host, g)[0] == saved).all()


@pytest.mark.parametrize("size", [64, 512])
def test_the_other_empty_latent(host, size):
    """Older hosts divide its numbers by 8, newer ones give pixel models what they say: right, or an error."""
    g = Graph()
    model, clip, _ = g.load()
    latent = g.node("EmptyLatentImage", width=size, height=size, batch_size=1)
    g.save(g.ksampler(model, g.text(clip), g.text(clip, ""), latent, steps=1))
    right = 512 if host.version.startswith("0.3.") else 64
    if size == right:
        assert latents(host, g)[0].shape == (1, 3, 64, 64)
    else:
        assert "use EmptyGlideLatent" in failure(host, g)


def test_glide_sampler_takes_the_other_empty_latent(host):
    size = 512 if host.version.startswith("0.3.") else 64
    g = Graph.example("text_to_image", GlideSampler={"steps": "1", "sampler": "euler"})
    del g[g.number("Upsampler")], g[g.number("GlideUpsampler")]
    g.inputs("GlideSampler")["latent"] = g.node("EmptyLatentImage", width=size, height=size, batch_size=1)
    g.inputs("SaveImage")["images"] = [g.number("GlideSampler"), 1]
    assert pictures(host, g)[0].shape == (64, 64, 3)


def test_a_picture_of_another_family(host):
    g = Graph()
    model, clip, _ = g.load()
    sd3 = g.node("EmptySD3LatentImage", width=512, height=512, batch_size=1)
    picture = g.node("LatentAdd", samples1=sd3, samples2=sd3)
    noisy = g.node(
        "AddNoise",
        model=model,
        noise=g.node("GlideNoise", seed=1, temperature=1.0),
        **{"sigmas": g.node("GlideScheduler", model=model, steps="2", denoise=1.0), "latent_image": picture},
    )
    g.save(g.ksampler(model, g.text(clip), g.text(clip, ""), noisy, steps=1))
    assert "pictures with 3 channels, but the LATENT has 16" in failure(host, g)


@pytest.mark.parametrize("checkpoint", [BASE, INPAINT])
def test_inpainting_keeps_what_is_outside_of_the_mask(host, photo, checkpoint):
    """SetLatentNoiseMask with the stock sampler and with GlideSampler, and GlideInpaintConditioning."""
    name, values = photo
    g = Graph()
    model, clip, vae = g.load(checkpoint)
    image = g.node("LoadImage", 2, image=name)[0]
    hole = g.node("SolidMask", value=1.0, width=32, height=32)
    nothing = g.node("SolidMask", value=0.0, width=64, height=64)
    mask = g.node("MaskComposite", destination=nothing, source=hole, x=16, y=16, operation="add")
    positive, negative = g.text(clip), g.text(clip, "")
    latent = g.node("SetLatentNoiseMask", samples=g.node("VAEEncode", pixels=image, vae=vae), mask=mask)
    g.save(g.ksampler(model, positive, negative, latent))
    conditioned = g.node("GlideInpaintConditioning", 3, positive=positive, negative=negative, image=image, mask=mask)
    g.save(g.ksampler(model, *conditioned))
    if checkpoint == BASE:
        prompt = g.node("GlideTextEncode", clip=clip, text=PROMPT)
        options = {"steps": "4", "sampler": "euler", "guidance_scale": 3.0, "eta": 0.0, "threshold": 0.0}
        inputs = {"model": model, "positive": prompt, "latent": latent, "seed": 1, "denoise": 1.0}
        g.save(g.node("GlideSampler", 2, **inputs, **options)[0])
    drawn = latents(host, g)
    for picture in drawn:
        difference = np.abs(picture.numpy() - values)
        assert difference[..., 16:48, 16:48].mean() > 0.1
        difference[..., 16:48, 16:48] = 0
        assert difference.max() < 1e-5
    assert (drawn[1] - drawn[0]).abs().max() < 1e-3  # a noise mask tells an inpainting model as much


def test_stock_upsampling_reproduces_the_upsampler_node(host, photo):
    name, _ = photo
    g = Graph()
    model, clip, _ = g.load(UPSAMPLE)
    large = g.node("LoadImage", 2, image=name)[0]
    image = g.node("ImageScale", image=large, upscale_method="area", width=16, height=16, crop="disabled")
    text, nothing = g.text(clip), g.text(clip, "")
    options = {"seed": 4, "steps": "3", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "temperature": 0.997}
    g.save(g.node("GlideUpsampler", 2, model=model, clip=clip, positive=text, image=image, **options)[0])
    positive, negative, latent = g.node(
        "GlideUpsampleConditioning", 3, clip=clip, positive=text, negative=nothing, image=image
    )
    guider = g.node("CFGGuider", model=model, positive=positive, negative=negative, cfg=1.0)
    parts = {
        "noise": g.node("GlideNoise", seed=4, temperature=0.997),
        "guider": guider,
        "sampler": g.node("GlideSamplerSelect", sampler="ddim", eta=0.0),
        "sigmas": g.node("GlideScheduler", model=model, steps="3", denoise=1.0),
        "latent_image": latent,
    }
    g.save(g.node("SamplerCustomAdvanced", 2, **parts)[0])
    own, stock = latents(host, g)
    assert own.shape == (1, 3, 64, 64)
    assert (own - stock).abs().max() < 1e-3


def test_an_upsampler_without_its_picture(host):
    g = Graph()
    model, clip, _ = g.load(UPSAMPLE)
    g.save(g.ksampler(model, g.text(clip), g.text(clip, ""), g.empty(256, 256), steps=1))
    assert "GlideUpsampleConditioning" in failure(host, g)
