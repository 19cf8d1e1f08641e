"""What of a data set is not trained on, and why: counted by reason, told once."""

from __future__ import annotations

from threading import Lock

HIDDEN = "pictures in hidden folders or with hidden names"
CLOSED = "folders that cannot be read"
NO_CAPTION = "pictures without a caption"
NO_PICTURE = "captions without a picture"
BAD_CAPTION = "captions that cannot be read"
BAD_PICTURE = "pictures that cannot be read"
BAD_METADATA = "lines of metadata files that cannot be used"
NOT_THERE = "pictures named in metadata files, but not there"
NO_FILE = "pictures that are no files, such as links to nothing"
OTHER_KINDS = "files of other kinds"
DAMAGED = "files that are damaged from some place on"
NO_COLUMNS = "parquet files without the columns of pictures and captions"


class Unusable(Exception):
    """One sample that cannot be trained on.

    Args:
        reason: one of the reasons above.
        name: the file at fault.
        detail: what is wrong with it, if there is more to say.
    """

    def __init__(self, reason: str, name: str, detail: object = "") -> None:
        super().__init__(reason, name, detail)
        self.reason, self.name, self.detail = reason, name, str(detail)


class LeftOut:
    """Counts each thing once by its reason, in any number of threads, and keeps the first one as the example."""

    def __init__(self) -> None:
        self.names: dict[str, set[str]] = {}
        self.examples: dict[str, str] = {}
        self.lock = Lock()

    def add(self, reason: str, name: str, detail: object = "") -> bool:
        """Count something. Returns whether it is the first one of its reason."""
        with self.lock:
            first = reason not in self.names
            self.names.setdefault(reason, set()).add(name)
            if first:
                self.examples[reason] = f"{name} ({detail})" if str(detail) else name
            return first

    @property
    def count(self) -> int:
        """How many things there are, of all reasons."""
        return sum(map(len, self.names.values()))

    def lines(self) -> list[str]:
        """A line for each reason: why, how many, and one of them."""
        with self.lock:
            counts = {reason: len(names) for reason, names in self.names.items()}
        return [
            f"{reason}: {count}, {'such as ' if count > 1 else ''}{self.examples[reason]}"
            for reason, count in counts.items()
        ]

    def __str__(self) -> str:
        return "; ".join(self.lines())
