"""The published models from the interface: the loader's list, the routes, and the button on the node."""

import http.client
import io
import json
import time
import urllib.error
import urllib.request

import pytest
import torch

from glide_core.files import checkpoints
from graphs import BASE, Graph, failure

LABEL = "base (OpenAI, 1.5 GB, not downloaded)"
NODE = {"id": 1, "type": "GlideLoader", "pos": [80, 80], "size": [320, 100], "flags": {}, "order": 0, "mode": 0}
NODE |= {"properties": {}, "widgets_values": [LABEL, "auto"]}
LOADER = {"last_node_id": 1, "last_link_id": 0, "nodes": [NODE], "links": [], "version": 0.4}
# Older frontends have a hidden setting for nodes that are no canvas, and show no element of any pack in them.
CHOICE = "() => app.graph.nodes[0].widgets[0].value"
CHOOSE = """(choice) => {
    const widget = app.graph.nodes[0].widgets[0]
    widget.value = choice
    widget.callback(choice)
}"""
OPEN = """async (workflow) => {
    await app.loadGraphData(workflow)
    Object.assign(app.canvas.ds, { scale: 1, offset: [200, 100] })
    app.canvas.setDirty(true, true)
}"""


@pytest.fixture(scope="session")
def content():
    """The tiny base model as a file of PyTorch, as the published ones are."""
    buffer = io.BytesIO()
    weights, _ = checkpoints.read_model(checkpoints.TINY_FOLDER / "tiny-base.safetensors")
    torch.save({name: tensor.float() for name, tensor in weights.items()}, buffer)
    return buffer.getvalue()


@pytest.fixture
def published(published_server, content, host):
    """The server of the models, with nothing downloaded before and after."""
    published_server.files = {"/base.pt": content}
    published_server.requests.clear()
    published_server.slow, published_server.status = 0, []
    yield published_server
    published_server.slow = 0
    until(host, lambda state: state["state"] not in ("running", "checking"))
    for file in (host.base / "models" / "glide").glob("*base.pt*"):
        file.unlink()


