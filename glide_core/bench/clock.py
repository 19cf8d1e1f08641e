"""Times of calls that take turns, and what they are compared with."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import OptionError

LOSS = 1.1  # a ratio that grew by more than this is a loss
Call = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what, dtype: what was measured.
        ours, reference: milliseconds, medians; reference is None where there is nothing to compare with.
        spread: half of the distance between the quartiles of ours, as a share of the median.
        ratio: the median of ours / reference in each round, or None.
        gflop: of one call of ours, or None.
        peak: the share of this machine's matrix product that these reach, or None.
        memory: MiB that the process needed more at its peak, or None.
        error: the norm of the difference to fp32, by the norm of what fp32 gives, or None.
    """

    what: str
    dtype: str
    ours: float
    spread: float
    reference: float | None = None
    ratio: float | None = None
    gflop: float | None = None
    peak: float | None = None
    memory: float | None = None
    error: float | None = None

    def cells(self) -> list[str]:
        """The cells of its line in the table."""
        optional = (
            (self.reference, "{:.1f}"),
            (self.ratio, "{:.3f}"),
            (self.gflop, "{:.0f}"),
            (self.peak, "{:.0%}"),
            (self.memory, "{:.0f}"),
            (self.error, "{:.2%}"),
        )
        shown = ["-" if value is None else form.format(value) for value, form in optional]
        return [self.what, self.dtype, f"{self.ours:.1f}", f"{self.spread:.0%}", *shown]


HEAD = [
    "what",
    "dtype",
    "ours, ms",
    "spread",
    "reference, ms",
    "ratio",
    "GFLOP",
    "of matmul",
    "more memory, MiB",
    "error",
]


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = [HEAD, ["---", "---", *["---:"] * (len(HEAD) - 2)], *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True)
class Clock:
    """How to measure.

    Attributes:
        repeats: rounds, after one that does not count.
        cpu_time: the time of this thread instead of the wall's, for a machine that others use too; it is right with one
            thread alone.
    """

    repeats: int = 5
    cpu_time: bool = False

    def now(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.thread_time() if self.cpu_time else time.perf_counter()

    def milliseconds(self, call: Call) -> float:
        """Of one call."""
        start = self.now()
        call()
        return 1000 * (self.now() - start)

    def row(self, what: str, dtype: str, ours: Call, reference: Call | None, **more: float | None) -> Row:
        """Let both take turns."""
        calls = [ours] if reference is None else [ours, reference]
        rounds = [[self.milliseconds(call) for call in calls] for _ in range(self.repeats + 1)][1:]
        mine = [times[0] for times in rounds]
        median = statistics.median(mine)
        low, _, high = statistics.quantiles(mine, n=4) if len(mine) > 1 else (median,) * 3
        row = Row(what, dtype, median, (high - low) / 2 / median, **more)
        if reference is None:
            return row
        theirs = statistics.median(times[1] for times in rounds)
        ratio = statistics.median(times[0] / times[1] for times in rounds)
        return Row(**{**asdict(row), "reference": theirs, "ratio": ratio})


def memory_peak(call: Call) -> float | None:
    """MiB that the process needs more at the peak of a call than before it, or None where the system does not say."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return float(torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
        before = _status("VmRSS")
        call()
        more = _status("VmHWM") - before
        return more / 1024 if more > 0 else None  # a system that keeps no peak says nothing useful
    except (OSError, StopIteration):
        return None


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def losses(rows: list[Row], earlier: list[dict[str, Any]]) -> list[str]:
    """What became slower than in an earlier run, as sentences.

    Args:
        earlier: the rows of a ``glide bench speed --json``.
    Raises:
        OptionError: these are not such rows, or no measurement is in both runs.
    """
    try:
        before = {(row["what"], row["dtype"]): row["ratio"] for row in earlier}
    except (TypeError, KeyError) as error:
        raise OptionError("--against: this is not what `glide bench speed --json` wrote") from error
    pairs = [(row, before[row.what, row.dtype]) for row in rows if before.get((row.what, row.dtype))]
    compared = [(row, old, row.ratio) for row, old in pairs if row.ratio is not None]
    if not compared:
        raise OptionError("--against: no measurement has a ratio in both runs; name the reference in GLIDE_REFERENCE")
    return [
        f"{row.what} in {row.dtype}: the ratio to the reference was {old:.3f} and is {new:.3f}"
        for row, old, new in compared
        if new > LOSS * old
    ]
