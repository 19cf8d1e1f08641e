"""A user's visit in the real frontend: templates, a run with previews, its result, cancel, node help.

Screenshots of every stop are left in build/screenshots/<version>: look at them.
"""

import re

import pytest
from test_workflows import WORKFLOWS, skip_other_training

from hosts import PACK, PROJECT

KINDS = ("b_preview", "progress", "execution_success", "execution_interrupted", "execution_error")
LISTEN = """(kinds) => {
    window.seen = Object.fromEntries(kinds.map((kind) => [kind, 0]))
    kinds.forEach((kind) => app.api.addEventListener(kind, () => window.seen[kind]++))
}"""
SET_STEPS = """(steps) => app.graph.nodes.forEach((node) => (node.widgets ?? []).forEach((widget) => {
    if (widget.name === "steps") widget.value = typeof widget.value === "string" ? String(steps) : steps
}))"""
RESULT = """() => app.graph.nodes.some((node) => node.type === "SaveImage"
    && (node.imgs?.length || app.nodeOutputs?.[node.id]?.images?.length))"""
AT_REST = """() => {
    const { scale, offset } = app.canvas.ds, before = window.view
    window.view = [scale, ...offset].join()
    return window.view === before
}"""
# Nodes grow when they show previews; 30 pixels of a title lie above each node.
OVERLAPS = """() => {
    const boxes = app.graph.nodes.map((node) => [node.pos[0], node.pos[1] - 30, node.size[0], node.size[1] + 30])
    const meet = ([a, b, c, d], [e, f, g, h]) => a < e + g && e < a + c && b < f + h && f < b + d
    const above = (box, i) => boxes.slice(0, i).filter((other) => meet(box, other))
    return boxes.flatMap((box, i) => above(box, i).map(() => app.graph.nodes[i].type))
}"""
TITLE = """(type) => {
    const node = app.graph.nodes.find((node) => node.type === type), { ds, canvas } = app.canvas
    const { left, top } = canvas.getBoundingClientRect(), [x, y] = node.pos
    return [left + (x + 60 + ds.offset[0]) * ds.scale, top + (y - 12 + ds.offset[1]) * ds.scale]
}"""


@pytest.fixture
def stop(browser, host):
    """stop(name) keeps a screenshot."""
    folder = PROJECT / "build" / "screenshots" / host.version
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: browser.screenshot(folder / f"{name}.png")


def execute(page, command):
    page.evaluate("(command) => app.extensionManager.command.execute(command)", command)


def open_template(page, name, stop):
    """Opens an example from the template browser, as a click on its card does."""
    execute(page, "Comfy.BrowseTemplates")
    ours = page.get_by_text(re.compile(rf"^\s*{PACK}\s*$")).first
    ours.wait_for()
    ours.click()
    search = page.get_by_placeholder("Search templates...")
    if search.count():  # of older frontends, which show twelve templates until one scrolls
        search.fill(name)
    card = page.get_by_test_id(f"template-workflow-{name}")
    card.wait_for()
    stop(f"{name}-1-template")
    card.click()
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'GlideLoader')")


def seen(page, kind):
    page.wait_for_function("(kind) => window.seen[kind] > 0 || window.seen.execution_error", arg=kind)
    return page.evaluate("(kind) => window.seen[kind]", kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS if "openai" not in path.stem])
def test_a_visit(host, photos, browser, stop, name):
    skip_other_training(host, name)
    page = browser.page
    page.evaluate(LISTEN, KINDS)
    open_template(page, name, stop)
    browser.dismiss()
    page.evaluate(SET_STEPS, 4)
    execute(page, "Comfy.Canvas.FitView")
    execute(page, "Comfy.QueuePrompt")
    assert seen(page, "b_preview")
    stop(f"{name}-2-preview")
    assert seen(page, "execution_success")
    page.wait_for_function(RESULT)
    stop(f"{name}-3-result")
    assert page.evaluate(OVERLAPS) == []

    page.evaluate(LISTEN, KINDS)
    page.evaluate(SET_STEPS, 1000)
    execute(page, "Comfy.QueuePrompt")
    assert seen(page, "progress")
    execute(page, "Comfy.Interrupt")
    assert seen(page, "execution_interrupted")
    stop(f"{name}-4-cancelled")
    assert not [error for error in browser.errors if f"/extensions/{PACK}/" in error]


@pytest.mark.slow
def test_node_help(browser, stop):
    page = browser.page
    browser.load(WORKFLOWS[0])
    browser.dismiss()
    page.wait_for_function("() => app.graph.nodes.some((node) => node.type === 'GlideLoader')")
    page.wait_for_function(AT_REST, polling=500)  # FitView glides
    page.mouse.click(*page.evaluate(TITLE, "GlideLoader"))
    page.locator("[data-testid=info-button], [data-testid=help-button]").first.click()
    page.get_by_role("heading", name="Load GLIDE Model").first.wait_for()
    stop("node-help")


SEARCH = """(query) => document.querySelector("#vue-app").__vue_app__.config.globalProperties.$pinia._s
    .get("nodeDef").nodeSearchService.searchNode(query).map((node) => node.name)"""


@pytest.mark.slow
@pytest.mark.parametrize("query", ["text to image", "inpaint", "outpaint", "upscale"])
def test_glide_is_among_the_first_found(browser, query):
    assert any("Glide" in name for name in browser.page.evaluate(SEARCH, query)[:10])
