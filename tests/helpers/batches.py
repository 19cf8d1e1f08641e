"""Short runs of ``glide batch``, and what they wrote."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

from glide_core.batch.local import inline
from glide_core.batch.request import BatchRequest, Models, Painting
from glide_core.batch.run import run
from glide_core.pipeline import Sampling

DRY = Painting(dry_run=True)
# The embedded base alone in one step: a real model, in a twentieth of a second a picture.
QUICK = Painting(models=Models(upsampler=None), sampling=Sampling(steps="1", sampler="ddim", guidance_scale=1.0))
QUICK_CASCADE = Painting(sampling=QUICK.sampling, upsampling=QUICK.sampling)


def request(source, output, painting=DRY, **changes) -> BatchRequest:
    return replace(BatchRequest(str(source), str(output), painting=painting, shard_size=4), **changes)


def paint(source, output, painting=DRY, engine=inline, **changes):
    """Run to the end -> the totals."""
    return run(request(source, output, painting, **changes), engine)


def write_prompts(path: Path, count: int) -> Path:
    path.write_text("".join(f"a red circle {k}\n" for k in range(count)))
    return path


def hashes(output: Path) -> dict[str, str]:
    """What a run made: the SHA-256 of each table and file of pictures, which must not depend on how it went."""
    found = [path for path in sorted(output.rglob("*")) if path.suffix in (".tar", ".parquet", ".png", ".jpg", ".webp")]
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def samples(output: Path) -> dict[str, dict[str, bytes]]:
    """The contents of all tar files: key -> suffix -> bytes."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(output.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, suffix = member.name.rpartition(".")
                assert suffix not in found.setdefault(key, {}), f"{member.name} is there twice"
                found[key][suffix] = archive.extractfile(member).read()
    return found


def table(output: Path) -> list[dict]:
    """The rows of all parquet files."""
    import pyarrow.parquet

    parts = [pyarrow.parquet.read_table(io.BytesIO(path.read_bytes())) for path in sorted(output.glob("*.parquet"))]
    return [row for part in parts for row in part.to_pylist()]


def summaries(output: Path) -> list[dict]:
    """The .json of each shard."""
    return [json.loads(path.read_text()) for path in sorted(output.glob("[0-9]*.json"))]
