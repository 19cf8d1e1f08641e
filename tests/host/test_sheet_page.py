"""The contact sheet on nodes: chosen, enlarged, kept, copied and picked by real clicks and keys."""

import json

import pytest
from test_browser import AT_REST, execute

from glide_core.diffusion.noise import picture_seed

READ = """() => navigator.clipboard.readText()"""
VALUE = """([type, name]) => app.graph.nodes.find((node) => node.type === type).widgets
    .find((widget) => widget.name === name).value"""
KEPT = "(type) => app.graph.serialize().nodes.find((node) => node.type === type).properties.glide_favourites ?? []"
FOCUS = """(type) => {
    const node = app.graph.nodes.find((node) => node.type === type)
    const { ds, canvas } = app.canvas
    ds.scale = 1
    ds.offset[0] = 300 - node.pos[0]
    ds.offset[1] = 120 - node.pos[1]
    app.canvas.setDirty(true, true)
}"""
PROMPT = "a red circle on a blue background"


class Workflow(dict):
    """A graph for the page: ``node`` adds one with its widgets, and links {input: (node, output slot, type)}."""

    def __init__(self):
        super().__init__(nodes=[], links=[], version=0.4, last_node_id=20, last_link_id=20)

    def node(self, kind, widgets=(), size=(300, 200), outputs=(), **links):
        number = len(self["nodes"]) + 1
        inputs = []
        for name, (origin, slot, type_of) in links.items():
            link = len(self["links"]) + 1
            self["links"].append([link, origin, slot, number, len(inputs), type_of])
            self["nodes"][origin - 1]["outputs"][slot]["links"].append(link)
            widget = {"widget": {"name": name}} if type_of in ("INT", "FLOAT", "STRING", "COMBO") else {}
            inputs.append({"name": name, "type": type_of, "link": link, **widget})
        made = [{"name": name, "type": type_of, "links": []} for name, type_of in outputs]
        pos = [(number - 1) * 340, 0]
        self["nodes"].append(
            {"id": number, "type": kind, "pos": pos, "size": list(size), "inputs": inputs, "outputs": made}
            | {"widgets_values": list(widgets), "flags": {}, "order": number - 1, "mode": 0, "properties": {}}
        )
        return number


def loaded():
    """A base model with a prompt: the workflow, and the numbers of the loader and the prompt."""
    flow = Workflow()
    types = [("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")]
    loader = flow.node("GlideLoader", ["tiny-base (embedded)", "fp32"], outputs=types)
    text = flow.node("GlideTextEncode", [PROMPT], outputs=[("CONDITIONING", "CONDITIONING")], clip=(loader, 1, "CLIP"))
    return flow, loader, text


def sampler(flow, loader, text, batch, own_seed, **links):
    latent = flow.node("EmptyGlideLatent", [64, 64, batch], outputs=[("LATENT", "LATENT")])
    widgets = [own_seed, "fixed", "2", "ddim", 1.0, 0.0, 0.0, 1.0, 0, "custom"]
    main = {"model": (loader, 0, "MODEL"), "positive": (text, 0, "CONDITIONING"), "latent": (latent, 0, "LATENT")}
    outputs = [("LATENT", "LATENT"), ("IMAGE", "IMAGE")]
    return flow.node("GlideSampler", widgets, outputs=outputs, **main, **links)


def of_a_batch(seed):
    flow, loader, text = loaded()
    painted = sampler(flow, loader, text, 4, seed)
    flow.node("PreviewImage", images=(painted, 1, "IMAGE"))
    return flow, "GlideSampler"


