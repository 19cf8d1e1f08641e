"""Errors that say which node they come from."""

from __future__ import annotations

from contextlib import contextmanager

from ..glide_core.diffusion.schedule import NoiseSchedule
from ..glide_core.editing import blending


@contextmanager
def named(node_id: str):
    """Put the node's name before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node_id}: {error}") from error


def blend_error(blend: str | None) -> bool | str:
    """For validate_inputs, before anything is painted: True, or what is wrong. None is a linked input."""
    try:
        if blend is not None:
            blending.require_blend(blend)
    except ValueError as error:
        return str(error)
    return True


def steps_error(steps: str | None) -> bool | str:
    """For validate_inputs: True, or what is wrong. None is a linked input, which is checked when it runs."""
    try:
        return steps is None or len(NoiseSchedule("linear").respaced_sigmas(steps)) > 1
    except ValueError as error:
        return f"steps: {error}"
