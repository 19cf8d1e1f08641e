"""``glide batch``: paint the rows of a file, many or very many."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ..choices import BATCH_COLUMNS, SHARD_SIZE
from ..diffusion.options import UPSAMPLING, Sampling
from ..errors import CheckpointError, GlideError, OptionError
from . import clip, common, outputs
from .preset import preset_option
from .upsampler import upsampler_name

if TYPE_CHECKING:
    from ..batch.request import BatchRequest, Models
    from ..batch.run import Engine

BATCH_ON_GPU = 16
WORKER_BYTES = 2**29  # beside its models, mostly torch itself
NUMBERS = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide batch``."""
    add = parser.add_argument
    add(
        "input",
        metavar="INPUT",
        help="a .txt, .jsonl, .csv, .parquet or .tar file, or a folder of .parquet files, .tar files or pictures; a "
        "path or a URL such as s3://bucket/captions.parquet",
    )
    add("-o", "--output", required=True, metavar="FOLDER", help="the folder to write, or a URL")
    add(
        "--column",
        action="append",
        type=_column,
        default=[],
        metavar="NAME=COLUMN",
        help=f"the input's column that is our {', '.join(BATCH_COLUMNS)}; may be given several times",
    )
    add("--files", action="store_true", help="write one file a picture, named by its id, and no tar files")
    add("--format", choices=("png", "jpg", "webp"), default="png", help="of the pictures (default: %(default)s)")
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where a row does not say")
    add("--stage", choices=("base", "all"), default="all", help="base stops at 64x64 (default: all, 256x256)")
    add("--dry-run", action="store_true", help="do everything but painting: write flat pictures")
    _work_options(parser)
    common.model_options(
        parser,
        "tiny (embedded; the default), openai (after `glide fetch`), or the file of a base model. The seed of row i is "
        "the seed plus i, where the row has none",
    )
    common.reference_option(parser)
    add("--upsampler", metavar="FILE", help="the upsampler that belongs to the file in --checkpoint")
    add("--base-inpaint", metavar="FILE", help="the inpainting base model, for rows with image and mask")
    add("--upsample-inpaint", metavar="FILE", help="the inpainting upsampler, for rows with image and mask")
    preset_option(parser, base="", upsampler="upsample-")
    common.sampling_options(parser, "", Sampling(), "base models", "for rows that do not say")
    common.sampling_options(
        parser, "upsample-", UPSAMPLING, "upsamplers", "for all rows, but those with an image and no mask may say"
    )
    clip.clip_option(parser)
    clip.best_options(parser, "each picture", keep=False)


def _work_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("how the work is shared, and what happens to failures").add_argument
    add("--engine", choices=("local", "ray"), default="local", help="paint on this machine, or in a Ray cluster")
    add("--address", metavar="ADDRESS", help="of the Ray cluster, or auto (default: start Ray on this machine)")
    add(
        "--workers",
        type=_whole,
        metavar="N",
        help="processes that paint; 0 paints in this one (default: one for each GPU, or for each core; with Ray as "
        "many as there is room for)",
    )
    add(
        "--batch",
        type=common.count,
        metavar="N",
        help=f"pictures at once (default: {BATCH_ON_GPU} on a GPU, 1 on a CPU)",
    )
    add("--threads", type=common.count, default=1, metavar="N", help="of a worker on a CPU (default: %(default)s)")
    add("--shard-size", type=common.count, default=SHARD_SIZE, metavar="N", help="rows a shard (default: %(default)s)")
    add("--shard-index", type=_whole, default=0, metavar="I", help="in array jobs: do each N-th shard from number I on")
    add("--shard-count", type=common.count, default=1, metavar="N", help="how many such jobs there are (default: 1)")
    add("--max-errors", type=_whole, default=1000, metavar="N", help="stop when more rows have failed (default: 1000)")
    add("--retry-errors", action="store_true", help="paint the rows again that failed in an earlier run")
    add("--json-log", metavar="FILE", help="append a line of JSON for each event, or - for the standard output")


