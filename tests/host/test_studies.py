"""Sweeps in real ComfyUI: lists for any sampler, cells that are saved one by one, and the labelled picture of them."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from glide_core.files.checkpoints import TINY_FOLDER
from graphs import PROMPT, Graph, failure, finished_latents
from hosts import HostError
from stock import small_lora

SHEET = "glide_sheet"


class Study(Graph):
    """A base model in two steps: ``sweep`` gives the outputs of GlideSweep, and ``paint`` a LATENT and an IMAGE."""

    def __init__(self):
        super().__init__()
        self.model, self.clip, self.vae = self.load()

    def sweep(self, x="guidance=1,3", y="seed=4,5", **changes):
        base = {"seed": 5, "steps": "2", "sampler": "ddim", "guidance_scale": 3.0, "temperature": 1.0}
        return self.node("GlideSweep", 12, x=x, y=y, **{**base, "prompt": PROMPT, "negative": "", **changes})

    def paint(self, **changes):
        base = {"seed": 5, "steps": "2", "sampler": "ddim", "guidance_scale": 1.0, "eta": 0.0, "threshold": 0.0}
        links = {"model": self.model, "latent": changes.pop("latent", None) or self.empty()}
        prompt = changes.pop("positive", None) or self.encoded(PROMPT)
        return self.node("GlideSampler", 2, **links, positive=prompt, denoise=1.0, **{**base, **changes})

    def encoded(self, text):
        return self.node("GlideTextEncode", clip=self.clip, text=text)

    def grid(self, image, **links):
        """The labelled picture, in a PreviewImage."""
        picture = self.node("GlideGrid", image=image, filename_prefix="cells/of", **links)
        self.node("PreviewImage", images=picture)


def cells_of(outputs):
    """The entries of the contact sheet that has all cells; those of GlideSampler have no captions."""
    sheets = [output[SHEET] for output in outputs.values() if SHEET in output]
    return max((sheet for sheet in sheets if "caption" in sheet[0]), key=len)


def grid_of(host, graph, outputs):
    return host.image(outputs[graph.number("PreviewImage")]["images"][0])


def parameters_of(host, cell):
    with Image.open(host.base / "output" / cell["subfolder"] / cell["filename"]) as image:
        return json.loads(image.info["parameters"]), image.info


def test_cells_are_the_pictures_that_their_parameters_make(host):
    """GlideSampler by every output of a sweep; each cell by itself is the same picture."""
    graph = Study()
    guidance, steps, sampler, _, seed, prompt, *_, axes = graph.sweep()
    _, image = graph.paint(
        guidance_scale=guidance, steps=steps, sampler=sampler, seed=seed, positive=graph.encoded(prompt)
    )
    graph.grid(image, axes=axes)
    outputs = host.run(graph)
    cells = cells_of(outputs)
    assert [cell["caption"] for cell in cells] == [
        f"guidance {scale}, seed {seed}" for seed in (4, 5) for scale in (1, 3)
    ]
    assert [(cell["place"], cell["seed"], cell["prompt"]) for cell in cells] == [
        (place, seed, PROMPT) for place, seed in enumerate((4, 4, 5, 5))
    ]
    drawn = grid_of(host, graph, outputs)
    for cell in cells:
        noted, texts = parameters_of(host, cell)
        assert noted == cell["parameters"] and json.loads(texts["prompt"]) == json.loads(json.dumps(graph))
        alone = Study()
        alone.node("PreviewImage", images=alone.paint(guidance_scale=noted["guidance"], seed=noted["seed"])[1])
        expected = grid_of(host, alone, host.run(alone))
        np.testing.assert_allclose(host.image(cell).astype(int), expected, atol=1)  # PreviewImage rounds down
    assert len({host.image(cell).tobytes() for cell in cells}) == 4
    places = [host.image(cell).tobytes() in picture_parts(drawn) for cell in cells]
    assert all(places)


def picture_parts(drawn):
    """Every 64x64 part of a grid that has no white around its corner."""
    windows = np.lib.stride_tricks.sliding_window_view(drawn, (64, 64, 3))[:, :, 0]
    return {np.ascontiguousarray(windows[y, x]).tobytes() for y, x in zip(*np.nonzero(corners(drawn)))}


def corners(drawn):
    """Where a picture begins: coloured, with white above and on the left."""
    ink = (drawn < 250).any(-1)
    above, left = np.roll(ink, 1, 0), np.roll(ink, 1, 1)
    found = ink & ~above & ~left
    return found[:-63, :-63]


def test_stock_nodes_are_swept(host):
    graph = Study()
    guidance, steps, sampler, _, seed, prompt, negative, *_, axes = graph.sweep("sampler=euler,dpmpp_2m", "steps=3,4")
    links = {"cfg": guidance, "steps": steps, "sampler_name": sampler, "seed": seed}
    latent = graph.ksampler(
        graph.model, graph.text(graph.clip, prompt), graph.text(graph.clip, negative), graph.empty(), **links
    )
    graph.grid(graph.node("VAEDecode", samples=latent, vae=graph.vae), axes=axes)
    cells = cells_of(host.run(graph))
    pictures = [host.image(cell) for cell in cells]
    assert [cell["caption"] for cell in cells] == [
        "euler, steps 3", "dpmpp_2m, steps 3", "euler, steps 4", "dpmpp_2m, steps 4"
    ]  # fmt: skip
    assert all((a != b).any() for k, a in enumerate(pictures) for b in pictures[:k])


def test_models_are_swept(host):
    """Checkpoints, LoRAs of stock nodes, and CLIP guidance; a model without one is the plain model."""
    (host.base / "models" / "glide").mkdir(parents=True, exist_ok=True)
    shutil.copy(TINY_FOLDER / "tiny-base.safetensors", host.base / "models" / "glide" / "mine.safetensors")
    lora = "swept.safetensors"
    (host.base / "models" / "loras").mkdir(parents=True, exist_ok=True)
    save_file(small_lora(), host.base / "models" / "loras" / lora)
    graph = Study()
    checkpoint, lora_name, strength, _, axes = graph.sweep(
        "checkpoint=tiny-base (embedded),mine.safetensors", f"lora=; {lora}:0.5; {lora}"
    )[7:]
    model, clip, _ = graph.node("GlideLoader", 3, checkpoint=checkpoint, dtype="auto")
    strengths = {"strength_model": strength, "strength_clip": strength}
    model, clip = graph.node("LoraLoader", 2, model=model, clip=clip, lora_name=lora_name, **strengths)
    graph.model, graph.clip = model, clip
    graph.grid(graph.paint(positive=graph.encoded(PROMPT))[1], axes=axes)
    cells = cells_of(host.run(graph))
    assert [cell["caption"] for cell in cells[:3]] == [
        "tiny-base (embedded), lora none", "mine.safetensors, lora none", f"tiny-base (embedded), lora {lora}:0.5"
    ]  # fmt: skip
    pictures = [host.image(cell) for cell in cells]
    assert all((pictures[k] == pictures[k + 1]).all() for k in (0, 2, 4))  # the file is a copy of the embedded one
    assert all((pictures[a] != pictures[b]).any() for a, b in ((0, 2), (0, 4), (2, 4)))
    plain = Study()
    plain.node("PreviewImage", images=plain.paint()[1])
    np.testing.assert_allclose(pictures[0].astype(int), grid_of(host, plain, host.run(plain)), atol=1)


def test_clip_guidance_is_swept(host):
    graph = Study()
    *_, guidance, axes = graph.sweep("clip-guidance=0,20", "")
    clip = {"image_encoder": "tiny-clip (embedded)", "text_encoder": "in the same file, or beside it", "dtype": "fp32"}
    options = {"guide_from": 0.0, "guide_until": 1.0, "every": 1, "save_memory": False}
    graph.model = graph.node(
        "GlideCLIPGuidance",
        model=graph.model,
        glide_clip=graph.node("GlideCLIPLoader", **clip),
        text=PROMPT,
        scale=guidance,
        **options,
    )
    graph.grid(graph.paint()[1], axes=axes)
    cells = cells_of(host.run(graph))
    assert [cell["parameters"]["clip_guidance"] for cell in cells] == [0, 20]
    assert (host.image(cells[0]) != host.image(cells[1])).any()


def test_what_is_on_no_axis_cannot_be_loaded(host):
    graph = Study()
    *_, checkpoint, _, _, _, axes = graph.sweep()
    graph.model, _, _ = graph.node("GlideLoader", 3, checkpoint=checkpoint, dtype="auto")
    graph.grid(graph.paint()[1], axes=axes)
    assert "checkpoint is connected, but on no axis" in failure(host, graph)


def test_prompts_are_a_list_or_one_batch(host):
    graph = Study()
    text = "a {red|blue} circle ### {blurry}\n# a comment\n\na yellow star"
    prompts, negatives, axes, positive, negative, count = graph.node("GlidePrompts", 6, text=text, clip=graph.clip)
    options = {"guidance_scale": 3.0, "seed": 8}
    encoded = {"positive": graph.encoded(prompts), "negative": graph.encoded(negatives)}
    one_by_one, image = graph.paint(**options, **encoded)
    graph.grid(image, axes=axes)
    graph.save(one_by_one)
    latent = graph.empty(batch_size=count)
    graph.save(graph.paint(**options, latent=latent, positive=positive, negative=negative)[0])
    graph.node("PreviewAny", source=prompts)
    outputs = host.run(graph)
    listed = ["a red circle", "a blue circle", "a yellow star"]
    assert outputs[graph.number("PreviewAny")]["text"] == listed
    assert [cell["caption"] for cell in cells_of(outputs)] == listed
    first, batch = finished_latents(host, graph, outputs)
    assert batch.shape == (3, 3, 64, 64)
    np.testing.assert_allclose(batch[0], first[0], atol=2e-3)


def test_pictures_with_labels_alone(host):
    graph = Study()
    prompts = graph.node("GlidePrompts", 6, text="a red circle\na blue circle")[0]
    _, image = graph.paint(latent=graph.empty(batch_size=2))
    graph.grid(image, labels=prompts)
    outputs = host.run(graph)
    assert [cell["caption"] for cell in cells_of(outputs)] == ["a red circle", "a blue circle"]


def test_a_cancelled_sweep_keeps_what_was_done(host):
    graph = Study()
    guidance, _, _, _, seed, *_, axes = graph.sweep("guidance=1,2,3", "seed=10..40", steps="2")
    _, image = graph.paint(seed=seed, guidance_scale=guidance)
    graph.grid(image, axes=axes)
    before = set((host.base / "output" / "cells").glob("*.png"))
    seen = []

    def on_event(kind, data):
        if kind == "executed" and (data["output"] or {}).get(SHEET):
            before_this = len(seen)
            seen.extend(cell for cell in data["output"][SHEET] if "caption" in cell)
            if before_this < len(seen) == 3:
                host.interrupt()

    with pytest.raises(HostError, match="interrupted"):
        host.watch(graph, on_event)
    saved = set((host.base / "output" / "cells").glob("*.png")) - before
    assert 3 <= len(saved) < 10
    assert [cell["place"] for cell in seen] == list(range(len(seen)))
    assert {cell["filename"] for cell in seen[:3]} <= {path.name for path in saved}


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"x": "guidance="}, "guidance has no value"),
        ({"x": "guidance=1,100000"}, "give a number from 0 to 100"),
        ({"x": "size=1"}, "there is no axis 'size'"),
        ({"x": "lora="}, "lora has no value"),
        ({"x": "seed=1,2"}, "x and y are both seed"),
        ({"x": "seed=0..9999", "y": "guidance=1,2"}, "make 20000 cells"),
        ({"steps": "many"}, "many"),
        ({"x": "prompt=a\x07b; c"}, "U+0007"),
    ],
)
def test_bad_sweeps(host, changes, told):
    graph = Study()
    *_, axes = sweep = graph.sweep(**{"y": "seed=4,5", **changes})
    graph.grid(graph.paint(guidance_scale=sweep[0])[1], axes=axes)
    assert told in failure(host, graph)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda graph, sweep: {"image": graph.paint()[1], "axes": sweep[-1]}, "image holds 1 pictures, but axes 4"),
        (
            lambda graph, sweep: {
                "image": graph.paint(seed=sweep[4], latent=graph.empty(batch_size=2))[1],
                "axes": sweep[-1],
            },
            "image is a batch of 2",
        ),
    ],
)
def test_grids_of_something_else(host, change, told):
    graph = Study()
    links = change(graph, graph.sweep())
    graph.grid(**links)
    assert told in failure(host, graph)


def test_a_tally_counts_what_is_seen(host):
    """Pictures of known colours, judged by the embedded CLIP."""
    graph = Study()
    names = []
    for number, colour in enumerate(["red", "red", "blue"]):
        picture = Image.new("RGB", (64, 64), "white")
        picture.paste(colour, (16, 16, 48, 48))
        names.append(host.upload_image(picture, f"tally-{number}.png"))
    images = [graph.node("LoadImage", 2, image=name)[0] for name in names]
    batch = images[0]
    for image in images[1:]:
        batch = graph.node("ImageBatch", image1=batch, image2=image)
    judge = graph.node(
        "GlideCLIPLoader",
        image_encoder="tiny-clip (embedded)",
        text_encoder="in the same file, or beside it",
        dtype="fp32",
    )
    labels = "a red square on a white background\na blue square on a white background\n"
    histogram, table, counts, found = graph.node("GlideTally", 4, image=batch, labels=labels, glide_clip=judge)
    graph.node("PreviewImage", images=histogram)
    for source in (table, counts, found):
        graph.node("PreviewAny", source=source)
    outputs = host.run(graph)
    texts = [outputs[number]["text"] for number in graph if graph[number]["class_type"] == "PreviewAny"]
    assert [int(text) for text in texts[1]] == [2, 1]
    assert ["red" in text for text in texts[2]] == [True, True, False]
    header, first, _ = texts[0][0].strip().splitlines()
    assert header == "label,count,of,share,low,high" and first.endswith("2,3,0.6667,0.2077,0.9385")
    assert grid_of(host, graph, outputs).shape[1] > 600


def test_a_batch_of_prompts_needs_a_clip(host):
    graph = Study()
    positive = graph.node("GlidePrompts", 6, text="a red circle")[3]
    graph.node("PreviewImage", images=graph.paint(positive=positive)[1])
    told = []

    def on_event(kind, data):
        if kind == "execution_error":
            told.append(data["exception_message"])

    try:  # older hosts tell the error and go on with what does not need the output
        assert not host.watch(graph, on_event).get(graph.number("PreviewImage"))
    except HostError as error:
        told.append(str(error))
    assert any("connect clip" in text for text in told)


@pytest.mark.parametrize("labels", ["", "a red circle", "a red circle\na red circle"])
def test_bad_labels(host, labels):
    graph = Study()
    judge = graph.node(
        "GlideCLIPLoader",
        image_encoder="tiny-clip (embedded)",
        text_encoder="in the same file, or beside it",
        dtype="fp32",
    )
    tally = graph.node("GlideTally", 4, image=graph.paint()[1], labels=labels, glide_clip=judge)
    graph.node("PreviewImage", images=tally[0])
    assert "labels: give two or more" in failure(host, graph)


def test_bad_prompts(host):
    graph = Study()
    prompts, *_ = graph.node("GlidePrompts", 6, text="a {red|blue star")
    graph.grid(graph.paint(positive=graph.encoded(prompts))[1])
    assert "line 1: there is a { without its }" in failure(host, graph)
