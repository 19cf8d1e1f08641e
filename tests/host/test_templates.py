"""The templates: drawn from the graphs for programs, with the nodes' defaults, a note, and the colours of the pack."""

import json

import pytest
from template_list import TEMPLATES
from templates import BLUE, EXAMPLES, RED, templates
from test_workflows import trains_otherwise

from hosts import PACK, find_checkouts

GRAPHS = [template.graph for template in TEMPLATES]
FILES = [EXAMPLES / f"{place:02}_{graph}.json" for place, graph in enumerate(GRAPHS, 1)]
# The values that make a template what it is; everything else is what a node has when it is put into a graph.
CHOSEN = {"checkpoint", "text", "seed"}
OF_ONE = {
    "outpaint": {"squares", "right"},
    "sketch_to_image": {"crop_factor", "denoise"},
    "edit_regions": {"squares"},
    "clip_best_of": {"batch_size"},
    # Many pictures: fewer steps, and what is studied.
    "study_guidance": {"sampler", "steps", "y", "filename_prefix"},
    "study_temperature": {"sampler", "steps", "x", "y", "filename_prefix"},
    "study_styles": {"sampler", "steps", "filename_prefix"},
    "study_bias": {"sampler", "steps", "guidance_scale", "batch_size", "labels"},
}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_files_are_what_the_script_makes(host):
    if trains_otherwise(host) or host.checkout != find_checkouts()[-1]:
        pytest.skip("the newest ComfyUI at hand tells the inputs of its nodes")
    made = templates(host.object_info())
    wrong = [name for name, content in made.items() if read(EXAMPLES / f"{name}.json") != content]
    assert wrong == [], "run python tests/host/templates.py"


def test_values_are_the_defaults_of_the_nodes(host):
    infos, changed = host.object_info(), {}
    for graph in GRAPHS:
        for node in read(EXAMPLES / "api" / f"{graph}.json").values():
            info = infos.get(node["class_type"], {})
            if not info.get("python_module", "").endswith(PACK):
                continue
            specs = info["input"]["required"] | info["input"].get("optional", {})
            for name, value in node["inputs"].items():
                options = specs[name][1]
                default = options.get("default", (options.get("options") or [None])[0])
                if not isinstance(value, list) and value != default and name not in CHOSEN:
                    changed.setdefault(graph, set()).add(name)
    assert changed == OF_ONE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_says_what_to_change_first(path):
    (note,) = (node for node in read(path)["nodes"] if node["type"] == "Note")
    assert note["pos"] == [0, 0] and "first" in note["widgets_values"][0]
    assert path.with_suffix(".jpg").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_node_is_in_a_group(path):
    graph = read(path)
    for node in graph["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        frames = [group["bounding"] for group in graph["groups"]]
        inside = [
            f for f in frames if f[0] <= x and f[1] <= y - 30 and x + width <= f[0] + f[2] and y + height <= f[1] + f[3]
        ]
        assert len(inside) == (node["type"] != "Note"), node["type"]
    assert {group["color"] for group in graph["groups"]} == {BLUE, RED}


def test_text_to_image_comes_first():
    assert min(path.stem for path in EXAMPLES.glob("*.json")) == "01_text_to_image"
