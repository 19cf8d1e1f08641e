"""What the page asks the server: for published models, how long a prompt is, and where a photo is cut.

Nothing but the published models can be downloaded, into models/glide alone, and only a page of this server may ask.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from urllib.parse import urlsplit

from aiohttp import web
from server import PromptServer

from ...glide_core.files import download
from ...glide_core.files.folders import published_filename
from . import published
from .downloads import Downloads
from .squares import preview
from .tokens import counted

MODELS, DOWNLOAD, CANCEL = "/glide/models", "/glide/download", "/glide/download/cancel"
TOKENS, SQUARES = "/glide/tokens", "/glide/squares"
LONGEST_TEXT = 200_000  # bytes: a prompt, of which a model reads some hundred
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
    routes.post(TOKENS)(tokens)
    routes.post(SQUARES)(squares)


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


async def tokens(request: web.Request) -> web.Response:
    """Count the tokens of {"checkpoint": a choice of the loader, "text": a prompt} -> {"parts": see ``counted``}."""
    body = await _object(request, LONGEST_TEXT)
    checkpoint, text = body.get("checkpoint"), body.get("text")
    if not isinstance(checkpoint, str) or not isinstance(text, str):
        return _refusal(400, f"the body must be a JSON object of checkpoint and text, of {LONGEST_TEXT} bytes at most")
    try:
        return web.json_response({"parts": await asyncio.to_thread(counted, checkpoint, text)})
    except ValueError as error:
        return _refusal(400, str(error))


async def squares(request: web.Request) -> web.Response:
    """Where GlideCrop cuts a photo, before anything runs: see ``squares.preview``."""
    body = await _object(request, LONGEST_TEXT)
    try:
        return web.json_response(await asyncio.to_thread(preview, body))
    except (ValueError, TypeError, OSError) as error:
        return _refusal(400, str(error))


async def _name(request: web.Request) -> str | None:
    """The published model that the body names, or None."""
    name = (await _object(request, LONGEST_BODY)).get("name")
    return name if isinstance(name, str) and name in download.CHECKPOINTS else None


async def _object(request: web.Request, most: int) -> dict[str, object]:
    """The JSON object of so many bytes in the body, or {} where it holds something else."""
    if request.content_type != "application/json" or (request.content_length or 0) > most:
        return {}
    content = await request.read()  # whose length a chunked request does not tell before
    try:
        body = json.loads(content) if len(content) <= most else {}
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _same_origin(request: web.Request) -> bool:
    """Whether no other site's page sent the request. A browser always names the page's origin with a POST."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _refusal(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
