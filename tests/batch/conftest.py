"""Without the optional packages these tests are skipped, and pytest -rs says so."""

import pytest

for package in ("pyarrow", "webdataset", "fsspec", "filelock"):
    pytest.importorskip(package, reason=f'glide batch is not tested: pip install "glide-nodes[batch]" ({package})')
