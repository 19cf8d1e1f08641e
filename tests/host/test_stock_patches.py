"""ComfyUI's own nodes that patch a MODEL, beyond the table of test_stock_table: caches, thresholds, steps, names."""

import re

import pytest

from glide_core.files.checkpoints import TINY_FOLDER
from graphs import UPSAMPLE, Graph, failure, latents
from stock import defaults, far

NEUTRAL = {  # inputs with which a node leaves the model as it is
    "FreeU": {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0},
    "FreeU_V2": {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0},
    "SelfAttentionGuidance": {"scale": 0.0},
    "PerturbedAttentionGuidance": {"scale": 0.0},
}


@pytest.fixture(scope="session")
def infos(host):
    return host.object_info()


class Painting(Graph):
    """A model with its prompts; `paint` samples a MODEL with strong guidance and saves the latent."""

    def __init__(self, infos):
        super().__init__()
        self.infos = infos
        self.model, clip, _ = self.load()
        self.positive, self.negative, self.canvas = self.text(clip), self.text(clip, ""), self.empty()

    def patched(self, name, **inputs):
        return self.node(name, model=self.model, **defaults(self.infos[name]) | inputs)

    def paint(self, model, **changes):
        self.save(self.ksampler(model, self.positive, self.negative, self.canvas, **{"cfg": 8.0} | changes))


@pytest.mark.parametrize("mode, fits", [("clip", True), ("dynamic", True), ("off", False)])
def test_threshold_is_last_wherever_it_stands(host, infos, mode, fits):
    graph = Painting(infos)
    threshold = {"mode": mode, "threshold": 0.9}
    before = graph.node("GlideThreshold", model=graph.model, **threshold)
    graph.paint(graph.node("CFGZeroStar", model=before))
    graph.paint(graph.node("GlideThreshold", model=graph.node("CFGZeroStar", model=graph.model), **threshold))
    one, other = latents(host, graph)
    assert far(one, other) < 1e-5
    assert bool(one.abs().max() <= 1 + 1e-5) == fits


def test_neutral_numbers_leave_the_picture_alone(host, infos):
    graph = Painting(infos)
    graph.paint(graph.model)
    for name, inputs in NEUTRAL.items():
        graph.paint(graph.patched(name, **inputs))
    plain, *pictures = latents(host, graph)
    for name, picture in zip(NEUTRAL, pictures):
        assert far(picture, plain) < 2e-3, name


def test_a_second_call_in_a_step_leaves_the_learned_variance_alone(host, infos):
    """SelfAttentionGuidance of scale 0 calls the U-Net twice and changes nothing, also where ddpm adds noise."""
    graph = Painting(infos)
    options = {"seed": 5, "steps": "5", "sampler": "ddpm", "guidance_scale": 3.0, "eta": 0.0, "threshold": 0.0}
    links = {"positive": graph.positive, "latent": graph.canvas, "denoise": 1.0}
    for model in (graph.model, graph.patched("SelfAttentionGuidance", scale=0.0)):
        graph.save(graph.node("GlideSampler", 2, model=model, **links, **options)[0])
    plain, patched = latents(host, graph)
    assert far(plain, patched) < 2e-3


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
def test_caches_save_steps(host, infos, name):
    graph = Painting(infos)
    logged = len(host.log())
    graph.paint(graph.model, steps=16, cfg=3.0)
    graph.paint(graph.patched(name, reuse_threshold=0.3), steps=16, cfg=3.0)
    plain, cached = latents(host, graph)
    skipped, steps = re.findall(rf"{name} - skipped (\d+)/(\d+) steps", host.log()[logged:])[-1]
    assert int(steps) == 16 and 2 <= int(skipped) <= 12
    assert 0.001 < (cached - plain).abs().mean() < 0.3


def custom(graph, sigmas, latent):
    """SamplerCustom with the host's euler -> LATENT."""
    return graph.node(
        "SamplerCustom",
        2,
        model=graph.model,
        positive=graph.positive,
        negative=graph.negative,
        add_noise=True,
        noise_seed=1,
        cfg=3.0,
        sampler=graph.node("KSamplerSelect", sampler_name="euler"),
        sigmas=sigmas,
        latent_image=latent,
    )[0]


