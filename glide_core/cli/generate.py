"""``glide generate``: draw pictures of prompts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..choices import PAINTED_IN
from ..diffusion.options import UPSAMPLING, Sampling
from ..errors import OptionError
from ..prompts import Prompt, read_prompts
from . import clip, common, outputs, words
from .preset import preset_option

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from ..diffusion.clip_guidance import ClipGuide
    from ..pipeline import Stage

PICTURES_AT_A_TIME = 8


@dataclass(frozen=True)
class Job:
    """One picture to draw: the prompt, what to lead away from, its own seed and its file."""

    prompt: str
    negative: str
    seed: int
    path: Path


@dataclass(frozen=True)
class Cascade:
    """The models and how they sample.

    Attributes:
        upsampler: None where the base's 64x64 is wanted.
        least: how many pictures the base and the upsampler paint together at least. The last digits of what they
            compute depend on it.
    """

    base: Stage
    upsampler: Stage | None
    sampling: Sampling
    upsampling: Sampling
    guide: ClipGuide | None = None
    upsample_guide: ClipGuide | None = None
    least: tuple[int, int] = (1, 1)

    def paint(self, jobs: list[Job], part: str) -> Tensor:
        """Samples [B, 3, H, W] in -1..1, one for each job; ``part`` is shown beside the progress."""
        return self.enlarge(jobs, self.draw(jobs, part), part)

    def draw(self, jobs: list[Job], part: str) -> Tensor:
        """The base's part of ``paint``."""
        from .. import pipeline

        prompts, negatives, seeds = _columns(jobs, self.least[0])
        with common.progress(f"base{part}") as callback:
            samples = pipeline.generate(
                self.base, prompts, self.sampling, negative=negatives, seed=seeds, clip=self.guide, callback=callback
            )
        return samples[: len(jobs)]

    def enlarge(self, jobs: list[Job], samples: Tensor, part: str) -> Tensor:
        """The upsampler's part of ``paint``, where there is one."""
        if self.upsampler is None:
            return samples
        import torch

        from .. import pipeline

        prompts, negatives, seeds = _columns(jobs, self.least[1])
        low_res = torch.cat([samples, *[samples[-1:]] * (len(seeds) - len(jobs))])
        with common.progress(f"upsampler{part}") as callback:
            enlarged = pipeline.upsample(
                self.upsampler,
                prompts,
                low_res,
                self.upsampling,
                negative=negatives,
                seed=seeds,
                clip=self.upsample_guide,
                callback=callback,
            )
        return enlarged[: len(jobs)]

    def painted_in(self, drawn: int, enlarged: int) -> dict[str, str]:
        """What a picture notes of so many that were drawn and enlarged together, for ``glide again``."""
        return {PAINTED_IN: f"{max(drawn, self.least[0])},{max(enlarged, self.least[1])}"}


