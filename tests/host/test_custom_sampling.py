"""GLIDE's steps, samplers, noise and thresholding through SamplerCustomAdvanced."""

import torch

from glide_core.diffusion.presets import BASE
from glide_core.files import checkpoints
from glide_core.pipeline import Sampling, Stage, generate
from graphs import PROMPT, UPSAMPLE, Graph, failure, latents

SAMPLERS = {"ddpm": {}, "ddim": {"eta": 0.5}, "plms": {}, "dpmpp_2m": {}}


def custom(graph, model, positive, negative, latent, *, sampler="ddpm", eta=0.0, steps="5", temperature=1.0):
    guider = graph.node("CFGGuider", model=model, positive=positive, negative=negative, cfg=3.0)
    return graph.node(
        "SamplerCustomAdvanced",
        2,
        noise=graph.node("GlideNoise", seed=5, temperature=temperature),
        guider=guider,
        sampler=graph.node("GlideSamplerSelect", sampler=sampler, eta=eta),
        sigmas=graph.node("GlideScheduler", model=model, steps=steps, denoise=1.0),
        latent_image=latent,
    )[0]


def glide_sampler(graph, model, positive, latent, **changes):
    options = {
        "seed": 5,
        "steps": "5",
        "sampler": "ddpm",
        "guidance_scale": 3.0,
        "eta": 0.0,
        "threshold": 0.0,
        "denoise": 1.0,
    }
    links = {"model": model, "positive": positive, "latent": latent}
    return graph.node("GlideSampler", 2, **links, **options | changes)[0]


def test_it_reproduces_glide_sampler(host):
    graph = Graph()
    model, clip, _ = graph.load()
    positive, negative, latent = graph.text(clip), graph.text(clip, ""), graph.empty(batch_size=2)
    for sampler, options in SAMPLERS.items():
        graph.save(glide_sampler(graph, model, positive, latent, sampler=sampler, **options))
        graph.save(custom(graph, model, positive, negative, latent, sampler=sampler, **options))
    pictures = latents(host, graph)
    for expected, picture in zip(pictures[::2], pictures[1::2]):
        assert expected.std() > 0.05
        assert (picture - expected).abs().max() < 1e-3


def test_noise_of_a_picture_is_its_own(host):
    graph = Graph()
    model, clip, _ = graph.load()
    positive, negative, latent = graph.text(clip), graph.text(clip, ""), graph.empty(batch_size=3)
    second = graph.node("LatentFromBatch", samples=latent, batch_index=1, length=1)
    graph.save(custom(graph, model, positive, negative, latent, sampler="euler", steps="ays3"))
    graph.save(custom(graph, model, positive, negative, second, sampler="euler", steps="ays3"))
    graph.save(custom(graph, model, positive, negative, latent, sampler="euler", steps="ays3", temperature=0.5))
    batch, alone, cool = latents(host, graph)
    assert (batch[1:2] - alone).abs().max() < 1e-3
    assert (batch - cool).abs().max() > 0.1


def test_a_picture_of_a_batch_alone(host):
    """LatentFromBatch keeps its place, for the noise that it starts from and for that of each step."""
    graph = Graph()
    model, clip, _ = graph.load()
    positive, latent = graph.text(clip), graph.empty(batch_size=3)
    second = graph.node("LatentFromBatch", samples=latent, batch_index=1, length=1)
    for part in (latent, second):
        graph.save(glide_sampler(graph, model, positive, part, sampler="ddpm", steps="4"))
    batch, alone = latents(host, graph)
    assert (batch[1:2] - alone).abs().max() < 2e-2
    assert (batch[0:1] - alone).abs().max() > 0.1


def test_threshold(host):
    graph = Graph()
    model, clip, _ = graph.load()
    positive, latent = graph.text(clip), graph.empty()
    for mode in ("clip", "dynamic", "off"):
        thresholded = graph.node("GlideThreshold", model=model, mode=mode, threshold=0.9)
        graph.save(glide_sampler(graph, thresholded, positive, latent, guidance_scale=12.0, sampler="ddim"))
    graph.save(glide_sampler(graph, model, positive, latent, guidance_scale=12.0, sampler="ddim"))
    graph.save(glide_sampler(graph, model, positive, latent, guidance_scale=12.0, sampler="ddim", threshold=0.9))
    clipped, dynamic, off, plain, own_dynamic = latents(host, graph)
    assert (clipped - plain).abs().max() < 1e-4
    assert (dynamic - own_dynamic).abs().max() < 1e-4
    assert (dynamic - clipped).abs().max() > 0.1
    assert clipped.abs().max() <= 1 + 1e-4 and dynamic.abs().max() <= 1 + 1e-4
    assert off.abs().max() > 1.5