def test_steps_that_start_low_need_a_picture(host, infos):
    graph = Painting(infos)
    sigmas = graph.node("OptimalStepsScheduler", model_type="Wan", steps=4, denoise=1.0)
    graph.save(custom(graph, sigmas, graph.canvas))
    message = failure(host, graph)
    assert "start at sigma 1," in message and "OptimalStepsScheduler is made for other models" in message
    graph = Painting(infos)
    graph.paint(graph.model, denoise=0.5)
    assert "set denoise to 1" in failure(host, graph)
    graph = Painting(infos)
    sigmas = graph.node("OptimalStepsScheduler", model_type="Wan", steps=4, denoise=1.0)
    picture = graph.node("EmptyImage", width=64, height=64, batch_size=1, color=0x2040C0)
    _, _, vae = graph.load()
    graph.save(custom(graph, sigmas, graph.node("VAEEncode", pixels=picture, vae=vae)))
    (repainted,) = latents(host, graph)
    expected = [0x20, 0x40, 0xC0]
    assert all(abs(float(repainted[0, c].mean()) - (value / 127.5 - 1)) < 0.5 for c, value in enumerate(expected))


def test_an_upsampler_with_freeu(host, infos):
    """Its blocks are patched in every tile."""
    graph = Graph()
    model, clip, _ = graph.load(UPSAMPLE)
    small = graph.node("EmptyImage", width=16, height=16, batch_size=1, color=0x4080C0)
    text = graph.text(clip)
    conditioned = graph.node("GlideUpsampleConditioning", 3, clip=clip, positive=text, negative=text, image=small)
    patched = graph.node("FreeU", model=model, **defaults(infos["FreeU"]))
    for each in (model, patched):
        graph.save(graph.ksampler(each, *conditioned, steps=2, cfg=1.0))
    plain, changed = latents(host, graph)
    assert far(plain, changed) > 0.01 and changed.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("spelling", ["tiny-base", "tiny-base.safetensors", "tiny-base (embedded)"])
def test_embedded_models_are_found_in_every_spelling(host, spelling):
    graph = Graph()
    model, clip, _ = graph.load(spelling)
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps=1))
    assert latents(host, graph)[0].shape == (1, 3, 64, 64)


def test_a_folder_in_the_spelling_of_windows(host):
    folder = host.base / "models" / "glide" / "sub"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name.safetensors").write_bytes((TINY_FOLDER / "tiny-base.safetensors").read_bytes())
    (folder / "tokenizer.json").write_bytes((TINY_FOLDER / "tokenizer.json").read_bytes())
    for spelling in ("sub/name.safetensors", "sub\\name.safetensors"):
        graph = Graph()
        model, clip, _ = graph.load(spelling)
        graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps=1))
        assert latents(host, graph)[0].shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    "name, message",
    [
        ("base.pt", "checkpoint - base.pt is not in models/glide: click Download on this node"),
        ("upsample_inpaint.pt", "run `glide fetch upsample-inpaint`"),
        ("house.safetensors", "house.safetensors is not in models/glide: choose one of tiny-base"),
    ],
)
def test_a_missing_checkpoint_is_told_before_anything_runs(host, name, message):
    graph = Graph()
    model, clip, _ = graph.load(name)
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), steps=1))
    assert message in failure(host, graph)


@pytest.mark.parametrize("node", ["CLIPTextEncode", "GlideTextEncode"])
@pytest.mark.parametrize("text, weight", [("a (red:nan) circle", "nan"), ("(a red:1e30) circle", "1e+30")])
def test_absurd_weights_are_named(host, node, text, weight):
    graph = Graph()
    model, clip, _ = graph.load()
    prompt = graph.node(node, clip=clip, text=text)
    graph.save(graph.ksampler(model, prompt, graph.text(clip, ""), graph.empty(), steps=1))
    message = failure(host, graph)
    assert f"the weight {weight}" in message and "red" in message
