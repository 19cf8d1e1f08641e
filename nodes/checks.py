"""Errors that name the node, and checks that run before anything is painted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..glide_core.diffusion.schedule import NoiseSchedule
from ..glide_core.editing import blending


@contextmanager
def named(node_id: str) -> Iterator[None]:
    """Put the node's name before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{node_id}: {error}") from error


# The host calls check_lazy_status when all inputs are there that are not declared lazy, and evaluates those that it
# names afterwards. So an error in it comes before the sampling that makes a picture for this node.


def still_to_come(inputs: Mapping[str, object], *names: str) -> list[str]:
    """Those of the lazy inputs that are connected and not evaluated yet."""
    return [name for name in names if name in inputs and inputs[name] is None]


# The host calls a node's validate_inputs with the values of its widgets, and with None for a widget whose value comes
# from another node. It shows what these functions return after the name of the input.


def blend_error(blend: str | None) -> bool | str:
    """True, or what is wrong with the way to blend."""
    if blend is None:
        return True
    try:
        blending.require_blend(blend)
    except ValueError as error:
        return str(error)
    return True


def steps_error(steps: str | None) -> bool | str:
    """True, or what is wrong with the steps."""
    if steps is None:
        return True
    try:
        NoiseSchedule("linear").respaced_sigmas(steps)
    except ValueError as error:
        return str(error)
    return True
