"""The blueprints: one node with few inputs, which opens and runs in the real frontend."""

import json

import numpy as np
import pytest

from hosts import PACK, PROJECT, version_key

BLUEPRINTS = sorted((PROJECT / "subgraphs").glob("*.json"))
FIRST = (0, 3, 66)  # the first version that offers blueprints


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_one_node_with_few_inputs(path):
    (node,) = read(path)["nodes"]
    assert 5 <= len(node["inputs"]) <= 7
    assert {"prompt", "seed", "base_model", "upsampler"} <= {port["name"] for port in node["inputs"]}
    assert [port["type"] for port in node["outputs"]] == ["IMAGE"]


@pytest.fixture
def offered(host):
    if tuple(version_key(host.checkout)) < FIRST:
        pytest.skip(f"ComfyUI {host.version} offers no blueprints")
    found = host.get("/global_subgraphs")
    return {entry["name"]: number for number, entry in found.items() if entry["info"]["node_pack"].endswith(PACK)}


def test_they_are_offered(offered):
    assert set(offered) == {path.stem for path in BLUEPRINTS}


def quick(prompt, photo):
    """The prompt of a blueprint with one step, on a photo whose mask is its alpha, and saved."""
    last = [number for number, node in prompt.items() if node["class_type"] in ("GlideStitch", "GlideUpsampler")][-1]
    slot = 1 if prompt[last]["class_type"] == "GlideUpsampler" else 0
    for node in prompt.values():
        inputs = node["inputs"]
        if "steps" in inputs:
            inputs["steps"] = "2"
        if node["class_type"] in ("GlideCrop", "GlideOutpaintPad"):
            inputs.setdefault("image", ["photo", 0])
        if node["class_type"] == "GlideCrop":
            inputs.setdefault("mask", ["photo", 1])
    prompt["photo"] = {"class_type": "LoadImage", "inputs": {"image": photo}}
    prompt["save"] = {"class_type": "SaveImage", "inputs": {"images": [last, slot], "filename_prefix": "blueprint"}}
    return prompt


@pytest.mark.slow
@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_it_opens_and_runs(host, offered, browser, path):
    browser.load(read(path))
    assert browser.page.evaluate("() => app.graph.nodes.length") == 1
    browser.shot(path.stem)
    prompt = browser.prompt()
    assert not [node for node in prompt.values() if not node["class_type"].startswith(("Glide", "EmptyGlide"))]
    photo = host.upload_image(PROJECT / "example_workflows" / "photos" / "wall.png", "wall.png")
    (entry,) = host.run(quick(prompt, photo))["save"]["images"]
    picture = host.image(entry)
    assert np.ptp(picture) > 50
