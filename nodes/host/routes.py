"""What the page asks the server: which published models are there, and to download one.

Nothing but the published models can be downloaded, into models/glide alone, and only a page of this server may ask.
"""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlsplit

from aiohttp import web
from server import PromptServer

from ...glide_core.files import download
from ...glide_core.files.folders import published_filename
from . import published
from .downloads import Downloads

MODELS, DOWNLOAD, CANCEL = "/glide/models", "/glide/download", "/glide/download/cancel"
LONGEST_BODY = 200  # bytes: the name of a model
_downloads = Downloads()


def register() -> None:
    """Add the routes to the host's server. A second copy of this pack adds none: the host would not start."""
    routes = PromptServer.instance.routes
    if any(getattr(route, "path", None) == DOWNLOAD for route in routes):
        return
    routes.get(MODELS)(models)
    routes.get(DOWNLOAD)(state)
    routes.post(DOWNLOAD)(start)
    routes.post(CANCEL)(cancel)


async def models(request: web.Request) -> web.Response:
    """The published models: {name, file, label, gigabytes, there}."""
    return web.json_response(
        [
            {
                "name": name,
                "file": published_filename(name),
                "label": published.label(name),
                "gigabytes": download.GIGABYTES[name],
                "there": published.is_there(name),
            }
            for name in download.CHECKPOINTS
        ]
    )


async def state(request: web.Request) -> web.Response:
    """The download that is running, or the last one: the fields of ``downloads.State``."""
    return web.json_response(asdict(_downloads.state))


async def start(request: web.Request) -> web.Response:
    """Start the download of {"name": "base"}, or resume it."""
    if not _same_origin(request):
        return _refusal(403, "only a page of this server may start a download")
    name = await _name(request)
    if name is None:
        return _refusal(
            400, f"the body must be a JSON object with the name of one of {', '.join(download.CHECKPOINTS)}"
        )
    if _downloads.busy:
        return _refusal(409, f"{_downloads.state.file} is being downloaded: one download runs at a time")
    _downloads.start(name)
    return await state(request)


async def cancel(request: web.Request) -> web.Response:
    """End the running download; what has arrived is kept."""
    if not _same_origin(request):
        return _refusal(403, "only a page of this server may cancel a download")
    _downloads.cancel()
    return await state(request)


async def _name(request: web.Request) -> str | None:
    """The published model that the body names, or None."""
    if request.content_type != "application/json" or (request.content_length or 0) > LONGEST_BODY:
        return None
    try:
        body = await request.json()
    except ValueError:
        return None
    name = body.get("name") if isinstance(body, dict) else None
    return name if isinstance(name, str) and name in download.CHECKPOINTS else None


def _same_origin(request: web.Request) -> bool:
    """Whether no other site's page sent the request. A browser always names the page's origin with a POST."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
