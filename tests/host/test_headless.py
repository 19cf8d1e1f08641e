"""The graphs for programs: each node has a title of its own, by which a client of the package index finds it."""

import asyncio
import io
import json

import pytest
from PIL import Image
from test_workflows import skip_other_training

from hosts import PROJECT

EXAMPLES = PROJECT / "example_workflows"
GRAPHS = sorted((EXAMPLES / "api").glob("*.json"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def titles(path):
    return [node["_meta"]["title"] for node in read(path).values()]


def test_every_template_has_a_graph_for_programs():
    """Templates are numbered, because the frontend sorts them by name."""
    assert {path.name.partition("_")[2] for path in EXAMPLES.glob("*.json")} == {path.name for path in GRAPHS}


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_titles_are_unique(path):
    found = titles(path)
    assert len(set(found)) == len(found)
    assert "Base model" in found and any(title.startswith("Prompt") for title in found)


@pytest.fixture(scope="session")
def schema(photos, host):
    linter = pytest.importorskip("comfy_lint.schema", reason="needs the package comfy-lint")
    return linter.normalize(host.object_info())


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_linter_finds_only_missing_models(host, schema, path):
    """Unknown nodes and inputs, missing ones, choices that are none, links that lead nowhere or to another type."""
    from comfy_lint.linter import coerce_workflow, lint_workflow

    skip_other_training(host, path.stem)
    found = {(one.rule, one.field) for one in lint_workflow(coerce_workflow(read(path)), schema)}
    assert found == ({("invalid-enum", "checkpoint")} if path.stem.startswith("openai") else set())


def test_a_client_finds_nodes_by_title(host):
    client = pytest.importorskip("comfy_api_simplified", reason="needs the package comfy-api-simplified")
    graph = client.ComfyWorkflowWrapper(str(EXAMPLES / "api" / "text_to_image.json"))
    assert graph.list_nodes() == titles(EXAMPLES / "api" / "text_to_image.json")
    graph.set_node_param("Prompt", "text", "a yellow star on a pink background")
    graph.set_node_param("GlideSampler", "steps", "2")
    graph.set_node_param("GlideUpsampler", "steps", "1")
    api = client.ComfyApiWrapper(host.url + "/")
    # Its queue_and_wait_images gives the previews of a server that sends them.
    prompt_id, _ = asyncio.run(api.queue_prompt_and_wait(graph))
    (saved,) = api.get_history(prompt_id)[prompt_id]["outputs"][graph.get_node_id("SaveImage")]["images"]
    with Image.open(io.BytesIO(api.get_image(saved["filename"], saved["subfolder"], saved["type"]))) as picture:
        assert picture.size == (256, 256)
        assert "a yellow star" in picture.text["prompt"]
