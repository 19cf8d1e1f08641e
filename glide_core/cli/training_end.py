"""What the training commands say at their end."""

from __future__ import annotations

import shlex
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..train.session import Outcome

EXAMPLE_CHARACTERS = 80


def leave_if_stopped(outcome: Outcome, *, resumed: bool) -> None:
    """Say how a training that was stopped goes on, and exit with 130."""
    if not outcome.interrupted:
        return
    if outcome.main_process:
        command = ["glide", *sys.argv[1:]] if sys.argv[1:2] == ["train"] else ["glide", "train", "..."]
        again = shlex.join(command) + ("" if resumed else " --resume")
        print(f"stopped after step {outcome.step}; to go on: {again}", file=sys.stderr)
    sys.exit(130)


def tell(what: str, outcome: Outcome, *commands: list[str]) -> None:
    """Say what was written and which commands use it."""
    if not outcome.main_process:
        return
    print(f"{what} after {outcome.step} steps is {outcome.model}; to use it:")
    print(*(f"  {shlex.join(command)}" for command in commands), sep="\n")
    print(f"for ComfyUI, copy it and {outcome.model.with_suffix('.tokenizer.json').name} into models/glide")


def example(prompt: str) -> str:
    """A prompt of a length that suits a printed command."""
    return textwrap.shorten(prompt, EXAMPLE_CHARACTERS, placeholder="")
