"""Pictures: the ranges and layouts that they have in memory, and the files that they come from and go to.

Three forms are in use. Models work on ``samples`` [B, 3, H, W] in -1..1. Photos and ComfyUI's images are [B, H, W, C]
in 0..1. Files hold uint8 [H, W, C].
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .errors import GlideWarning, ImageError

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 95  # of JPEG and WebP files
MOST_DPI = 100_000
MOST_EXIF = 65_000  # bytes that a JPEG file can hold
TEMPORARY = ".glide-{}.tmp"  # the name, with the number of the process, that a file has until it is whole
KEPT = ("icc_profile", "dpi", "exif")  # what an edited photo keeps of its file


def to_channels_first(image: Tensor) -> Tensor:
    """Pictures [B, H, W, 3 or 4] in 0..1 -> samples [B, 3, H, W] in -1..1, without transparency."""
    return image[..., :3].movedim(-1, 1) * 2 - 1


def to_channels_last(samples: Tensor) -> Tensor:
    """Samples [B, 3, H, W] in -1..1 -> pictures [B, H, W, 3] float32 in 0..1."""
    return ((samples.float().movedim(1, -1) + 1) / 2).clamp(0, 1)


def to_uint8(samples: Tensor) -> Tensor:
    """Samples [B, 3, H, W] in -1..1 -> uint8 [B, H, W, 3] on the CPU."""
    return ((samples + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu()


def from_uint8(pixels: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> samples [B, 3, H, W] float32 in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def quantize(samples: Tensor) -> Tensor:
    """Round samples in -1..1 to the 256 levels of 8 bits, as upsamplers saw their low_res in training."""
    return ((samples + 1) * 127.5).round() / 127.5 - 1


@dataclass(frozen=True)
class Photo:
    """A photo from a file, turned upright.

    Attributes:
        pixels: [1, H, W, 3], or 4 where some of it is transparent, float32 in 0..1.
        metadata: the colour profile, resolution and EXIF block of the file, for ``save_image``.
        stored_size: width and height of the pixels as the file stores them, before they are turned.
        orientation: the EXIF orientation 1..8 by which they were turned.
    """

    pixels: Tensor
    metadata: dict[str, Any] = field(default_factory=dict)
    stored_size: tuple[int, int] = (0, 0)
    orientation: int = 1


def read_image(path: str | Path | io.BytesIO) -> Tensor:
    """Read a picture file of any kind -> samples [1, 3, H, W] float32 in -1..1. Transparency is dropped.

    Args:
        path: of the file, or its content.
    Raises:
        ImageError: the file is missing, or is no picture that can be read without guessing.
    """
    with _opened(path) as file:
        return from_uint8(np.array(converted(file, "RGB"))[None])


def read_photo(path: str | Path | io.BytesIO) -> Photo:
    """Read a photo with its transparency and metadata. Warns where something is lost. Raises like ``read_image``."""
    with _opened(path) as file:
        metadata = {key: file.info[key] for key in KEPT if key in file.info and key != "exif"}
        if not all(0 < value < MOST_DPI for value in metadata.get("dpi", ())):
            metadata.pop("dpi")  # no file format holds it
        if file.mode not in ("RGB", "RGBA", "P"):  # a profile for grey or for inks does not fit the result
            metadata.pop("icc_profile", None)
        upright = _upright(file)
        exif = _exif_bytes(upright)
        if exif:
            metadata["exif"] = exif
        pixels = np.array(_in_mode(upright, "RGBA", file))
        if pixels[..., 3].min() == 255:
            pixels = pixels[..., :3]
        return Photo(torch.from_numpy(pixels)[None].float() / 255, metadata, file.size, _orientation(file))


def read_mask(path: str | Path | io.BytesIO, photo: Photo | None = None) -> Tensor:
    """Read a mask file of any kind -> [1, H, W] float32 in 0..1, 1 = repaint.

    White repaints. A layer of one colour with transparency, as painting programs save it, repaints where it is opaque;
    otherwise what is transparent is not repainted.

    Args:
        photo: what the mask belongs to; a mask of the photo's unturned pixels is turned like it.
    Raises:
        ImageError: like ``read_image``.
    """
    with _opened(path) as file:
        image = _upright(file)
        if photo and photo.orientation != 1 and image.size == photo.stored_size and _orientation(file) == 1:
            image.getexif()[ExifTags.Base.Orientation] = photo.orientation
            image = ImageOps.exif_transpose(image)
        pixels = np.array(_in_mode(image, "RGBA", file))
    grey, opaque = np.zeros(pixels.shape[:2], np.float32), pixels[..., 3]
    for channel, weight in enumerate((0.299, 0.587, 0.114)):  # one by one: in floats a large mask would need gigabytes
        grey += pixels[..., channel] * np.float32(weight / 255)
    if opaque.min() == 255:
        return torch.from_numpy(grey)[None]
    visible = grey[opaque > 127]
    shade = 1 if visible.size == 0 or float(np.ptp(visible)) < 0.1 else grey  # a layer of one colour: opacity counts
    return torch.from_numpy(shade * (opaque / np.float32(255)))[None]


def _opened(source: str | Path | io.BytesIO) -> Image.Image:
    path = "the picture" if isinstance(source, io.BytesIO) else source
    try:
        if Path(path).suffix.lower() in (".heic", ".heif"):
            register_heif(path)
        file = Image.open(source)
        deep = file.mode in ("RGB", "RGBA") and any(";16" in _raw_mode(part) for part in file.tile)
        file.load()
        frames = getattr(file, "n_frames", 1)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a picture that Pillow can read") from error
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers of damaged files raise errors of any kind
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if deep:
        warnings.warn(f"{path} has 16 bits a channel, the result will have 8", GlideWarning, stacklevel=3)
    if frames > 1:
        warnings.warn(f"{path} has {frames} frames, the first is read", GlideWarning, stacklevel=3)
    return file


def _raw_mode(tile: Any) -> str:
    """How a part of a file stores its pixels, such as "RGB;16B"."""
    arguments = tile[3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def register_heif(path: str | Path) -> None:
    """Let Pillow open HEIF pictures, such as ``path``. Raises ImageError: the package for it is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise ImageError(f"{path} is a HEIF picture: pip install pillow-heif, or save it as JPEG or PNG") from error
    register_heif_opener()


