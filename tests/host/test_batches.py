"""A picture of a batch is made again alone, and the same seed is the same picture in the command line, the library and
the nodes."""

import pytest

from glide_core import cli
from glide_core.images import read_image
from glide_core.pipeline import Sampling, Stage, generate
from graphs import PROMPT, UPSAMPLE, Graph, latents

SEED, PLACE = 5, 2
ROUNDING = 2e-2  # batches of other sizes sum in another order, and few steps from a large sigma magnify that
OTHER = 0.05


class Cascade(Graph):
    """Both models and their prompt; ``paint`` and ``enlarge`` sample with noise in every step."""

    def __init__(self):
        super().__init__()
        self.model, clip, _ = self.load()
        self.positive, self.negative = self.text(clip), self.text(clip, "")
        self.upsampler, self.upsampler_clip, _ = self.load(UPSAMPLE)
        self.batch = self.empty(32, 32, batch_size=3)
        self.single = self.empty(32, 32)
        self.third = self.node("LatentFromBatch", samples=self.batch, batch_index=PLACE, length=1)

    def paint(self, latent, **changes):
        options = {"seed": SEED, "steps": "4", "sampler": "ddpm", "guidance_scale": 3.0, "eta": 0.0}
        rest = {"threshold": 0.0, "denoise": 1.0}
        links = {"model": self.model, "positive": self.positive, "latent": latent}
        return self.node("GlideSampler", 2, **links, **options, **rest, **changes)

    def enlarge(self, **inputs):
        options = {"seed": SEED, "steps": "2", "sampler": "ddpm", "guidance_scale": 1.0, "eta": 0.0}
        links = {"model": self.upsampler, "clip": self.upsampler_clip, "positive": self.positive}
        return self.node("GlideUpsampler", 2, **links, **options, temperature=1.0, **inputs)[0]

    def custom(self, latent, sampler, **place):
        guider = self.node("CFGGuider", model=self.model, positive=self.positive, negative=self.negative, cfg=3.0)
        return self.node(
            "SamplerCustomAdvanced",
            2,
            noise=self.node("GlideNoise", seed=SEED, temperature=1.0, **place),
            guider=guider,
            sampler=self.node("GlideSamplerSelect", sampler=sampler, eta=1.0),
            sigmas=self.node("GlideScheduler", model=self.model, steps="4", denoise=1.0),
            latent_image=latent,
        )[0]


def far(one, other):
    return (one - other).abs().max()


def test_the_cascade_makes_a_picture_of_a_batch_alone(host):
    graph = Cascade()
    small, image = graph.paint(graph.single, batch_index=PLACE)
    third = graph.paint(graph.third)[0]
    for latent in (graph.paint(graph.batch)[0], small, third):
        graph.save(latent)
        graph.save(graph.enlarge(latent=latent))
    graph.save(graph.enlarge(image=image, batch_index=PLACE))
    graph.save(graph.enlarge(image=image))
    batch, large_batch, alone, large, cut, large_cut, of_image, of_first = latents(host, graph)
    for one in (alone, cut):
        assert far(batch[PLACE:], one) < ROUNDING < OTHER < far(batch[:1], one)
    for one in (large, large_cut, of_image):
        assert far(large_batch[PLACE:], one) < ROUNDING
    assert far(large_batch[PLACE:], of_first) > OTHER


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_so_does_the_custom_sampler(host, sampler):
    """The noise that each step adds belongs to the picture as the first noise does."""
    graph = Cascade()
    for latent, place in ((graph.batch, {}), (graph.third, {}), (graph.single, {"batch_index": PLACE})):
        graph.save(graph.custom(latent, sampler, **place))
    batch, cut, alone = latents(host, graph)
    for one in (cut, alone):
        assert far(batch[PLACE:], one) < ROUNDING < OTHER < far(batch[:1], one)


def test_the_same_seed_is_the_same_picture_everywhere(host, tmp_path):
    graph = Graph()
    model, clip, _ = graph.load()
    options = {"seed": SEED, "steps": "4", "sampler": "ddpm", "guidance_scale": 3.0, "eta": 0.0}
    links = {"model": model, "positive": graph.text(clip), "latent": graph.empty(batch_size=2)}
    graph.save(graph.node("GlideSampler", 2, **links, **options, threshold=0.0, denoise=1.0)[0])
    (nodes,) = latents(host, graph)
    stage = Stage.load("tiny-base")
    library = generate(stage, [PROMPT] * 2, Sampling(steps="4", sampler="ddpm", guidance_scale=3.0), seed=SEED)
    assert far(nodes, library) < ROUNDING
    out = str(tmp_path / "out.png")
    cli.main(
        ["generate", PROMPT, "--stage", "base", "--batch", "2", "--steps", "4", "--seed", str(SEED), "-o", out]
        + ["--dtype", "fp32", "--device", "cpu"]
    )
    for k in range(2):
        assert far(read_image(tmp_path / f"out-{k}.png"), library[k : k + 1]) < ROUNDING + 1 / 127
