"""Download of the published files: resumed when interrupted, verified before they get their name.

The only code of the library that uses the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from tqdm import tqdm

from ..errors import CheckpointError, DownloadError
from ..models.config import PUBLISHED, ModelConfig
from . import integrity
from .folders import models_dir, published_filename

if TYPE_CHECKING:
    from .detect import Shapes

MODELS_URL = "https://openaipublic.blob.core.windows.net/diffusion/dec-2021"
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
CHUNK = 1 << 20
TIMEOUT = 60.0
ATTEMPTS = 4  # in a row without a new byte
RETRY_DELAY = 1.0  # seconds, doubled at each attempt
LOCK_CHECKS = 0.5  # seconds between two looks at a lock that another process holds
RECORD = re.compile(r"([0-9a-f]{64})\s")  # the start of a line of ``sha256sum``


# True shows a bar and what was done on stderr, False shows nothing. A function is called with the number of bytes that
# are there and with the size of the whole file, or None where the server does not say. An exception that it raises ends
# the download, which the next call continues.
Progress = bool | Callable[[int, int | None], None]


class _Interrupted(Exception):
    """The network failed; another attempt may succeed."""


@dataclass(frozen=True)
class Published:
    """One published file, and how to know that a download is it.

    Attributes:
        shapes: gives the names and shapes of its tensors, if it is a checkpoint.
        sha256: its known hash, if there is one.
    """

    filename: str
    base_url: str
    shapes: Callable[[], Shapes] | None = None
    sha256: str | None = None

    def verify(self, path: Path, digest: str) -> None:
        """Raise CheckpointError unless ``path``, with SHA-256 ``digest``, is this file."""
        if self.sha256 not in (None, digest):
            raise CheckpointError(f"its SHA-256 is {digest}, expected {self.sha256}")
        if self.shapes:
            from .detect import check
            from .reading import read

            check(read(path)[0], self.shapes())


def _model_shapes(config: ModelConfig) -> Shapes:
    from .detect import shapes  # it needs torch, and `glide fetch --help` does not

    return shapes(config)


def _clip_shapes(filename: str) -> Shapes:
    manifests = json.loads((Path(__file__).parents[1] / "assets" / "clip_manifests.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in manifests[filename].items()}


CHECKPOINTS = {kind: partial(_model_shapes, config) for kind, config in PUBLISHED.items()} | {
    name: partial(_clip_shapes, published_filename(name)) for name in ("clip-image-enc", "clip-text-enc")
}
# The size of each, for people who choose what to download.
GIGABYTES = {
    "base": 1.5,
    "base-inpaint": 1.5,
    "upsample": 1.6,
    "upsample-inpaint": 1.6,
    "clip-image-enc": 0.3,
    "clip-text-enc": 0.3,
}
VOCABULARY = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
FILES = {name: (Published(published_filename(name), MODELS_URL, tensors),) for name, tensors in CHECKPOINTS.items()} | {
    "vocab": tuple(Published(filename, VOCABULARY_URL, sha256=digest) for filename, digest in VOCABULARY.items())
}


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    base_url: str | None = None,
    progress: Progress = True,
    files: Mapping[str, tuple[Published, ...]] = FILES,
) -> list[Path]:
    """Download the file or files of ``name``, or check those that are already there.

    Of several processes that fetch the same file, one does and the others wait for it. An interrupted download leaves
    a ``.part`` file, which the next call continues. A verified file gets its SHA-256 recorded beside it
    (``base.pt.sha256``, for ``sha256sum -c``); later calls compare with that record.

    Args:
        folder: where to (default: ``folders.models_dir``).
        base_url: a mirror that serves the same file names.
        progress: show a bar and what was done, on stderr; or a function that is told the bytes that are there and the
            size of the file. An exception that it raises ends the download, which the next call continues.
        files: what can be downloaded.
    Raises:
        DownloadError: unknown name, no network, a wrong or changed file, no space, or a folder that cannot be written.
    """
    if name not in files:
        raise DownloadError(f"no published file is called {name!r} (known: {', '.join(files)})")
    folder = Path(folder) if folder else models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_fetch_file(file, folder, base_url or file.base_url, progress) for file in files[name]]
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error.strerror or error}") from error


def _fetch_file(file: Published, folder: Path, base_url: str, progress: Progress) -> Path:
    """Fetch or check one file, alone: another process that wants the same file waits until this one is done."""
    path = folder / file.filename
    with _lock(path, progress):
        done = _fetch_locked(file, path, base_url, progress)
    if progress is True:
        print(f"{path} {done}", file=sys.stderr)
    return path


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of a file. The operating system frees it when the process ends, however that happens."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress is True:
            print(f"{path} is being fetched by another process: waiting for it", file=sys.stderr)
        _wait_for(lock, path, progress)
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: FileLock, path: Path, progress: Progress) -> None:
    """Acquire the lock of ``path`` when the process that holds it is done."""
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOCK_CHECKS)
        except Timeout:
            if callable(progress):
                progress(_size(_part(path)), None)


def _fetch_locked(file: Published, path: Path, base_url: str, progress: Progress) -> str:
    """Fetch or check one file. Returns what was done, for a message."""
    part = _part(path)
    if path.exists():
        try:
            _verify_and_record(file, path, path)
        except CheckpointError as error:
            raise DownloadError(f"{path} is not the published file: {error}. Delete it to download it again") from error
        done = "was already there and is unchanged"
    else:
        url = f"{base_url.rstrip('/')}/{file.filename}"
        _download(url, part, progress)
        try:
            _verify_and_record(file, part, path)
        except CheckpointError as error:
            part.unlink()
            _validator_file(part).unlink(missing_ok=True)
            raise DownloadError(f"{url} is not the published file: {error}") from error
        os.replace(part, path)
        if file.shapes:
            integrity.remember(path)
        done = "is downloaded and verified"
    part.unlink(missing_ok=True)  # a run that was killed may have left them
    _validator_file(part).unlink(missing_ok=True)
    return done


def _verify_and_record(file: Published, content: Path, path: Path) -> None:
    """Verify ``content`` as the file that is, or will be, at ``path``, and record its SHA-256 the first time."""
    digest = _sha256(content)
    file.verify(content, digest)
    record = path.with_name(path.name + ".sha256")
    recorded = RECORD.match(record.read_text(errors="replace")) if record.exists() else None
    if recorded and recorded[1] != digest:
        raise CheckpointError(f"its SHA-256 is {digest}, which is not the one recorded in {record}")
    if not recorded:
        temporary = record.with_name(record.name + ".tmp")
        temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
        os.replace(temporary, record)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, part: Path, progress: Progress) -> None:
    """Bring ``part`` to its full length, with new attempts as long as bytes arrive."""
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url}: the address must begin with http:// or https://")
    failures, best = 0, _size(part)
    while True:
        try:
            return _attempt(url, part, progress)
        except _Interrupted as error:
            size = _size(part)
            failures = 1 if size > best else failures + 1
            best = max(best, size)
            if failures == ATTEMPTS:
                kept = f"; {size} bytes are kept, fetch again to go on from there" if size else ""
                raise DownloadError(f"{url}: {error}{kept}") from error
            time.sleep(RETRY_DELAY * 2 ** (failures - 1))


def _attempt(url: str, part: Path, progress: Progress) -> None:
    """One request, which continues ``part`` if the server still has the same file, and else starts again."""
    have, validator_file = _size(part), _validator_file(part)
    validator = _read_validator(validator_file) if have else ""
    resume = {"Range": f"bytes={have}-", "If-Range": validator} if validator else {}
    try:
        response = urlopen(Request(url, headers={"User-Agent": "glide-nodes", **resume}), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return  # it was complete
        if error.code == 416:
            part.unlink(missing_ok=True)
        elif error.code < 500 and error.code != 429:
            reason = str(error.reason).partition("\n")[0]  # that of a circle of redirections has several lines
            raise DownloadError(f"{url}: the server answered {error.code} {reason}") from error
        raise _Interrupted(f"the server answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _Interrupted(f"no connection ({error})") from error
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DownloadError(f"{url}: the server answered with a web page, not with the file")
        if response.status == 206:
            same = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            if not same or _validator(response) != validator:
                part.unlink(missing_ok=True)
                raise _Interrupted("the file on the server has changed")
        else:
            have = 0
            part.write_bytes(b"")  # before the validator, which must never belong to older bytes
            validator_file.write_text(_validator(response), encoding="latin-1")
        _append(response, part, have, progress)


def _append(response: HTTPResponse, part: Path, have: int, progress: Progress) -> None:
    """Write the body of ``response`` behind the ``have`` bytes of ``part``."""
    length = response.headers.get("Content-Length")
    if length and not length.isdecimal():
        raise DownloadError(f"{part.stem}: the server gives its length as {length!r}, which is no number of bytes")
    total = have + int(length) if length else None
    free = shutil.disk_usage(part.parent).free
    if total and total - have > free:
        raise DownloadError(f"{part} needs {total - have} more bytes, but only {free} are free on its disk")
    bar = tqdm(
        desc=part.stem,
        initial=have,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=progress is not True,
    )
    with bar, part.open("ab") as file:
        while chunk := _read(response):
            file.write(chunk)
            bar.update(len(chunk))
            have += len(chunk)
            if callable(progress):
                progress(have, total)
        file.flush()
        os.fsync(file.fileno())
    if total and _size(part) != total:
        raise _Interrupted(f"the connection ended after {_size(part)} of {total} bytes")


def _read(response: HTTPResponse) -> bytes:
    """What has arrived: ``read`` would lose the part of a chunk that comes before a broken connection."""
    try:
        return response.read1(CHUNK)
    except (OSError, HTTPException) as error:
        raise _Interrupted(f"the connection broke ({error})") from error


def _validator(response: HTTPResponse) -> str:
    """What tells two versions of a file apart, as If-Range takes it; "" if the server does not say."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _part(path: Path) -> Path:
    """Where the beginning of an interrupted download of ``path`` is kept."""
    return path.with_name(path.name + ".part")


def _validator_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _read_validator(file: Path) -> str:
    """What ``_attempt`` noted there; "" if there is nothing, or if it is damaged and cannot be sent in a header."""
    text = file.read_bytes().decode("latin-1") if file.exists() else ""
    return text if text.isascii() and text.isprintable() else ""


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
