"""What a user's ComfyUI sees of the pack, whatever is inside it."""

import json

import pytest
from english import FILE, english

from hosts import PACK

NODES = (
    "GlideLoader",
    "GlideTextEncode",
    "EmptyGlideLatent",
    "GlideSampler",
    "GlideUpsampler",
    "GlideInpaintConditioning",
    "GlideUpsampleConditioning",
    "GlideScheduler",
    "GlideSamplerSelect",
    "GlideNoise",
    "GlideThreshold",
    "GlideGuidanceInterval",
    "GlideCLIPLoader",
    "GlideCLIPGuidance",
    "GlideCLIPScore",
    "GlideBest",
    "GlideInpaint",
    "GlideCrop",
    "GlideStitch",
    "GlideOutpaintPad",
    "GlidePrompts",
    "GlideSweep",
    "GlideGrid",
    "GlideTally",
)


@pytest.fixture(scope="session")
def infos(host):
    return host.object_info()


def inputs_of(info):
    """{input name: its options} of one /object_info entry."""
    sections = (info["input"].get(kind, {}) for kind in ("required", "optional"))
    return {name: spec[1] if len(spec) > 1 else {} for section in sections for name, spec in section.items()}


def test_import_is_clean(host):
    # An error in the entry point is only a log line: the server starts without the nodes.
    lines = host.log().split("Starting server")[0].splitlines()
    bad = ("Cannot import", "IMPORT FAILED", "comfy_entrypoint", "Skip ", "Traceback")
    assert [line for line in lines if any(word in line for word in bad)] == []
    assert any(f"custom_nodes/{PACK}" in line and "seconds" in line for line in lines)


@pytest.mark.parametrize("node", NODES)
def test_node_is_listed_and_explained(infos, node):
    assert node in infos
    info = infos[node]
    assert info["category"].startswith("GLIDE/")
    assert info["description"]
    assert [name for name, options in inputs_of(info).items() if not options.get("tooltip")] == []


def test_every_node_of_the_pack_is_explained(infos):
    ours = {name: info for name, info in infos.items() if info["python_module"] == f"custom_nodes.{PACK}"}
    assert set(NODES) <= set(ours)
    assert [name for name, info in ours.items() if not info["description"]] == []
    assert [
        (name, argument)
        for name, info in ours.items()
        for argument, options in inputs_of(info).items()
        if not options.get("tooltip")
    ] == []


def test_every_node_has_a_help_page(host, infos):
    """With each input by name, as the frontend gets it."""
    for name, info in infos.items():
        if info["python_module"] == f"custom_nodes.{PACK}":
            page = host.open(f"/extensions/{PACK}/docs/{name}.md").decode()
            assert info["display_name"].lower() in page.splitlines()[0].lower()
            assert [argument for argument in inputs_of(info) if argument not in page] == []


def test_nodes_are_found_by_other_names(infos):
    """Where the host knows aliases at all."""
    if "search_aliases" in infos["KSampler"]:
        assert "text to image" in infos["GlideSampler"]["search_aliases"]


@pytest.mark.parametrize(
    "node, name",
    [("GlideSampler", "eta"), ("GlideUpsampler", "temperature"), ("GlideCrop", "square_side")],
)
def test_rarely_used_inputs_are_put_away(infos, node, name):
    """Where the host knows of advanced inputs."""
    if "search_aliases" in infos["KSampler"]:
        assert inputs_of(infos[node])[name]["advanced"]
        assert not inputs_of(infos[node]).get("steps", {}).get("advanced")


def test_the_english_texts_for_translators_are_what_the_nodes_say(infos):
    assert english(infos) == json.loads(FILE.read_text(encoding="utf-8")), "run python tests/host/english.py"
