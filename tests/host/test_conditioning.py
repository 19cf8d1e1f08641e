"""ComfyUI's own conditioning nodes on GLIDE: each does what it says, or tells what to do instead."""

import pytest

from graphs import PROMPT, UPSAMPLE, Graph, failure, latents

OTHER = "a yellow star on a green background"


class Prompts(Graph):
    """A base model with its prompts; `paint` samples one and saves it."""

    def __init__(self):
        super().__init__()
        self.model, self.clip, _ = self.load()
        self.one, self.other, self.nothing = (self.text(self.clip, text) for text in (PROMPT, OTHER, ""))
        self.canvas = self.empty()

    def paint(self, positive, negative=None, steps=3):
        self.save(self.ksampler(self.model, positive, negative or self.nothing, self.canvas, steps=steps))


ROUNDING = 2e-3  # other batches round otherwise, and the first sigma multiplies that by 71


def far(one, other):
    return (one - other).abs().max()


def test_weights_in_a_prompt(host):
    graph = Prompts()
    texts = [PROMPT, f"({PROMPT}:1.0)", "a (red:1.6) circle on a blue background", "a red circle on a blue background"]
    for text in texts:
        graph.paint(graph.text(graph.clip, text))
    plain, neutral, heavy, again = latents(host, graph)
    assert far(plain, neutral) < 1e-5 and far(plain, again) < 1e-5
    assert far(plain, heavy) > 1e-3


def test_weights_do_not_change_the_tokens(host):
    graph = Graph()
    _, clip, _ = graph.load()
    for text in ("a (red:1.3) circle", "a red circle", "a ((red)) circle", r"a \(red\) circle"):
        graph.node("PreviewAny", source=graph.node("GlideTextEncode", clip=clip, text=text))
    outputs = host.run(graph)
    counts = [outputs[n]["text"][0].split()[0] for n in graph if graph[n]["class_type"] == "GlideTextEncode"]
    assert counts[0] == counts[1] == counts[2]
    assert counts[3] > counts[0]


def test_combine_average_and_zero_out(host):
    graph = Prompts()
    average = {"conditioning_to": graph.one, "conditioning_from": graph.other}
    graph.paint(graph.one)
    graph.paint(graph.node("ConditioningCombine", conditioning_1=graph.one, conditioning_2=graph.one))
    graph.paint(graph.node("ConditioningCombine", conditioning_1=graph.one, conditioning_2=graph.other))
    graph.paint(graph.one, graph.node("ConditioningZeroOut", conditioning=graph.other))
    graph.paint(graph.other)
    graph.paint(graph.node("ConditioningAverage", **average, conditioning_to_strength=0.0))
    graph.paint(graph.node("ConditioningAverage", **average, conditioning_to_strength=0.5))
    graph.paint(graph.node("ConditioningConcat", conditioning_to=graph.one, conditioning_from=graph.other))
    plain, twice, both, zeroed, other, all_other, half, joined = latents(host, graph)
    assert far(plain, twice) < ROUNDING
    assert far(plain, zeroed) < ROUNDING
    assert far(other, all_other) < ROUNDING
    for mixed in (both, half, joined):
        assert far(mixed, plain) > 0.01 and far(mixed, other) > 0.02


def test_a_range_of_timesteps(host):
    graph = Prompts()
    first, second, last = (
        graph.node("ConditioningSetTimestepRange", conditioning=prompt, start=start, end=end)
        for prompt, start, end in ((graph.one, 0.0, 0.5), (graph.one, 0.5, 1.0), (graph.other, 0.5, 1.0))
    )
    graph.paint(graph.one)
    graph.paint(graph.node("ConditioningCombine", conditioning_1=first, conditioning_2=second))
    graph.paint(graph.node("ConditioningCombine", conditioning_1=first, conditioning_2=last))
    whole, halves, changed = latents(host, graph)
    assert far(whole, halves) < ROUNDING
    assert far(whole, changed) > 0.01


