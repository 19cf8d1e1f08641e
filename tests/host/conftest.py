import shutil

import pytest
from safetensors.torch import save_file

from browser import Browser, missing_browser
from hosts import HOSTS, PROJECT, Host, find_checkouts, version
from published_server import PublishedServer
from stock import small_lora

NO_HOST = f"no ComfyUI: set COMFYUI_PATH to a checkout, or put checkouts into {HOSTS}"


def host_params():
    checkouts = find_checkouts()
    if not checkouts:
        return [pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_HOST))]
    return [pytest.param(checkout, id=version(checkout)) for checkout in checkouts]


def pytest_configure(config):
    config.addinivalue_line("markers", "host: needs a real ComfyUI server")


def pytest_collection_modifyitems(items):
    for item in items:
        if "host" in getattr(item, "fixturenames", ()):
            item.add_marker("host")


@pytest.fixture(scope="session")
def published_server():
    """Where the host downloads from."""
    with PublishedServer() as server:
        yield server


@pytest.fixture(scope="session", params=host_params())
def host(request, published_server):
    """A running ComfyUI with this project as its only custom node, once per version found."""
    with Host(request.param, published_server.url) as running:
        yield running


@pytest.fixture(scope="session")
def photos(host):
    """What the examples load: photos, where `make comfyui` puts them, and a LoRA of the name that one saves."""
    for photo in (PROJECT / "example_workflows" / "photos").glob("*.png"):
        shutil.copy(photo, host.base / "input")  # with all frames
    loras = host.base / "models" / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    save_file(small_lora(), loras / "glide_lora_50_steps_00001_.safetensors")


@pytest.fixture
def browser(host):
    """The host's own frontend in headless Chromium."""
    reason = missing_browser()
    if reason:
        pytest.skip(reason)
    with Browser(host.url) as opened:
        yield opened