def test_bad_steps_and_models_are_refused(host):
    graph = Graph()
    model, clip, _ = graph.load(UPSAMPLE)
    graph.save(custom(graph, model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps="fast"))
    assert "steps - respacing 'fast'" in failure(host, graph)


def test_no_sampler_paints_snow(host):
    """The noise of seed 24 is a little stronger than its sigma says, and a U-Net with GroupNorm cannot see it."""
    graph = Graph()
    model, clip, _ = graph.load()
    positive, negative, latent = graph.text(clip, PROMPT), graph.text(clip, ""), graph.empty()
    for sampler in ("ddim", "dpmpp_2m"):
        graph.save(glide_sampler(graph, model, positive, latent, seed=24, steps="20", sampler=sampler))
    noise = graph.node("GlideNoise", seed=24, temperature=1.0)
    graph.save(
        graph.node(
            "SamplerCustomAdvanced",
            2,
            noise=noise,
            guider=graph.node("CFGGuider", model=model, positive=positive, negative=negative, cfg=3.0),
            sampler=graph.node("KSamplerSelect", sampler_name="euler"),
            sigmas=graph.node("GlideScheduler", model=model, steps="20", denoise=1.0),
            latent_image=latent,
        )[0]
    )
    for picture in latents(host, graph):
        assert 127.5 * (picture[..., 1:] - picture[..., :-1]).abs().mean() < 12


def test_numbers_that_are_not_finite_end_the_run(host):
    state_dict, config = checkpoints.read_model(checkpoints.find("tiny-base"))
    state_dict["out.2.bias"] = torch.full_like(state_dict["out.2.bias"], float("nan"))
    folder = host.base / "models" / "glide"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(state_dict, config, folder / "damaged.safetensors")
    graph = Graph()
    model, clip, _ = graph.load("damaged.safetensors")
    text = graph.text(clip)
    graph.save(glide_sampler(graph, model, text, graph.empty(), steps="3"))
    assert "NaN or infinite numbers at step 1 of 3" in failure(host, graph)
    graph = Graph()
    model, clip, _ = graph.load("damaged.safetensors")
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps=3))
    assert "NaN or infinite numbers at step 1 of 3" in failure(host, graph)


def test_a_preset_replaces_steps_and_sampler(host):
    graph = Graph()
    model, clip, _ = graph.load()
    positive, latent = graph.text(clip), graph.empty()
    graph.save(glide_sampler(graph, model, positive, latent, preset="draft"))
    graph.save(glide_sampler(graph, model, positive, latent, **BASE["draft"]))
    graph.save(glide_sampler(graph, model, positive, latent, preset="custom"))
    graph.save(glide_sampler(graph, model, positive, latent))
    preset, spelled, custom, default = latents(host, graph)
    assert torch.equal(preset, spelled) and torch.equal(custom, default)
    assert not torch.equal(preset, default)


def test_guidance_in_a_part_of_the_steps_is_the_librarys(host):
    graph = Graph()
    model, clip, _ = graph.load()
    positive, negative, latent = graph.text(clip), graph.text(clip, ""), graph.empty()
    for begin, end in ((0.0, 1.0), (0.0, 0.5)):
        guided = graph.node("GlideGuidanceInterval", model=model, guidance_from=begin, guidance_until=end)
        graph.save(glide_sampler(graph, guided, positive, latent, sampler="ddim", steps="6"))
        graph.save(custom(graph, guided, positive, negative, latent, sampler="ddim", steps="6"))
    pictures = latents(host, graph)
    stage = Stage.load("tiny-base")
    for end, found in zip((1.0, 1.0, 0.5, 0.5), pictures):
        expected = generate(stage, [PROMPT], Sampling("6", "ddim", guidance_until=end), seed=5)
        assert (found - expected).abs().max() < 1e-2
    assert (pictures[0] - pictures[2]).abs().max() > 0.05