def run(args: argparse.Namespace) -> None:
    """Do what is not done yet of a run."""
    from ..batch import warnings
    from ..batch.run import require_index
    from ..batch.run import run as run_batch

    if not args.output.strip():
        raise OptionError("--output is empty: name a folder")
    if args.json_log not in (None, "-"):
        outputs.require_appendable("--json-log", Path(args.json_log))
    signal.signal(signal.SIGTERM, _interrupt)  # what schedulers send before they kill
    request = _request(args)
    require_index(request)
    try:
        totals = run_batch(request, _engine(args, request), args.json_log)
    except GlideError:
        raise
    except OSError as error:
        reason = f"--output {args.output}: {error.strerror}" if error.strerror else error  # which names its place
        raise GlideError(
            f"{reason}; what is done is kept: make room or mend it, and give the same command again"
        ) from error
    outputs.note(f"{totals.rows} rows, {totals.errors} of them failed: {args.output}")
    if totals.errors:
        outputs.note(f"one of them: {totals.reason}; the column error of the tables has all reasons")
    misread = warnings.sentence(totals.warnings)
    if misread:
        outputs.note(misread)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _request(args: argparse.Namespace) -> BatchRequest:
    from ..batch.request import BatchRequest, Painting

    where = common.compute(args)
    if args.best_of is None and args.scorer is not None:
        raise OptionError("--scorer chooses among several tries: give --best-of N")
    if args.best_of is not None and not args.dry_run:
        clip.scorer(args, where)  # what is wrong with it is told before the work
    on_cpu = where.device.type == "cpu"
    painting = Painting(
        models=_models(args),
        negative=args.negative,
        seed=args.seed,
        sampling=common.sampling(args),
        upsampling=common.sampling(args, "upsample_"),
        device=where.device.type,
        dtype=where.dtype,
        batch=args.batch or (1 if on_cpu else BATCH_ON_GPU),
        threads=args.threads if on_cpu else 1,
        best_of=args.best_of,
        scorer=args.scorer or "glide-clip",
        clip=clip.clip_name(args),
        dry_run=args.dry_run,
    )
    return BatchRequest(
        source=args.input,
        output=args.output,
        columns=dict(args.column),
        painting=painting,
        shard_size=args.shard_size,
        shard_index=args.shard_index,
        shard_count=args.shard_count,
        files=args.files,
        format=args.format,
        retry_errors=args.retry_errors,
        max_errors=args.max_errors,
    )


def _models(args: argparse.Namespace) -> Models:
    from ..batch.request import Models

    return Models(
        base=common.family_member(args.checkpoint, "base") or args.checkpoint,
        upsampler=upsampler_name(args),
        base_inpaint=args.base_inpaint or common.family_member(args.checkpoint, "base-inpaint"),
        upsample_inpaint=args.upsample_inpaint or common.family_member(args.checkpoint, "upsample-inpaint"),
    )


def _engine(args: argparse.Namespace, request: BatchRequest) -> Engine:
    if args.engine == "ray":
        from ..batch.ray_engine import RayEngine

        return RayEngine(args.address, args.workers or None)
    if args.address is not None:
        raise OptionError("--address is for --engine ray")
    from ..batch.local import LocalEngine, inline

    workers = _default_workers(request) if args.workers is None else args.workers
    return LocalEngine(workers) if workers else inline


def _default_workers(request: BatchRequest) -> int:
    """One for each GPU; on a CPU one for each core, as far as their models fit into memory."""
    import torch

    from .. import memory
    from ..files import checkpoints

    if request.painting.device == "cuda":
        return torch.cuda.device_count()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    weights = 0
    for source in (request.painting.models.base, request.painting.models.upsampler):
        try:
            weights += 2 * checkpoints.find(source).stat().st_size if source else 0
        except CheckpointError:  # it is told of where a row needs it
            continue
    fits = memory.available(torch.device("cpu")) // (weights + WORKER_BYTES)
    return max(1, min(cores // request.painting.threads, fits))


def _column(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if ours not in BATCH_COLUMNS or not equals or not theirs:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COLUMN with one of {', '.join(BATCH_COLUMNS)} as NAME")
    return ours, theirs


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text[:12]) > NUMBERS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 to {NUMBERS}")
    return int(text)
