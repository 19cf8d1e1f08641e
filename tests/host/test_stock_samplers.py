"""Every sampler and scheduler of KSampler paints with the base model and with the upsampler."""

import pytest

from graphs import UPSAMPLE, Graph, finished_latents
from hosts import PROJECT, HostError

# They stop at the last sigma above 0, which is about 1 in so few steps: noise of that strength is left.
LEAVE_NOISE = ("dpm_fast", "dpm_adaptive")
QUICK = ["euler", "dpmpp_2m", "ddim", "uni_pc", "dpmpp_2m_sde"]


def options_of(host, name):
    """The choices of a widget of KSampler; older hosts list them in another place."""
    spec = host.object_info("KSampler")["input"]["required"][name]
    return spec[0] if isinstance(spec[0], list) else spec[1]["options"]


def base(**changes):
    graph = Graph()
    model, clip, _ = graph.load()
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty(), **changes))
    return graph


def upsampler(**changes):
    """The smallest picture that the upsampler paints, of a flat one: what is in it comes from sampling."""
    graph = Graph()
    model, clip, _ = graph.load(UPSAMPLE)
    small = graph.node("EmptyImage", width=16, height=16, batch_size=1, color=0x4080C0)
    text = graph.text(clip)
    positive, negative, latent = graph.node(
        "GlideUpsampleConditioning", 3, clip=clip, positive=text, negative=text, image=small
    )
    graph.save(graph.ksampler(model, positive, negative, latent, **{"cfg": 1.0} | changes))
    return graph


def painted(host, graphs):
    """{name: what its picture is like, or what went wrong}. All are queued at once: the host keeps the models."""
    queued = {name: (graph, host.submit(graph)) for name, graph in graphs.items()}
    return {
        name: describe(host, graph, prompt, most=6 if name in LEAVE_NOISE else 2)
        for name, (graph, prompt) in queued.items()
    }


def describe(host, graph, prompt, most):
    try:
        (picture,) = finished_latents(host, graph, host.wait(prompt))
    except HostError as error:
        return f"error: {error}"
    if not picture.isfinite().all():
        return "not finite"
    if picture.abs().max() > most or picture.std() < 0.01:
        return f"no picture: up to {picture.abs().max():.2g}, standard deviation {picture.std():.2g}"
    return "ok"


def table(host, samplers):
    """[(sampler, base, upsampler)], also written to build/."""
    columns = [painted(host, {name: build(sampler_name=name) for name in samplers}) for build in (base, upsampler)]
    rows = [(name, *(column[name] for column in columns)) for name in samplers]
    head = f"# ComfyUI {host.version}, 4 steps, sgm_uniform\n\n| sampler | base | upsampler |\n| --- | --- | --- |"
    lines = [head, *(f"| {' | '.join(row)} |" for row in rows)]
    folder = PROJECT / "build"
    folder.mkdir(exist_ok=True)
    (folder / f"stock_samplers-{host.version}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return rows


@pytest.mark.slow
def test_every_sampler(host):
    assert [row for row in table(host, options_of(host, "sampler_name")) if row[1:] != ("ok", "ok")] == []


def test_some_samplers(host):
    assert [row for row in table(host, QUICK) if row[1:] != ("ok", "ok")] == []


def test_every_scheduler(host):
    graphs = {name: base(scheduler=name) for name in options_of(host, "scheduler")}
    found = painted(host, graphs)
    assert "take sgm_uniform" in found.pop("linear_quadratic")
    assert {name: problem for name, problem in found.items() if problem != "ok"} == {}


def test_advanced_sampler_in_two_parts(host):
    """KSamplerAdvanced that stops halfway and goes on ends where one run ends."""
    graph = Graph()
    model, clip, _ = graph.load()
    links = {"model": model, "positive": graph.text(clip), "negative": graph.text(clip, "")}
    options = {"steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "sgm_uniform", "noise_seed": 1}
    first = {"add_noise": "enable", "start_at_step": 0, "end_at_step": 2, "return_with_leftover_noise": "enable"}
    second = {"add_noise": "disable", "start_at_step": 2, "end_at_step": 4, "return_with_leftover_noise": "disable"}
    half = graph.node("KSamplerAdvanced", **links, **options | first, latent_image=graph.empty())
    graph.save(graph.node("KSamplerAdvanced", **links, **options | second, latent_image=half))
    graph.save(graph.ksampler(links["model"], links["positive"], links["negative"], graph.empty()))
    parts, whole = finished_latents(host, graph, host.run(graph))
    assert (parts - whole).abs().max() < 2e-3


def test_sampler_custom_paints_what_ksampler_does(host):
    graph = Graph()
    model, clip, _ = graph.load()
    links = {"positive": graph.text(clip), "negative": graph.text(clip, ""), "latent_image": graph.empty()}
    graph.save(
        graph.node(
            "SamplerCustom",
            2,
            model=model,
            **links,
            add_noise=True,
            noise_seed=1,
            cfg=3.0,
            sampler=graph.node("KSamplerSelect", sampler_name="euler"),
            sigmas=graph.node("BasicScheduler", model=model, scheduler="sgm_uniform", steps=4, denoise=1.0),
        )[0]
    )
    graph.save(graph.ksampler(model, links["positive"], links["negative"], links["latent_image"]))
    custom, plain = finished_latents(host, graph, host.run(graph))
    assert (custom - plain).abs().max() < 1e-4