def of_the_best(seed):
    flow, loader, text = loaded()
    painted = sampler(flow, loader, text, 5, seed)
    widgets = ["tiny-clip (embedded)", "in the same file, or beside it", "fp32"]
    clip = flow.node("GlideCLIPLoader", widgets, outputs=[("GLIDE_CLIP", "GLIDE_CLIP")])
    number = flow.node("PrimitiveInt", [seed, "fixed"], outputs=[("INT", "INT")])
    best = flow.node(
        "GlideBest",
        [PROMPT, 3],
        outputs=[("IMAGE", "IMAGE"), ("scores", "FLOAT"), ("places", "INT")],
        image=(painted, 1, "IMAGE"),
        glide_clip=(clip, 0, "GLIDE_CLIP"),
        seed=(number, 0, "INT"),
    )
    flow.node("PreviewImage", images=(best, 0, "IMAGE"))
    return flow, "GlideBest"


def of_a_sweep(seed):
    flow, loader, text = loaded()
    names = ["guidance", "steps", "sampler", "temperature", "seed", "prompt", "negative"]
    types = ["FLOAT", "STRING,INT", "COMBO,STRING", "FLOAT", "INT", "STRING", "STRING"]
    names += ["checkpoint", "lora_name", "lora_strength", "clip_guidance", "axes"]
    types += ["COMBO,STRING", "COMBO,STRING", "FLOAT", "FLOAT", "GLIDE_AXES"]
    widgets = ["guidance=1,2,3", f"seed={seed + 2},{seed + 3}", seed, "fixed", "2", "ddim", 3.0, 1.0, "", ""]
    sweep = flow.node("GlideSweep", widgets, size=(300, 400), outputs=list(zip(names, types)))
    links = {"seed": (sweep, 4, "INT"), "guidance_scale": (sweep, 0, "FLOAT")}
    painted = sampler(flow, loader, text, 1, seed, **links)
    flow.node(
        "GlideGrid",
        ["cells/page"],
        size=(420, 120),
        outputs=[("IMAGE", "IMAGE")],
        image=(painted, 1, "IMAGE"),
        axes=(sweep, 11, "GLIDE_AXES"),
    )
    return flow, "GlideGrid"


def focus(page, kind):
    """Put a node where all of it is seen, once the page has stopped to move."""
    page.wait_for_function(AT_REST, polling=500)
    page.evaluate(FOCUS, kind)


def run(page, kind, count):
    """Run the graph until the sheet of a node has so many thumbnails, all of them loaded; the sheet."""
    execute(page, "Comfy.QueuePrompt")
    page.wait_for_function(
        "([kind, count]) => [...document.querySelectorAll(`[data-testid=glide-sheet-${kind}] [role=option] img`)]"
        ".filter((image) => image.complete && image.naturalWidth === 64).length === count",
        arg=[kind, count],
    )
    return page.get_by_test_id(f"glide-sheet-{kind}")