def _columns(jobs: list[Job], least: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """The prompts, negatives and seeds of at least so many jobs, of which the last one is repeated."""
    filled = jobs + jobs[-1:] * (least - len(jobs))
    prompts, negatives, seeds = zip(*((job.prompt, job.negative, job.seed) for job in filled))
    return prompts, negatives, seeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``glide generate``."""
    add = parser.add_argument
    add("--list-words", action="store_true", help="print the words that the checkpoint knows, and draw nothing")
    add("--json", action="store_true", help="print --list-words as JSON")
    add("prompt", nargs="?", metavar="PROMPT", help="what to draw; AND and NOT in capitals join several prompts")
    add(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="a prompt per line instead, or - for the standard input; prompt number i is drawn with seed + i. A line "
        "may go on with '### NEGATIVE' and '### SEED', or be a JSON object; lines that begin with # are passed over",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the .png, .jpg or .webp file to write; with --batch 4 OUT.png becomes OUT-0.png to OUT-3.png; with "
        "--prompts a folder for 00000.png, 00001.png, ...",
    )
    add(
        "--batch",
        type=common.count,
        metavar="N",
        help="how many pictures of PROMPT (default: 1); with --prompts how many at a time "
        f"(default: {PICTURES_AT_A_TIME})",
    )
    add("--negative", default="", metavar="TEXT", help="what to lead away from, where guidance is not 1")
    add("--stage", choices=("base", "all"), default="all", help="base stops at 64x64 (default: all, 256x256)")
    add("--sheet", type=Path, metavar="PNG", help="also write a contact sheet: all pictures with their prompts")
    add("--overwrite", action="store_true", help="with --prompts: write over other pictures in the folder")
    common.model_options(
        parser,
        "tiny (embedded; the default), openai (after `glide fetch base upsample`), or the file of a base model",
    )
    add("--upsampler", metavar="FILE", help="the upsampler that belongs to the file in --checkpoint")
    add("--lora", metavar="FILE[:STRENGTH]", help="what `glide train --lora` wrote, to add to the base model")
    common.reference_option(parser)
    preset_option(parser, base="", upsampler="upsample-")
    common.sampling_options(
        parser, "", Sampling(), "base model", "GLIDE's published: --steps 100 --sampler ddpm --guidance-scale 3"
    )
    common.sampling_options(
        parser,
        "upsample-",
        UPSAMPLING,
        "upsampler",
        "GLIDE's published: --upsample-steps fast27 --upsample-sampler ddim --upsample-temperature 0.997 "
        "--upsample-guidance-scale 1",
    )
    clip.clip_option(parser)
    clip.guidance_options(parser)
    clip.best_options(parser, "each picture")
    add(f"--{PAINTED_IN}", type=_two_counts, default=(1, 1), help=argparse.SUPPRESS)  # for glide again


def run(args: argparse.Namespace) -> None:
    """Draw what the options ask for. A list skips the pictures that are there already with equal parameters."""
    if args.list_words:
        outputs.say(words.listed(words.of_checkpoint(_base_name(args)), as_json=args.json))
        return
    if args.output is None:
        raise OptionError("-o: name the file to write")
    jobs = _list_jobs(args) if args.prompts else _single_jobs(args)
    sheets = [args.sheet] if args.sheet else []
    written = [path for job in jobs for path in _paths(job, args.keep)]
    for path in (*written, *sheets):
        outputs.require_output("--sheet" if path in sheets else "--output", path)
    outputs.require_distinct({"--output": written, "--sheet": sheets}, {"--prompts": args.prompts})
    where = common.compute(args)
    models = {"checkpoint": _base_name(args), "upsampler": _upsampler_name(args), "clip": clip.guiding_name(args)}
    recorded = common.parameters(args, where, models)
    todo = _unmade(jobs, recorded, args.overwrite) if args.prompts else jobs
    if todo:
        cascade = _cascade(args, where)
        common.warn_of_cuts(cascade.base, [job.prompt for job in todo])
        words.warn_of_unknown(_base_name(args), common.texts_of([job.prompt for job in todo]))
        best_of = clip.best_of(args, where, [job.prompt for job in todo])
        if best_of is None:
            _paint(cascade, todo, recorded, args.batch or PICTURES_AT_A_TIME)
        else:
            _paint_best(cascade, todo, recorded, best_of)
    if args.sheet:
        from ..contact_sheet import write_sheet

        shown = [replace(job, path=path) for job in jobs for path in _paths(job, args.keep)]
        write_sheet(args.sheet, _opened(shown), _captions(shown, several_tries=not args.prompts and len(jobs) > 1))
        outputs.say(args.sheet)


def _paint(cascade: Cascade, jobs: list[Job], recorded: dict[str, Any], most: int) -> None:
    stages = [stage for stage in (cascade.base, cascade.upsampler) if stage]
    prompts = [job.prompt for job in jobs]
    at_a_time = common.pictures_at_a_time(stages, (cascade.sampling, cascade.upsampling), most, prompts)
    for start in range(0, len(jobs), at_a_time):
        some = jobs[start : start + at_a_time]
        part = f" {start + 1}-{start + len(some)} of {len(jobs)}" if len(some) < len(jobs) else ""
        painted_in = cascade.painted_in(len(some), len(some))
        for job, samples in zip(some, cascade.paint(some, part)):
            outputs.write_picture(job.path, samples, {**_parameters(recorded, job), **painted_in})


def _two_counts(text: str) -> tuple[int, int]:
    base, upsampler = (common.count(part) for part in text.split(","))
    return base, upsampler


def _paths(job: Job, keep: int | None) -> list[Path]:
    """The files that a job writes: its own, or those of the best tries."""
    return [job.path] if keep in (None, 1) else [job.path.with_stem(f"{job.path.stem}-{k}") for k in range(keep or 1)]


def _paint_best(cascade: Cascade, jobs: list[Job], recorded: dict[str, Any], best_of: clip.BestOf) -> None:
    """Draw each job several times, and write the best of them and the scores of all."""
    stages = [stage for stage in (cascade.base, cascade.upsampler) if stage]
    at_a_time = common.pictures_at_a_time(stages, (cascade.sampling, cascade.upsampling), best_of.tries)
    tries = {job.path.name: _best(cascade, job, recorded, best_of, at_a_time) for job in jobs}
    folder = jobs[0].path.parent
    single = folder / f"{jobs[0].path.stem}.{clip.SCORES}"
    clip.write_scores(folder / clip.SCORES if len(jobs) > 1 else single, tries)


def _best(cascade: Cascade, job: Job, recorded: dict[str, Any], best_of: clip.BestOf, at_a_time: int) -> list[clip.Try]:
    """The tries of one job, of which the best are written. Only they are enlarged, if the scorer sees enough before."""
    import torch

    from ..diffusion.noise import picture_seeds

    seeds = picture_seeds(job.seed, best_of.tries)
    candidates = [replace(job, seed=seed) for seed in seeds]
    sees_enough = best_of.scorer.side <= cascade.base.model.config.image_size
    drawn, sizes = [], []
    for start in range(0, len(candidates), at_a_time):
        some = candidates[start : start + at_a_time]
        sizes += [len(some)] * len(some)
        drawn.append((cascade.draw if sees_enough else cascade.paint)(some, f" {start + 1}-{start + len(some)}"))
    samples = torch.cat(drawn)
    scores = best_of.scorer.scores(samples, [job.prompt] * len(samples))
    found = clip.ranked(seeds, scores)
    kept = [k for k, _ in found[: best_of.keep]]
    chosen = [candidates[k] for k in kept]
    pictures = cascade.enlarge(chosen, samples[kept], " of the best") if sees_enough else samples[kept]
    paths = _paths(job, best_of.keep)
    tries = clip.with_files([one for _, one in found], paths)
    for path, picture, one, k in zip(paths, pictures, tries, kept):
        painted_in = cascade.painted_in(sizes[k], len(kept) if sees_enough else sizes[k])
        outputs.write_picture(path, picture, {**_parameters(recorded, job), **one.notes, **painted_in})
    return tries


def _parameters(recorded: Mapping[str, Any], job: Job) -> dict[str, Any]:
    return {**recorded, "prompt": job.prompt, "negative": job.negative, "seed": job.seed}


def _single_jobs(args: argparse.Namespace) -> list[Job]:
    """PROMPT --batch times."""
    from ..diffusion.noise import picture_seeds

    if args.prompt is None:
        raise OptionError("give either a PROMPT or --prompts FILE")
    count = args.batch or 1
    if args.best_of is not None and count > 1:
        raise OptionError("give either --batch or --best-of, whose --keep says how many pictures are written")
    stem, output = args.output.stem, args.output
    paths = [output] if count == 1 else [output.with_stem(f"{stem}-{k}") for k in range(count)]
    return [Job(args.prompt, args.negative, *place) for place in zip(picture_seeds(args.seed, count), paths)]


def _list_jobs(args: argparse.Namespace) -> list[Job]:
    """The prompts of a list."""
    if args.prompt is not None:
        raise OptionError("give either a PROMPT or --prompts FILE, not both")
    if args.keep not in (None, 1):
        raise OptionError("--keep: of each line of --prompts one picture is kept; give --keep 1")
    prompts = read_prompts(args.prompts)
    outputs.require_folder("--output", args.output)
    return [_job(args, number, prompt) for number, prompt in enumerate(prompts)]


def _job(args: argparse.Namespace, number: int, prompt: Prompt) -> Job:
    negative = args.negative if prompt.negative is None else prompt.negative
    seed = args.seed + number if prompt.seed is None else prompt.seed
    return Job(prompt.text, negative, seed, args.output / f"{number:05d}.png")


def _unmade(jobs: list[Job], recorded: Mapping[str, Any], overwrite: bool) -> list[Job]:
    """The jobs whose pictures are not there yet. Raises OptionError: a file is another picture, and may not go."""
    todo = [job for job in jobs if not outputs.is_made(job.path, _parameters(recorded, job))]
    others = [job.path for job in todo if job.path.exists()]
    if others and not overwrite:
        raise OptionError(
            f"--output: {others[0]} is another picture, one of {len(others)}: choose another folder, or --overwrite"
        )
    if len(todo) < len(jobs):
        outputs.note(f"{len(jobs) - len(todo)} of {len(jobs)} pictures are there already")
    return todo


def _cascade(args: argparse.Namespace, where: common.Compute) -> Cascade:
    """Both models before the first is used: an error comes before the work, not in the middle of it."""
    upsampler = _upsampler_name(args)
    guide, upsample_guide = clip.guides(args, where)
    return Cascade(
        common.load_stage(where, "--checkpoint", _base_name(args), "base", args.lora),
        common.load_stage(where, "--upsampler", upsampler, "upsample") if upsampler else None,
        common.sampling(args),
        common.sampling(args, "upsample_"),
        guide,
        upsample_guide,
        args.painted_in,
    )


def _base_name(args: argparse.Namespace) -> str:
    return common.family_member(args.checkpoint, "base") or args.checkpoint


def _upsampler_name(args: argparse.Namespace) -> str | None:
    """None where the base's 64x64 is wanted."""
    if args.stage == "base":
        return None
    upsampler = args.upsampler or common.family_member(args.checkpoint, "upsample")
    if upsampler is None:
        raise OptionError(f"--upsampler: name the one that belongs to {args.checkpoint}, or use --stage base")
    return str(upsampler)


def _captions(jobs: list[Job], *, several_tries: bool) -> list[str]:
    """Under each picture of a sheet stands its prompt, and its seed where that is what tells them apart."""
    if several_tries:
        return [f"{job.prompt}, {outputs.seed_caption(job.seed)}" for job in jobs]
    return [job.prompt for job in jobs]


def _opened(jobs: list[Job]) -> Iterator[Image]:
    from PIL import Image

    for job in jobs:
        with Image.open(job.path) as image:
            yield image.convert("RGB")
