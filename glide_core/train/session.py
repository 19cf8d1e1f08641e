"""One training from its request to its result."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..device import pick_device
from ..errors import MissingPackageError, OptionError
from . import initial
from .request import TrainingRequest


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        step: how many steps have been done in all.
        interrupted: it was asked to stop before the last one.
        main_process: this process is the one that reports for all that train together.
    """

    step: int
    interrupted: bool
    main_process: bool


def run(request: TrainingRequest) -> Outcome:
    """Train as a request says; under ``accelerate launch`` on all its processes together.

    Raises:
        OptionError: parts of the request do not fit together.
        DatasetError: the data set has nothing to read, or lacks the labels that the request needs.
        CheckpointError: the checkpoint, the tokenizer or the state to resume from is missing or broken.
        TrainingError: the training diverged.
        MissingPackageError: an optional package is not installed.
        OSError: the results cannot be written.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingPackageError('training needs the package accelerate: pip install "glide-nodes[train]"') from error
    from .loop import Trainer

    out, options = request.out, request.options
    if not request.resume and (out / "state.pt").exists():
        raise OptionError(f"--out {out} holds a training: go on with it by --resume, or choose another folder")
    device = pick_device(request.device)
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
    torch.manual_seed(options.seed)
    model, tokenizer = initial.build(request, device)
    auxiliary = request.auxiliary(model) if request.auxiliary else None
    objective = request.objective(model.config, accelerator.device) if request.objective else None
    options.check(model.config, accelerator.num_processes)
    with accelerator.main_process_first():  # which prepares files that the others then only read
        data = request.data.open(
            model.config.image_size,
            seed=options.seed,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
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
    trainer.run()
    accelerator.end_training()
    return Outcome(trainer.step, trainer.interrupted, accelerator.is_main_process)
