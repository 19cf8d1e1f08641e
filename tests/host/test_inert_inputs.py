"""Inputs that a choice makes inert are greyed on the node, and count in the graph as before."""

import ast
import re

import pytest
from test_download_button import OPEN

from glide_core.choices import PRESETS, SAMPLERS
from hosts import PROJECT

GRAPH = {"nodes": [{"id": 1, "type": "GlideInpaint", "pos": [80, 60], "size": [340, 460]}], "links": [], "version": 0.4}
SET = """([name, value]) => {
    const widget = app.graph.nodes[0].widgets.find((each) => each.name === name)
    widget.value = value
    widget.callback?.(value)
}"""
GREYED = "() => app.graph.nodes[0].widgets.filter((widget) => widget.disabled).map((widget) => widget.name).join()"


def list_in_script(name):
    script = (PROJECT / "web" / "js" / "inert.js").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(rf"const {name} = (\[.*\])", script).group(1))


def test_the_page_knows_all_choices():
    assert list_in_script("PRESETS") == list(PRESETS)
    assert set(list_in_script("WITHOUT_ETA")) == set(SAMPLERS) - {"ddim"}


@pytest.mark.slow
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_inert_inputs_are_greyed(browser, vue):
    page = browser.page
    if not browser.use_vue_nodes(vue):
        pytest.skip("Vue nodes of this frontend show no panels of extensions")
    page.evaluate(OPEN, GRAPH)
    browser.dismiss()

    def shows(greyed):
        page.wait_for_function(f"(greyed) => ({GREYED})() === greyed", arg=greyed)

    shows("eta,repaint_passes")
    page.evaluate(SET, ["sampler", "ddim"])
    shows("repaint_passes")
    page.evaluate(SET, ["hide_until", 0.4])
    shows("")
    page.evaluate(SET, ["preset", "fine"])
    shows("steps,sampler")
    browser.shot(f"inert-{vue}")
    assert browser.prompt()["1"]["inputs"]["steps"] == "50"
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]