def test_masks_and_areas(host):
    """In a single step each pixel is painted by the prompts whose mask or area it is in."""
    graph = Prompts()
    one = graph.node("SolidMask", value=1.0, width=32, height=64)
    zero = graph.node("SolidMask", value=0.0, width=64, height=64)
    left, right = (
        graph.node("MaskComposite", destination=zero, source=one, x=x, y=0, operation="add") for x in (0, 32)
    )
    masked = [
        graph.node("ConditioningSetMask", conditioning=c, mask=m, strength=1.0, set_cond_area="default")
        for c, m in ((graph.one, left), (graph.other, right))
    ]
    area = graph.node(
        "ConditioningSetAreaPercentage", conditioning=graph.other, width=0.5, height=0.5, x=0.5, y=0.0, strength=1.0
    )
    same_area = graph.node(
        "ConditioningSetArea", conditioning=graph.other, width=256, height=256, x=256, y=0, strength=1.0
    )
    graph.paint(graph.one, steps=1)
    graph.paint(graph.other, steps=1)
    graph.paint(graph.node("ConditioningCombine", conditioning_1=masked[0], conditioning_2=masked[1]), steps=1)
    graph.paint(graph.node("ConditioningCombine", conditioning_1=graph.one, conditioning_2=area), steps=1)
    graph.paint(graph.node("ConditioningCombine", conditioning_1=graph.one, conditioning_2=same_area), steps=1)
    first, second, both, with_area, with_same_area = latents(host, graph)
    assert far(both[..., :32], first[..., :32]) < ROUNDING
    assert far(both[..., 32:], second[..., 32:]) < ROUNDING
    assert far(with_area[..., :32], first[..., :32]) < ROUNDING
    assert far(with_area[..., 32:, 32:], first[..., 32:, 32:]) < ROUNDING
    assert far(with_area[..., :32, 32:], first[..., :32, 32:]) > 0.01
    assert far(with_area, with_same_area) < 1e-5


def test_an_area_grows_with_the_picture(host):
    """Of the base's right half the upsampler repaints the right half."""
    graph = Prompts()
    model, clip, _ = graph.load(UPSAMPLE)
    half = graph.node("ConditioningSetArea", conditioning=graph.other, width=128, height=256, x=128, y=0, strength=1.0)
    small = graph.empty(32, 32)
    for prompt in (graph.one, graph.node("ConditioningCombine", conditioning_1=graph.one, conditioning_2=half)):
        links = {"clip": clip, "positive": prompt, "negative": graph.nothing, "latent": small}
        conditioned = graph.node("GlideUpsampleConditioning", 3, **links)
        graph.save(graph.ksampler(model, *conditioned, steps=1, cfg=1.0))
    plain, with_area = latents(host, graph)
    assert far(plain[..., :64], with_area[..., :64]) < ROUNDING
    assert far(plain[..., 64:], with_area[..., 64:]) > 1e-3


@pytest.mark.parametrize(
    "node, inputs",
    [
        ("ConditioningSetArea", {"width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}),
        ("ConditioningSetAreaPercentage", {"width": 0.33, "height": 1.0, "x": 0.0, "y": 0.0, "strength": 1.0}),
    ],
)
def test_an_area_that_the_model_cannot_paint(host, node, inputs):
    graph = Prompts()
    graph.paint(graph.node(node, conditioning=graph.one, **inputs))
    message = failure(host, graph)
    assert "area of a CONDITIONING is" in message and "8 times as many" in message


def test_the_layer_of_another_kind_of_clip(host):
    graph = Prompts()
    graph.paint(graph.text(graph.node("CLIPSetLastLayer", clip=graph.clip, stop_at_clip_layer=-2)))
    assert "take CLIPSetLastLayer out" in failure(host, graph)


def test_what_cannot_be_encoded_again_for_the_upsampler(host):
    graph = Prompts()
    changed = graph.node("ConditioningConcat", conditioning_to=graph.one, conditioning_from=graph.other)
    model, clip, _ = graph.load(UPSAMPLE)
    options = {"seed": 1, "steps": "1", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "temperature": 1.0}
    links = {"model": model, "clip": clip, "positive": changed, "latent": graph.canvas}
    graph.save(graph.node("GlideUpsampler", 2, **links, **options)[0])
    assert "connect the CONDITIONING from before that node" in failure(host, graph)