def post(host, path, body, **headers):
    """The status and the answer of a POST."""
    headers = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(host.url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def start(host, name="base"):
    return post(host, "/glide/download", {"name": name})


def until(host, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition(state := host.get("/glide/download")):
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state


def choices(host):
    return host.object_info("GlideLoader")["input"]["required"]["checkpoint"][1]["options"]


def test_the_loader_lists_what_can_be_downloaded(host, published):
    listed = choices(host)
    assert listed[0] == BASE
    assert [entry for entry in listed if "not downloaded" in entry] == [
        LABEL,
        "upsample (OpenAI, 1.6 GB, not downloaded)",
        "base-inpaint (OpenAI, 1.5 GB, not downloaded)",
        "upsample-inpaint (OpenAI, 1.6 GB, not downloaded)",
    ]
    assert published.requests == []


@pytest.mark.parametrize("choice", [LABEL, "base.pt", "base"])
def test_a_run_refuses_and_says_how_to_get_it(host, published, choice):
    graph = Graph()
    model, clip, _ = graph.load(choice)
    graph.save(graph.ksampler(model, graph.text(clip), graph.text(clip, ""), graph.empty()))
    told = failure(host, graph)
    assert "base.pt is not in models/glide: click Download" in told and "glide fetch base" in told
    assert published.requests == []


def test_a_download_is_verified_and_listed(host, published, content):
    assert start(host)[0] == 200
    state = until(host, lambda state: state["state"] == "done")
    assert (state["name"], state["file"], state["total"]) == ("base", "base.pt", len(content))
    assert (host.base / "models" / "glide" / "base.pt").read_bytes() == content
    assert "base.pt" in choices(host) and LABEL not in choices(host)
    assert {model["name"]: model["there"] for model in host.get("/glide/models")}["base"]


def test_cancel_keeps_the_part_and_resume_goes_on(host, published, content):
    published.slow = len(content) // 200
    start(host)
    state = until(host, lambda state: state["done"] > len(content) / 4)
    assert state["state"] == "running" and state["seconds_left"] > 0
    assert start(host)[0] == 409
    post(host, "/glide/download/cancel", {})
    state = until(host, lambda state: state["state"] == "cancelled")
    assert 0 < state["done"] < len(content)
    published.slow = 0
    start(host)
    until(host, lambda state: state["state"] == "done")
    assert published.requests[0] is None and published.requests[1].startswith("bytes=")
    assert (host.base / "models" / "glide" / "base.pt").read_bytes() == content


def test_a_failure_is_told(host, published):
    published.files = {"/base.pt": b"something else"}
    start(host)
    state = until(host, lambda state: state["state"] == "failed")
    assert "base.pt" in state["error"] and "is not the published file" in state["error"]
    assert not list((host.base / "models" / "glide").glob("base.pt*"))


@pytest.mark.parametrize("name", ["vocab", "../base", "http://127.0.0.1/x", "", None, 7, ["base"]])
def test_only_published_models(host, published, name):
    status, told = post(host, "/glide/download", {"name": name})
    assert status == 400 and "base-inpaint" in told
    assert published.requests == []


@pytest.mark.parametrize("body", [["base"], "base", None])
def test_bodies_that_are_no_request(host, published, body):
    assert post(host, "/glide/download", body)[0] == 400
    assert post(host, "/glide/download", {"name": "base"}, Content_Type="text/plain")[0] == 400
    assert post(host, "/glide/download", {"name": "base", "more": "x" * 1000})[0] == 400
    assert published.requests == []


@pytest.mark.parametrize("path", ["/glide/download", "/glide/download/cancel"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_other_sites_may_not_ask(host, published, path, headers):
    assert post(host, path, {"name": "base"}, **headers)[0] == 403
    assert published.requests == []


def test_looking_starts_nothing(host, published):
    """GET, which an image of another site's page can send, only looks."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    connection.request("GET", "/glide/download/cancel")
    assert connection.getresponse().status in (404, 405)
    connection.close()
    host.get("/glide/download?name=base")
    assert published.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("vue", [False, True], ids=["classic", "vue"])
def test_the_button(host, published, browser, content, vue, tmp_path):
    page, panel = browser.page, browser.page.get_by_test_id("glide-download")
    if not browser.use_vue_nodes(vue):
        pytest.skip(f"the frontend of ComfyUI {host.version} does not offer Vue nodes to users")
    published.slow = len(content) // 400
    page.evaluate(OPEN, LOADER)
    panel.get_by_role("button", name="Download base.pt (1.5 GB)").wait_for()
    browser.shot(f"download-{vue}-1-button")
    assert browser.prompt()["1"]["inputs"] == {"checkpoint": LABEL, "dtype": "auto"}
    assert page.evaluate("() => app.graph.serialize().nodes[0].widgets_values") == [LABEL, "auto"]
    assert published.requests == []

    page.evaluate(CHOOSE, BASE)
    panel.wait_for(state="detached")
    page.evaluate(CHOOSE, LABEL)
    panel.get_by_role("button", name="Download base.pt (1.5 GB)").click()
    panel.get_by_text("MB").wait_for()
    page.wait_for_timeout(800)
    browser.shot(f"download-{vue}-2-running")
    panel.get_by_role("button", name="Cancel").click()
    published.slow = 0
    panel.get_by_role("button", name="Resume the download of base.pt").click()
    page.wait_for_function(f"() => ({CHOICE})() === 'base.pt'")
    panel.wait_for(state="detached")
    browser.shot(f"download-{vue}-3-chosen")
    assert browser.prompt()["1"]["inputs"] == {"checkpoint": "base.pt", "dtype": "auto"}
    assert (host.base / "models" / "glide" / "base.pt").read_bytes() == content
    assert not [error for error in browser.errors if "/extensions/glide-nodes/" in error]