def converted(file: Image.Image, mode: str, *, tell: Callable[[str], None] | None = None) -> Image.Image:
    """An opened picture of any kind in the mode "RGB", "RGBA" or "L", turned as its camera noted.

    Args:
        tell: is called with the text where the camera's note is damaged; the default is a ``GlideWarning``.
    Raises:
        ImageError: its values are 32-bit integers, or floating point outside of 0..1: their range cannot be told.
    """
    return _in_mode(_upright(file, tell), mode, file)


def _upright(file: Image.Image, tell: Callable[[str], None] | None = None) -> Image.Image:
    try:
        return ImageOps.exif_transpose(file)
    except Exception as error:  # a damaged EXIF block can raise anything
        name = getattr(file, "filename", "picture")
        told = tell or partial(warnings.warn, category=GlideWarning, stacklevel=3)
        told(f"the EXIF block of {name} is damaged and ignored ({error})")
        return file.copy()


def _orientation(file: Image.Image) -> int:
    try:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # as above
        return 1


def _exif_bytes(upright: Image.Image) -> bytes:
    try:
        exif = upright.getexif()
        return exif.tobytes() if len(exif) else b""
    except Exception:  # as above
        return b""


def _in_mode(image: Image.Image, mode: str, file: Image.Image) -> Image.Image:
    """``image``, which is ``file`` or that turned, in another mode."""
    name = getattr(file, "filename", "") or "the picture"
    if image.mode == "F":
        image = _from_float(image, str(name))
    elif image.mode == "I" and file.format not in ("PNG", "PPM"):
        raise ImageError(f"{name} holds 32-bit integers, whose range is unknown: save it with 8 or 16 bits")
    elif image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would cut off at 255
        image = _from_16_bits(image)
    return image.convert(mode)


def _from_float(image: Image.Image, name: str) -> Image.Image:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} holds floating point values that are not numbers: write it again without them")
    if values.min() < 0 or values.max() > 1:
        span = f"{values.min():g} to {values.max():g}"
        raise ImageError(f"{name} holds floating point values from {span}: scale them to 0..1")
    return Image.fromarray((values * 255).round().astype(np.uint8))


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    grey = Image.fromarray((values / 257).round().astype(np.uint8))
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))


