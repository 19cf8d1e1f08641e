"""Checksums: of whole files, and the CRC32 of every record of a zip archive, which a .pt file is."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

from ..errors import CheckpointError
from .folders import models_dir

CHUNK = 1 << 20
SMALL = 32 << 20  # bytes; a smaller file is checked each time, which takes less than 0.1 s
MAX_REMEMBERED = 200


def check_records(path: Path) -> None:
    """Compare every record of a zip archive with its CRC32, unless the file is remembered as whole and unchanged.

    Archives whose records all disagree were saved without checksums (``torch.serialization.set_crc32_options``).

    Args:
        path: a zip archive. If it is large and whole, it is remembered.
    Raises:
        CheckpointError: a record was changed after it was written.
        zipfile.BadZipFile, OSError: the archive cannot be read.
    """
    if _is_remembered(path):
        return
    with zipfile.ZipFile(path) as archive:
        records = [record for record in archive.infolist() if record.file_size]
        damaged = [record.filename for record in records if _is_damaged(archive, record)]
    if damaged and (len(damaged) < len(records) or len(records) == 1):
        raise CheckpointError(
            f"{path} is damaged: {len(damaged)} of its {len(records)} records are not what was saved, the first is "
            f"{damaged[0]!r}: download or copy it again"
        )
    remember(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal. That of a large file is remembered until the file changes."""
    key, stamp = f"sha256 {path.resolve()}", _stamp(path)
    found = _notes().get(key)
    if isinstance(found, list) and found[:-1] == stamp:
        return str(found[-1])
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    if path.stat().st_size >= SMALL:
        _note(key, [*stamp, digest.hexdigest()])
    return digest.hexdigest()


def _is_damaged(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bool:
    """Read a record to its end, where ``zipfile`` compares the CRC32."""
    try:
        with archive.open(record) as stream:
            while stream.read(CHUNK):
                pass
    except zipfile.BadZipFile:
        return True
    return False


def remember(path: Path) -> None:
    """Note that a file is whole, by its size and time of change, so that it need not be read again. Never fails."""
    if path.stat().st_size >= SMALL:
        _note(str(path.resolve()), _stamp(path))


def _note(key: str, value: object) -> None:
    notes = _notes()
    notes.pop(key, None)
    notes[key] = value
    file = _file()
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(dict(list(notes.items())[-MAX_REMEMBERED:])), encoding="utf-8")
        os.replace(temporary, file)
    except OSError:  # the file is read again the next time
        temporary.unlink(missing_ok=True)


def _is_remembered(path: Path) -> bool:
    return _notes().get(str(path.resolve())) == _stamp(path)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _notes() -> dict[str, object]:
    try:
        notes = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def _file() -> Path:
    return models_dir() / "verified.json"
