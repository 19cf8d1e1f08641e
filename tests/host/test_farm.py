"""demo/comfyui_farm.py with a real server, and one that is not there."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from graphs import Graph
from hosts import free_port

SCRIPT = Path(__file__).parents[2] / "demo" / "comfyui_farm.py"


def draw(graph, folder, *options):
    (folder / "graph.json").write_text(json.dumps(graph))
    (folder / "prompts.txt").write_text("a red circle on a blue background\n\n# no prompt\na yellow star\n")
    command = [sys.executable, SCRIPT, folder / "graph.json", folder / "prompts.txt", "-o", folder / "out", *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


def quick():
    return Graph.example("text_to_image", GlideSampler={"steps": "2"}, GlideUpsampler={"steps": "1"})


def test_a_list_is_drawn_by_the_servers_that_are_there(host, tmp_path):
    servers = ["--server", f"http://127.0.0.1:{free_port()}", "--server", host.url]
    done = draw(quick(), tmp_path, *servers, "--seed", 5)
    assert done.returncode == 0, done.stderr
    pictures = [Image.open(tmp_path / "out" / f"0000{k}.png") for k in range(2)]
    assert pictures[0].tobytes() != pictures[1].tobytes()
    graphs = [json.loads(picture.info["prompt"]) for picture in pictures]
    texts = [Graph(graph).inputs("GlideTextEncode")["text"] for graph in graphs]
    assert texts == ["a red circle on a blue background", "a yellow star"]
    assert [Graph(graph).inputs("GlideSampler")["seed"] for graph in graphs] == [5, 6]
    again = draw(quick(), tmp_path, *servers, "--seed", 5)
    assert again.returncode == 0 and not again.stdout


def test_a_refused_graph_is_told_at_once(host, tmp_path):
    graph = quick()
    graph[graph.number("GlideSampler")]["class_type"] = "NoSuchNode"
    done = draw(graph, tmp_path, "--server", host.url)
    assert done.returncode == 1 and "prompt 0 failed" in done.stderr and "refuses the graph" in done.stderr
    assert "tried again" not in done.stderr


def test_a_graph_that_fails_is_tried_again_and_then_told(host, tmp_path):
    graph = quick()
    graph.inputs("GlideSampler")["steps"] = "not steps"
    done = draw(graph, tmp_path, "--server", host.url, "--tries", 2)
    assert done.returncode == 1 and "not steps" in done.stderr
    assert ("prompt 1 failed" in done.stderr) and ("refuses" in done.stderr or "tried again" in done.stderr)


@pytest.mark.parametrize(
    "path", sorted((SCRIPT.parents[1] / "example_workflows" / "api").glob("*.json")), ids=lambda path: path.stem
)
def test_the_prompt_and_the_seeds_of_every_example_are_found(path):
    script, graph = runpy.run_path(str(SCRIPT)), json.loads(path.read_text())
    number = script["text_node"](graph)
    assert graph[number]["class_type"] in ("GlideTextEncode", "CLIPTextEncode", "GlidePrompts")
    filled = script["filled"](graph, number, "a blue heart", 77)
    assert filled[number]["inputs"]["text"] == "a blue heart" and filled != graph
    values = [node["inputs"].get(name) for node in filled.values() for name in ("seed", "noise_seed")]
    assert {value for value in values if isinstance(value, int)} == {77}  # a link to a sweep's seeds stays a link