def save_image(
    path: str | Path,
    pixels: Tensor,
    parameters: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a PNG, JPEG or WebP file, all or nothing: a failure leaves what was there.

    Args:
        path: its suffix is one of ``FORMATS``.
        pixels: samples [3, H, W] in -1..1, or uint8 [H, W, 3 or 4].
        parameters: noted in the file as JSON: in a PNG's text chunk "parameters", else in EXIF's UserComment. The
            prompt is noted as the description, too. (A chunk named "prompt" would not do: ComfyUI takes that for a
            graph.)
        metadata: of the ``Photo`` that was edited.
    Raises:
        ImageError: the suffix is none of ``FORMATS``.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ImageError(f"{path}: give a name that ends in {', '.join(FORMATS)}")
    image = _to_pillow(pixels)
    write_whole(path, image, **_saving_options(FORMATS[path.suffix.lower()], parameters or {}, metadata or {}))


def encode_image(pixels: Tensor, suffix: str, parameters: dict[str, Any] | None = None) -> bytes:
    """What ``save_image`` would write into a file whose name ends in ``suffix``, a key of ``FORMATS``."""
    content = io.BytesIO()
    _to_pillow(pixels).save(content, format=FORMATS[suffix], **_saving_options(FORMATS[suffix], parameters or {}, {}))
    return content.getvalue()


def _to_pillow(pixels: Tensor) -> Image.Image:
    """Samples [3, H, W] in -1..1, or uint8 [H, W, 3 or 4], as a Pillow image."""
    if pixels.dtype != torch.uint8:
        pixels = to_uint8(pixels[None])[0]
    return Image.fromarray(pixels.cpu().numpy())


def _saving_options(format: str, parameters: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    options = dict(metadata)
    if format == "PNG":
        options["pnginfo"] = _png_text(parameters)
    else:
        options |= {"exif": _exif_note(options.get("exif"), parameters), "quality": QUALITY}
    return options


def _noted(parameters: dict[str, Any]) -> str:
    """The parameters as JSON. Half characters, as a prompt in another encoding leaves them, become question marks."""
    return _whole_characters(json.dumps(parameters, ensure_ascii=False))


def _whole_characters(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _png_text(parameters: dict[str, Any]) -> PngInfo:
    info = PngInfo()
    if "prompt" in parameters:
        info.add_text("Description", _whole_characters(str(parameters["prompt"])))
    if parameters:
        info.add_text("parameters", _noted(parameters))
    return info


def _exif_note(block: bytes | None, parameters: dict[str, Any]) -> Image.Exif:
    exif = Image.Exif()
    exif.load(block or b"")
    if parameters:
        exif[ExifTags.Base.ImageDescription] = _whole_characters(str(parameters.get("prompt", "")))
        comment = b"UNICODE\0" + _noted(parameters).encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    if len(exif.tobytes()) > MOST_EXIF:
        warnings.warn("the EXIF notes are too long for this file and left out", GlideWarning, stacklevel=3)
        return Image.Exif()
    return exif


def read_parameters(path: str | Path) -> dict[str, Any]:
    """The parameters that ``save_image`` noted in a file, or {} where there are none. Never raises for a bad file."""
    try:
        with Image.open(path) as file:
            text = file.info.get("parameters")
            if text is None:
                comment = file.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
                text = comment.removeprefix(b"UNICODE\0").decode("utf-16-be")
        found = json.loads(text)
    except (OSError, ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def write_text_whole(path: Path, text: str) -> None:
    """Write a UTF-8 file under a temporary name and rename it, so that ``path`` is never half-written."""
    temporary = path.with_name(TEMPORARY.format(os.getpid()))
    try:
        temporary.write_text(_whole_characters(text), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, image: Image.Image, **options: Any) -> None:
    """Save a Pillow image under a temporary name and rename it, so that ``path`` is never half-written."""
    temporary = path.with_name(TEMPORARY.format(os.getpid()))
    try:
        image.save(temporary, format=FORMATS[path.suffix.lower()], **options)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
