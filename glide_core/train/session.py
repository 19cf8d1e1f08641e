"""One training from its request to its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..device import pick_device
from ..errors import DatasetError, MissingPackageError, OptionError
from ..models.config import ModelConfig
from . import initial
from .dataset import Dataset, DataSource, FileDataset
from .decoding import note, warn
from .request import TrainingRequest
from .survey import CountsTokens, Survey, short_lines, survey

if TYPE_CHECKING:
    from accelerate import Accelerator

SURVEYED = 500  # samples that are read before the training, to tell early what the data set holds


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        step: how many steps have been done in all.
        interrupted: it was asked to stop before the last one.
        main_process: this process is the one that reports for all that train together.
        model: the file with the averaged weights; its tokenizer is beside it.
        caption: one of the data set's, or "" where its captions are not in files.
    """

    step: int
    interrupted: bool
    main_process: bool
    model: Path
    caption: str


@dataclass(frozen=True)
class DiffusionOutcome(Outcome):
    """How the training of a diffusion model ended.

    Attributes:
        config: of the model.
        lora: the file with the additions alone, or None.
    """

    config: ModelConfig
    lora: Path | None


def run(request: TrainingRequest) -> DiffusionOutcome:
    """Train as a request says; under ``accelerate launch`` on all its processes together.

    Raises:
        OptionError: parts of the request do not fit together.
        DatasetError: the data set has nothing to read, or lacks the labels that the request needs.
        CheckpointError: the checkpoint, the tokenizer or the state to resume from is missing or broken.
        TrainingError: the training diverged.
        MissingPackageError: an optional package is not installed.
        OSError: the results cannot be written.
    """
    device, options, out = pick_device(request.device), request.options, request.out
    accelerator = start(out, device, resume=request.resume)
    from .loop import Trainer

    torch.manual_seed(options.seed)
    model, tokenizer = initial.build(request, device)
    auxiliary = request.auxiliary(model) if request.auxiliary else None
    objective = request.objective(model.config, accelerator.device) if request.objective else None
    options.check(model.config, accelerator.num_processes)
    data, found = opened(request.data, model.config.image_size, tokenizer, options.seed, accelerator)
    trainer = Trainer(
        model,
        tokenizer,
        data,
        options,
        out,
        objective=objective,
        auxiliary=auxiliary,
        masks=request.masks,
        accelerator=accelerator,
        prompts=request.prompts,
    )
    if request.resume:
        trainer.resume()
    told = found.left_out.count if found else 0
    trainer.run()
    if found and found.left_out.count > told:
        warn(f"in the end left out: {found.left_out}")
    accelerator.end_training()
    return DiffusionOutcome(
        step=trainer.step,
        interrupted=trainer.interrupted,
        main_process=accelerator.is_main_process,
        model=trainer.model_path,
        caption=found.caption if found else "",
        config=model.config,
        lora=trainer.lora_path if request.lora_rank else None,
    )


def start(out: Path, device: torch.device, *, resume: bool) -> Accelerator:
    """What all processes of a training share.

    Raises:
        MissingPackageError: accelerate is not installed.
        OptionError: the folder holds a training that is not to be resumed.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingPackageError('training needs the package accelerate: pip install "glide-nodes[train]"') from error
    if not resume and (out / "state.pt").exists():
        raise OptionError(f"--out {out} holds a training: go on with it by --resume, or choose another folder")
    return Accelerator(cpu=device.type == "cpu", mixed_precision="no")


def opened(
    source: DataSource, side: int, tokenizer: CountsTokens, seed: int, accelerator: Accelerator
) -> tuple[Dataset, Survey | None]:
    """This process's share of the data set, and in the main process what is in it, where it lies in files.

    Raises:
        DatasetError: there is nothing to read, or nothing that can be trained on.
    """
    with accelerator.main_process_first():  # which prepares files that the others then only read
        data = source.open(side, seed=seed, process=accelerator.process_index, processes=accelerator.num_processes)
    found = _surveyed(data, tokenizer) if accelerator.is_main_process and isinstance(data, FileDataset) else None
    return data, found


def _surveyed(data: FileDataset, tokenizer: CountsTokens) -> Survey:
    """Say what the data set holds. Raises DatasetError: all of it was read, and nothing can be trained on."""
    found = survey(data, tokenizer, most=SURVEYED)
    for line in short_lines(found):
        note(line)
    if found.complete and not found.usable:
        raise DatasetError(f"{found.place}: none of the {found.seen} pictures can be trained on ({found.left_out})")
    return found