@pytest.mark.slow
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
@pytest.mark.parametrize("make, count", [(of_a_batch, 4), (of_the_best, 3), (of_a_sweep, 6)])
def test_a_sheet(browser, make, count, vue):
    page, seed = browser.page, 15 if vue else 5  # a page hears of nothing that the host has in its cache
    flow, kind = make(seed)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if not browser.use_vue_nodes(vue):
        pytest.skip("Vue nodes of this frontend show no panels of extensions")
    browser.load(flow)
    browser.dismiss()
    focus(page, kind)
    sheet = run(page, kind, count)
    thumbs = sheet.locator("[role=option]")
    thumbs.first.wait_for()
    browser.shot(f"sheet-{kind}-{vue}-1")

    def chosen():
        return sheet.locator("[role=option]").evaluate_all(
            "(all) => all.findIndex((each) => each.getAttribute('aria-selected') === 'true')"
        )

    thumbs.nth(1).click()
    assert chosen() == 1
    page.keyboard.press("ArrowRight")
    assert chosen() == 2
    page.keyboard.press("ArrowRight")
    assert chosen() == min(3, count - 1)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    assert chosen() == (2 if count > 3 else 1)

    page.keyboard.press("Enter")
    dialog = page.get_by_test_id("glide-zoom")
    dialog.wait_for()
    page.wait_for_function("() => document.querySelector('[data-testid=glide-zoom] img').clientWidth >= 320")
    assert dialog.locator("img").evaluate("(image) => image.clientWidth % image.naturalWidth") == 0
    browser.shot(f"sheet-{kind}-{vue}-2-zoom")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert chosen() == (1 if count > 3 else 0)

    page.keyboard.press("ArrowRight")
    page.keyboard.press("f")
    (kept,) = page.evaluate(KEPT, kind)
    place = chosen()
    sheet.get_by_role("button", name="Copy parameters").click()
    copied = json.loads(page.evaluate(READ))
    sheet.get_by_role("button", name="Pick").click()
    if kind == "GlideGrid":
        assert copied == kept["parameters"]
        expected = {"guidance": [1, 2, 3][place % 3], "seed": [seed + 2, seed + 3][place // 3]}
        assert {name: copied[name] for name in expected} == expected
        for node in ("GlideSweep", "GlideSampler"):
            assert page.evaluate(VALUE, [node, "seed"]) == expected["seed"]
            assert page.evaluate(VALUE, [node, "guidance_scale"]) == expected["guidance"]
    else:
        assert copied["seed"] == kept["seed"] and copied["prompt"] == PROMPT
        assert copied["seed"] in [picture_seed(seed, k) for k in range(1, 5)] or kind == "GlideBest"
        assert page.evaluate(VALUE, ["GlideSampler", "seed"]) == copied["seed"]
        assert ("score" in copied) == (kind == "GlideBest")
    browser.shot(f"sheet-{kind}-{vue}-3-picked")

    saved = page.evaluate("() => app.graph.serialize()")
    browser.load(saved)  # as a workflow that is opened again
    browser.dismiss()
    focus(page, kind)
    kept_thumb = page.get_by_test_id(f"glide-sheet-{kind}").locator("[role=option]")
    kept_thumb.first.wait_for()
    assert kept_thumb.count() == 1 and "\N{BLACK STAR}" in kept_thumb.first.inner_text()
    assert page.evaluate(KEPT, kind) == [kept]
    kept_thumb.first.click()
    page.keyboard.press("f")
    assert page.evaluate(KEPT, kind) == []
    assert all("glide_sheet" not in node["inputs"] for node in browser.prompt().values())
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]


@pytest.mark.slow
def test_one_picture_needs_no_sheet(browser):
    flow, loader, text = loaded()
    painted = sampler(flow, loader, text, 1, 5)
    flow.node("PreviewImage", images=(painted, 1, "IMAGE"))
    browser.use_vue_nodes(False)
    browser.load(flow)
    browser.dismiss()
    page = browser.page
    page.evaluate("() => { window.done = 0; app.api.addEventListener('execution_success', () => window.done++) }")
    execute(page, "Comfy.QueuePrompt")
    page.wait_for_function("() => window.done")
    assert page.get_by_test_id("glide-sheet-GlideSampler").locator("visible=true").count() == 0


DROP = """async (bytes) => {
    const file = new File([new Uint8Array(bytes)], "cell.png", { type: "image/png" })
    await app.handleFile(file)
}"""


@pytest.mark.slow
def test_a_cell_on_the_canvas_opens_its_graph(host, browser):
    flow, kind = of_a_sweep(33)
    page = browser.page
    browser.use_vue_nodes(False)
    browser.load(flow)
    browser.dismiss()
    asked = browser.prompt()
    focus(page, kind)
    run(page, kind, 6)
    newest = max((host.base / "output" / "cells").glob("page*.png"), key=lambda path: path.stat().st_mtime)
    browser.load(Workflow())
    page.wait_for_function("() => app.graph.nodes.length === 0")
    page.evaluate(DROP, list(newest.read_bytes()))
    page.wait_for_function("() => app.graph.nodes.length === 6")
    assert browser.prompt() == asked
