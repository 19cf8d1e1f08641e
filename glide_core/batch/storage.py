"""The folder or bucket that a run writes to. What has its name there is whole."""

from __future__ import annotations

import os
import posixpath
import uuid
from collections.abc import Iterable
from pathlib import Path

from ..errors import OptionError
from .packages import need
from .reach import reaching


class Storage:
    """A folder, on this machine or wherever fsspec reaches.

    Args:
        url: its path or URL.
    Raises:
        OptionError: fsspec knows no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            self.files, self.path = need("fsspec").core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise OptionError(f"--output {url}: {error}") from error
        self.url = url

    @property
    def local(self) -> Path | None:
        """The folder where it is one of this machine, else None."""
        protocols = self.files.protocol
        names = (protocols,) if isinstance(protocols, str) else protocols
        return Path(self.path) if "file" in names else None

    def make(self) -> None:
        """Make the folder. Raises OSError."""
        with reaching(self.url):
            self.files.makedirs(self.path, exist_ok=True)

    def names(self) -> list[str]:
        """The names of the files in it, not of those in folders. Raises OSError."""
        self.files.invalidate_cache()
        try:
            with reaching(self.url):
                found = self.files.ls(self.path, detail=False)
        except FileNotFoundError:
            if self.local is not None:
                raise
            found = []  # in an object store, a folder is there once a file is
        return [posixpath.basename(str(name)) for name in found]

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of files, by name; several at once where the file system can. Raises OSError."""
        paths = {posixpath.join(self.path, name): name for name in names}
        with reaching(self.url):
            if len(paths) == 1:
                return {name: self.files.cat_file(path) for path, name in paths.items()}
            found = self.files.cat(list(paths)) if paths else {}
        return {posixpath.basename(path): content for path, content in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, all or nothing. Raises OSError."""
        local = self.local
        if local is None:
            with reaching(self.url):
                self.files.pipe_file(posixpath.join(self.path, name), content)
            return
        temporary = local / f"{name}.{uuid.uuid4().hex[:8]}.tmp"  # other machines may write the same file
        try:
            with temporary.open("wb") as file:
                file.write(content)
                _to_disk(file.fileno())
            _move(temporary, local / name)
        finally:
            temporary.unlink(missing_ok=True)

    def put(self, file: Path, name: str) -> None:
        """Bring a finished file of this machine here, all or nothing. It is gone from where it was. Raises OSError."""
        local = self.local
        if local is None:
            with reaching(self.url):
                self.files.put_file(str(file), posixpath.join(self.path, name))
            file.unlink()
            return
        with file.open("rb") as opened:
            _to_disk(opened.fileno())
        _move(file, local / name)

    def remove(self, name: str) -> None:
        """Remove a file that may not be there. Raises OSError."""
        with reaching(self.url):
            if self.files.exists(posixpath.join(self.path, name)):
                self.files.rm_file(posixpath.join(self.path, name))


def _to_disk(descriptor: int) -> None:
    """Until a file is on the disk, its name must not tell that it is."""
    os.fsync(descriptor)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(file, target)
