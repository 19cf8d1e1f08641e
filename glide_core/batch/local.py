"""The engine of one machine: a process for each GPU, or for each core, which is replaced when it dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ..errors import GlideError
from .request import ShardTask
from .run import Advanced, Event, Plan, ShardDone, WorkerDied
from .worker import Report, Stopped, Worker

REPORT_SECONDS = 0.2
MOST_DEATHS = 20  # of workers, one after the other, without a row done


def inline(plan: Plan, tasks: Iterable[ShardTask]) -> Iterator[Event]:
    """Paint in the driver's own process."""
    worker = Worker(plan.request, device_of(plan, 0), plan.spool, plan.extra)
    for task in tasks:
        counts = list[Advanced]()
        summary = worker(task, _adder(counts))
        yield from counts
        yield ShardDone(summary)


def _adder(counts: list[Advanced]) -> Report:
    return lambda *counted: counts.append(Advanced(*counted))


def device_of(plan: Plan, number: int) -> str:
    """The device of a worker."""
    if plan.request.painting.device != "cuda" or plan.request.painting.dry_run:
        return "cpu"
    import torch

    return f"cuda:{number % torch.cuda.device_count()}"


@dataclass
class _Process:
    """A worker's process and what it is at.

    Attributes:
        task: the shard that it paints, or None.
        rows, errors: what it reported of that shard.
    """

    number: int
    process: SpawnProcess
    pipe: Connection
    task: ShardTask | None = None
    rows: int = 0
    errors: int = 0


class LocalEngine:
    """Keeps a number of processes at work.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._context = multiprocessing.get_context("spawn")
        self._running: list[_Process] = []
        self._deaths = 0

    def __call__(self, plan: Plan, tasks: Iterable[ShardTask]) -> Iterator[Event]:
        """Paint all tasks. See ``run.Engine``."""
        waiting, again = iter(tasks), list[ShardTask]()
        try:
            while True:
                self._employ(plan, waiting, again)
                if not self._running:
                    return
                yield from self._next_events(again)
        finally:
            self._end()

    def _employ(self, plan: Plan, waiting: Iterator[ShardTask], again: list[ShardTask]) -> None:
        """Give idle processes a shard, start one where one is missing, and let go what has nothing left to do."""
        for number in range(self.workers):
            worker = next((each for each in self._running if each.number == number), None)
            if worker is not None and worker.task is not None:
                continue
            task = again.pop() if again else next(waiting, None)
            if task is None:
                if worker is not None:
                    self._dismiss(worker)
                continue
            worker = worker or self._start(plan, number)
            worker.task, worker.rows, worker.errors = task, 0, 0
            try:
                worker.pipe.send(task)
            except OSError:  # it is dead, which _next_events sees, too
                pass

    def _start(self, plan: Plan, number: int) -> _Process:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(plan, number, theirs), daemon=True)
        process.start()
        theirs.close()
        self._running.append(_Process(number, process, ours))
        return self._running[-1]

    def _next_events(self, again: list[ShardTask]) -> Iterator[Event]:
        ready = wait([each.pipe for each in self._running])
        for worker in [each for each in self._running if each.pipe in ready]:
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._buried(worker, again)
                continue
            yield from self._read(worker, message)

    def _read(self, worker: _Process, message: Any) -> Iterator[Event]:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Advanced):
            worker.rows += message.rows
            worker.errors += message.errors
            self._deaths = 0
        else:
            worker.task = None
        yield message

    def _buried(self, worker: _Process, again: list[ShardTask]) -> Iterator[Event]:
        """Take back what a dead process was at. Its successor counts again what is in the journal."""
        worker.process.join()
        self._running.remove(worker)
        self._deaths += 1
        if self._deaths > MOST_DEATHS:
            raise GlideError(f"{self._deaths} workers died in a row (the last with {_status(worker.process)})")
        if worker.task is not None:
            again.append(worker.task)
            yield Advanced(-worker.rows, -worker.errors)
        yield WorkerDied(worker.task.shard if worker.task else None, _status(worker.process))

    def _dismiss(self, worker: _Process) -> None:
        self._running.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def _end(self) -> None:
        for worker in self._running:
            worker.process.terminate()
        for worker in self._running:
            worker.process.join(10)
            worker.process.kill()
        self._running.clear()


def _status(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def _work(plan: Plan, number: int, pipe: Connection) -> None:
    """A worker's process: paint the shards that come by the pipe, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver gets it, too, and ends this process
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_die_with_the_driver, daemon=True).start()
    reporter = _Reporter(pipe)
    try:
        worker = Worker(plan.request, device_of(plan, number), plan.spool, plan.extra)
        while True:
            summary = worker(pipe.recv(), reporter)
            reporter.flush()
            pipe.send(ShardDone(summary))
    except (EOFError, BrokenPipeError, Stopped):
        return
    except Exception as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the driver ends this process as soon as it knows
        if not isinstance(error, (GlideError, OSError)):
            traceback.print_exc()
        pipe.send(error)


def _stop(number: int, frame: object) -> None:
    raise Stopped


def _die_with_the_driver() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


class _Reporter:
    """Sends counts to the driver, not more often than it can show them."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._rows, self._errors, self._reason, self._last = pipe, 0, 0, "", 0.0

    def __call__(self, rows: int, errors: int, reason: str) -> None:
        self._rows += rows
        self._errors += errors
        self._reason = self._reason or reason
        if time.monotonic() - self._last > REPORT_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._pipe.send(Advanced(self._rows, self._errors, self._reason))
        self._rows, self._errors, self._reason, self._last = 0, 0, "", time.monotonic()
