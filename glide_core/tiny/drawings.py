"""Drawings of the things in several styles, from published icon packages that the recipe fetches.

Each package holds drawings of the same names in another style (licences: ``NOTICE``); the remaining styles are made
from the package of the style "3d" by ``painting``. No drawing is part of this project: ``load`` fetches the packages
into a cache, checks their hashes, and renders them there once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from ..errors import DownloadError
from . import painting
from .things import STYLES, THINGS

SIDE = 256
MARGIN = 4
OVERSIZE = 512
INK = "#1a1a1a"  # of drawings whose colour is left to the page
CACHE = Path.home() / ".cache" / "glide-train" / "drawings"


class Package(NamedTuple):
    """An npm package with the SHA-512 of its archive, as the registry states it."""

    name: str
    version: str
    integrity: str


PACKAGES = {
    "cartoon": Package(
        "@iconify-json/noto", "1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "sticker": Package(
        "@iconify-json/twemoji", "1.2.5",
        "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    "flat": Package(
        "@iconify-json/fluent-emoji-flat", "1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "3d": Package(
        "@iconify-json/fluent-emoji", "1.2.7",
        "D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
    ),
    "silhouette": Package(
        "@iconify-json/fluent-emoji-high-contrast", "1.2.6",
        "esqhZPpkrF7sNX3NsLoh8KW64okEr/bzko7WNnFP+qTJGAqDPDYjp0925yxuivXy3HtVQB8xhIKu3+Nq1byX5w==",
    ),
}  # fmt: skip


def load(cache: Path = CACHE) -> np.ndarray:
    """Drawings of all things: uint8 [things, styles, 256, 256, 4], colours multiplied by alpha; read from a file.

    Raises:
        DownloadError: npm is not there, a package cannot be fetched, or is not the one that was meant.
    """
    words = repr((PACKAGES, THINGS, list(STYLES), Path(painting.__file__).read_text(encoding="utf-8")))
    path = cache / f"drawings-{zlib.crc32(words.encode()):08x}.npy"
    if not path.exists():
        icons = {style: read(fetch(package, cache)) for style, package in PACKAGES.items()}
        partial = path.with_suffix(f".{os.getpid()}.partial")
        bank = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(THINGS), len(STYLES), SIDE, SIDE, 4))
        for k, thing in enumerate(tqdm(THINGS, "drawing things")):
            bank[k] = draw(thing, icons)
        bank.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")


def fetch(package: Package, cache: Path) -> Path:
    """The package's archive in the cache; where it is not there yet, npm gets it from the registry.

    Raises:
        DownloadError: npm is not there or failed, or what came is not the package.
    """
    path = cache / f"{package.name.replace('/', '-').lstrip('@')}-{package.version}.tgz"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = ["npm", "pack", f"{package.name}@{package.version}", "--pack-destination", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise DownloadError("npm is needed to fetch the drawings: install Node.js") from error
        except subprocess.CalledProcessError as error:
            raise DownloadError(f"npm could not fetch {package.name}: {error.stderr.strip()}") from error
        (archive,) = Path(folder).glob("*.tgz")
        verify(archive, package)
        os.replace(archive, path)
    return path


def verify(archive: Path, package: Package) -> None:
    """Raises DownloadError: the archive is not the package's."""
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.integrity:
        raise DownloadError(f"{package.name} {package.version} has another content than expected (SHA-512 {found})")


def read(archive: Path) -> dict[str, Any]:
    """The icons.json of a package. Raises DownloadError: there is none."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/icons.json")
        if member is None:
            raise DownloadError(f"{archive} holds no icons.json")
        return json.load(member)


def draw(thing: str, icons: dict[str, dict[str, Any]]) -> np.ndarray:
    """A thing in all styles: uint8 [styles, 256, 256, 4]."""
    drawn = {style: render(svg(data, thing.replace(" ", "-"))) for style, data in icons.items()}
    made = {style: painting.PAINTERS[style](drawn["3d"]) for style in STYLES if style not in drawn}
    return np.stack([(drawn | made)[style] for style in STYLES])


def svg(data: dict[str, Any], name: str) -> str:
    """The SVG document of a package's icon. Raises KeyError: there is none of that name."""
    icon = data["icons"][name]
    width, height = (icon.get(key, data.get(key, 16)) for key in ("width", "height"))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    body = icon["body"].replace("currentColor", INK)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'


def render(document: str) -> np.ndarray:
    """An SVG, its longer side filling a square: uint8 [256, 256, 4], colours multiplied by alpha."""
    import resvg_py  # only making a model needs it

    png = resvg_py.svg_to_bytes(svg_string=document, width=OVERSIZE, height=OVERSIZE)
    pixels = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA")).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    rows, columns = (np.flatnonzero((pixels[..., 3] > 8).any(axis=axis)) for axis in (1, 0))
    cut = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = (SIDE - 2 * MARGIN) / max(cut.shape[:2])
    size = [max(1, round(scale * length)) for length in cut.shape[1::-1]]
    return painting.centred(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), SIDE).round().astype(np.uint8)
