"""Files wherever fsspec reaches: what fails there fails as it would on a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import GlideError


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Raise OSError for whatever a service raises that cannot be reached or does not let one in."""
    try:
        yield
    except (GlideError, OSError, ImportError, ValueError):
        raise
    except Exception as error:  # each service's library has errors of its own
        raise OSError(f"{url}: {' '.join(str(error).split())}") from error
