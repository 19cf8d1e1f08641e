"""Mistakes that a graph holds are told before its first model samples, with the node, the socket and the remedy."""

import pytest

import inpaint_models
from glide_core.files import checkpoints
from graphs import BASE, PROMPT, UPSAMPLE, Graph
from hosts import HostError

SAMPLING = {"seed": 1, "sampler": "ddim", "eta": 0.0}


class Cascade(Graph):
    """A base model that samples for long, and an upsampler after it."""

    def __init__(self):
        super().__init__()
        self.model, self.clip, _ = self.load()
        self.upsampler, self.upsampler_clip, self.vae = self.load(UPSAMPLE)
        self.positive = self.node("GlideTextEncode", clip=self.clip, text=PROMPT)
        options = {"steps": "250", "guidance_scale": 3.0, "threshold": 0.0, "denoise": 1.0, **SAMPLING}
        links = {"model": self.model, "positive": self.positive, "latent": self.empty(batch_size=8)}
        self.small, self.small_image = self.node("GlideSampler", 2, **links, **options)

    def enlarge(self, **changes):
        links = {"model": self.upsampler, "clip": self.upsampler_clip, "positive": self.positive, "latent": self.small}
        options = {"steps": "1", "guidance_scale": 1.0, "temperature": 1.0, **SAMPLING}
        self.save(self.node("GlideUpsampler", 2, **options, **links | changes)[0])

    def repaint(self, **changes):
        mask = self.node("SolidMask", value=1.0, width=64, height=64)
        links = {"model": self.model, "positive": self.positive, "image": self.small_image, "mask": mask}
        options = {"steps": "1", "guidance_scale": 1.0, "hide_until": 0.0, "denoise": 1.0, **SAMPLING}
        self.save(self.node("GlideInpaint", 2, **options, **links | changes)[0])

    def sample_again(self, **changes):
        links = {"model": self.model, "positive": self.positive, "latent": self.small}
        options = {"steps": "1", "guidance_scale": 1.0, "threshold": 0.0, "denoise": 0.5, **SAMPLING}
        self.save(self.node("GlideSampler", 2, **options, **links | changes)[0])


def base_clip(graph):
    graph.enlarge(clip=graph.clip)


def other_model_in_upsampler(graph):
    graph.enlarge(model=graph.model)


def original_alone(graph):
    graph.enlarge(original=graph.node("EmptyImage", width=256, height=256, batch_size=1, color=0))


def changed_prompt(graph):
    other = graph.text(graph.clip, "a star")
    joined = graph.node("ConditioningConcat", conditioning_to=graph.positive, conditioning_from=other)
    graph.enlarge(positive=joined)


def both_pictures(graph):
    graph.enlarge(image=graph.small_image)


def base_in_inpaint(graph):
    graph.repaint()


def upsampler_in_sampler(graph):
    graph.sample_again(model=graph.upsampler)


def prompt_of_the_upsampler(graph):
    graph.sample_again(negative=graph.text(graph.upsampler_clip, "a star"))


NEEDS = (
    "model is a GLIDE base model, but this node needs the {0} one: connect the MODEL of a GlideLoader that loads the "
    "{0} model"
)


@pytest.mark.parametrize(
    "mistake, told",
    [
        (base_clip, "GlideUpsampler: clip belongs to another GLIDE model: connect the CLIP of the GlideLoader"),
        (other_model_in_upsampler, f"GlideUpsampler: {NEEDS.format('upsample')}"),
        (original_alone, "GlideUpsampler: original and mask belong together"),
        (changed_prompt, "GlideUpsampler: positive was changed after it was encoded"),
        (both_pictures, "GlideUpsampler: latent and image are both connected"),
        (base_in_inpaint, f"GlideInpaint: {NEEDS.format('base-inpaint')}"),
        (upsampler_in_sampler, "or use this model in GlideUpsampler without original and mask"),
        (prompt_of_the_upsampler, "GlideSampler: negative is a CONDITIONING of another GLIDE model's text transformer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_before_anything_is_sampled(host, mistake, told):
    graph, steps = Cascade(), []
    mistake(graph)
    with pytest.raises(HostError) as caught:
        host.watch(graph, lambda kind, data: steps.append(data) if kind == "progress" else None)
    assert told in str(caught.value)
    assert steps == []


def test_an_inpainting_model_in_glide_sampler(host):
    name = inpaint_models.write("base", host.base / "models" / "glide").name
    graph = Cascade()
    graph.sample_again(model=graph.load(name)[0])
    with pytest.raises(HostError, match="needs the base one.*or use this model in GlideInpaint"):
        host.run(graph)


@pytest.mark.parametrize("width, height", [(1800, 1200), (60, 64)])
def test_a_latent_of_another_size(host, width, height):
    graph = Graph()
    model, clip, vae = graph.load()
    image = graph.node("EmptyImage", width=width, height=height, batch_size=1, color=255)
    options = {"steps": "1", "guidance_scale": 1.0, "threshold": 0.0, "denoise": 0.5, **SAMPLING}
    links = {"model": model, "positive": graph.text(clip), "latent": graph.node("VAEEncode", pixels=image, vae=vae)}
    graph.save(graph.node("GlideSampler", 2, **links, **options)[0])
    with pytest.raises(HostError, match=f"GlideSampler: latent is a picture of {width}x{height} .*with GlideCrop"):
        host.run(graph)


@pytest.mark.parametrize(
    "name", ["tiny-base", "tiny-base.safetensors", BASE, "sub\\copy.safetensors", "sub/copy.safetensors"]
)
def test_a_model_in_every_spelling(host, name):
    folder = host.base / "models" / "glide" / "sub"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(*checkpoints.read_model(checkpoints.find("tiny-base")), folder / "copy.safetensors")
    (folder / "tokenizer.json").write_bytes(checkpoints.find("tiny-base").with_name("tokenizer.json").read_bytes())
    graph = Graph()
    _, clip, _ = graph.load(name)
    graph.node("PreviewAny", source=graph.node("GlideTextEncode", clip=clip, text=PROMPT))
    assert host.run(graph)
