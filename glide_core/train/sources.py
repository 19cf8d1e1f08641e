"""Where a user's pictures come from: a folder, the tar shards of a WebDataset, or parquet files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import MissingPackageError
from .dataset import FileDataset
from .decoding import EXTENSIONS, require_colour
from .folder import Folder, visible_files
from .stream import Stream


@dataclass(frozen=True)
class FileSource:
    """Pictures in files.

    Attributes:
        location: a folder of pictures; or tar shards: one file, a folder of them, a pattern such as
            ``shards-{0000..0099}.tar``, or URLs; or parquet files: one, a folder of them, or a pattern such as
            ``train-*.parquet``.
        background: the colour on which transparency is laid, as Pillow reads it.
    """

    location: str
    background: str = "white"

    def open(self, side: int, *, seed: int = 0, process: int = 0, processes: int = 1) -> FileDataset:
        """Open the data set; see ``DataSource.open``.

        Raises:
            DatasetError: the location does not exist or holds no samples.
            OptionError: the background is no colour.
            MissingPackageError: webdataset or pyarrow is needed and not installed.
        """
        require_colour(self.background)
        path = Path(self.location)
        if any(path.glob("*.tar")) if path.is_dir() else ".tar" in self.location:
            try:
                from .shards import read_shards as read
                from .shards import shard_files as find
            except ImportError as error:
                raise MissingPackageError(
                    'tar shards need the package webdataset: pip install "glide-nodes[train]"'
                ) from error
        elif _holds_parquet(path) if path.is_dir() else self.location.lower().endswith(".parquet"):
            try:
                from .parquet import parquet_files as find
                from .parquet import read_parquet as read
            except ImportError as error:
                raise MissingPackageError(
                    'parquet files need the package pyarrow: pip install "glide-nodes[parquet]"'
                ) from error
        else:
            return Folder(path, side, self.background)
        return Stream(
            self.location,
            find(self.location),
            read,
            side,
            background=self.background,
            seed=seed,
            process=process,
            processes=processes,
        )


def _holds_parquet(folder: Path) -> bool:
    """Whether a folder holds parquet files and no pictures. Beside pictures they are often but notes about these."""
    kinds = {path.suffix.lower() for path in visible_files(folder)}
    return ".parquet" in kinds and kinds.isdisjoint(EXTENSIONS)
