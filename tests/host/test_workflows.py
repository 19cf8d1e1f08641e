"""The example graphs open in the real frontend with every widget right."""

import json
import os
from pathlib import Path

import pytest

from graphs import Graph

WORKFLOWS = sorted((Path(__file__).parents[2] / "example_workflows").glob("*.json"))


LOOKS = ("PreviewImage", "ImageStitch")  # what templates show on the way, and programs do not need


def trains_otherwise(host):
    """Whether the host is so old that its TrainLoraNode has other inputs and outputs than the template."""
    return host.object_info("TrainLoraNode")["output"][0] != "LORA_MODEL"


def skip_other_training(host, name):
    """Skips the template `train_lora` where the host has other nodes for it."""
    if name.endswith("train_lora") and trains_otherwise(host):
        pytest.skip(f"ComfyUI {host.version} has other nodes to train a LoRA than the template's")


def api_graph(name):
    """The API graph of the same name, with the example's default precision."""
    nodes = Graph.example(name)
    for node in nodes.values():
        if node["class_type"] == "GlideLoader":
            node["inputs"]["dtype"] = "auto"
    return nodes


def told(host, nodes):
    """Nodes with only those optional inputs that differ from their defaults, and with models named by their files."""
    files = {model["label"]: model["file"] for model in host.get("/glide/models")}
    kinds = {node["class_type"] for node in nodes.values()}
    optional = {kind: host.object_info(kind)["input"].get("optional", {}) for kind in kinds}
    for node in nodes.values():
        defaults = {name: spec[1].get("default") for name, spec in optional[node["class_type"]].items() if spec[1:]}
        inputs = {name: value for name, value in node["inputs"].items() if defaults.get(name, ...) != value}
        node["inputs"] = {
            name: files.get(value, value) if isinstance(value, str) else value for name, value in inputs.items()
        }
    return nodes


def comparable(nodes):
    """Nodes by class and inputs, whatever their ids and order: links become what they lead to."""

    def resolve(value):
        if isinstance(value, list):
            return [describe(nodes[str(value[0])]), value[1]]
        return value if isinstance(value, str) else float(value)  # the frontend writes 1.0 as 1

    def describe(node):
        inputs = {name: resolve(value) for name, value in node["inputs"].items()}
        return {"class": node["class_type"], "inputs": inputs}

    return sorted(json.dumps(describe(node), sort_keys=True) for node in nodes.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_example_opens_as_meant(host, browser, path):
    skip_other_training(host, path.stem)
    browser.load(path)
    browser.dismiss()
    if os.environ.get("GLIDE_SCREENSHOTS"):
        browser.screenshot(Path(os.environ["GLIDE_SCREENSHOTS"]) / f"{browser.url.rsplit(':', 1)[1]}-{path.stem}.png")
    assert all(node["known"] for node in browser.nodes())
    shown = {id: node for id, node in browser.prompt().items() if node["class_type"] not in LOOKS}
    assert comparable(told(host, shown)) == comparable(told(host, api_graph(path.stem.partition("_")[2])))
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]
