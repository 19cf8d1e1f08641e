import pytest

from browser import Browser, missing_browser
from hosts import HOSTS, PROJECT, Host, find_checkouts, version
from published_server import PublishedServer

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
    """The examples' photos in the input folder, where `make comfyui` puts them."""
    for photo in (PROJECT / "example_workflows" / "photos").glob("*.png"):
        host.upload_image(photo, photo.name)


@pytest.fixture
def browser(host):
    """The host's own frontend in headless Chromium."""
    reason = missing_browser()
    if reason:
        pytest.skip(reason)
    with Browser(host.url) as opened:
        yield opened
