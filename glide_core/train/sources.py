"""Where a user's pictures come from: a folder, or the tar shards of a WebDataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingPackageError
from .dataset import Dataset
from .folder import Folder


@dataclass(frozen=True)
class FileSource:
    """Pictures in files.

    Attributes:
        location: a folder of pictures; or tar shards: one file, a folder of them, a pattern such as
            ``shards-{0000..0099}.tar``, or URLs.
    """

    location: str

    def open(self, side: int, *, seed: int = 0, process: int = 0, processes: int = 1) -> Dataset:
        """Open the data set; see ``DataSource.open``.

        Raises:
            DatasetError: the location does not exist or holds no samples.
            MissingPackageError: webdataset is not installed.
        """
        path = Path(self.location)
        if any(path.glob("*.tar")) if path.is_dir() else ".tar" in self.location:
            try:
                from .shards import Shards
            except ImportError as error:
                raise MissingPackageError(
                    'tar shards need the package webdataset: pip install "glide-nodes[train]"'
                ) from error
            return Shards(self.location, side, seed=seed, process=process, processes=processes)
        return Folder(path, side)
