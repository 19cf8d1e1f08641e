"""The engine of many machines: a pool of Ray actors that keep their models, fed by Ray Data, the dead ones replaced."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..errors import GlideError
from .packages import need
from .request import ShardTask
from .run import Advanced, Event, Plan, ShardDone
from .worker import Worker

LARGEST_POOL = 10_000  # actors, where no number is given: as many as the cluster has room for


class RayEngine:
    """Paints in a Ray cluster.

    Args:
        address: of the cluster, "auto", or None to start one on this machine.
        workers: how many actors there are at most, or None for as many as there is room for.
    Raises:
        MissingPackageError: Ray is not installed.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to its makers
        self._ray, self._data = need("ray", "ray"), need("ray.data", "ray")
        self.address, self.workers = address, workers

    def __call__(self, plan: Plan, tasks: Iterable[ShardTask]) -> Iterator[Event]:
        """Paint all tasks, see ``run.Engine``; they are read again on the driver's node, so they can be pickled."""
        if not self._ray.is_initialized():
            try:
                self._ray.init(address=self.address, log_to_driver=False, logging_level="warning")
            except (ConnectionError, ValueError) as error:
                raise GlideError(f"--address {self.address}: {error}") from error
        self._one_shard_a_block()
        on_gpu = plan.request.painting.device == "cuda" and not plan.request.painting.dry_run
        painted = self._data.read_datasource(_source(tasks), override_num_blocks=1).map_batches(
            _Actor,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_args=(plan, "cuda" if on_gpu else "cpu"),
            compute=self._data.ActorPoolStrategy(min_size=1, max_size=self.workers or LARGEST_POOL),
            num_gpus=1 if on_gpu else 0,
            num_cpus=plan.request.painting.threads,
        )  # Ray Data restarts an actor that dies, and gives its shard to another one, without end
        for row in painted.iter_rows():
            outcome = pickle.loads(row["outcome"])
            if isinstance(outcome, Exception):
                raise outcome
            reason = next((row["error"] for row in outcome["error_rows"]), "")
            yield Advanced(outcome["rows"], outcome["errors"], reason)
            yield ShardDone(outcome)

    def _one_shard_a_block(self) -> None:
        """Blocks are what Ray shares out. By default it would put many shards into one."""
        context = self._data.DataContext.get_current()
        context.target_min_block_size = 1
        context.target_max_block_size = 1


def _source(tasks: Iterable[ShardTask]) -> Any:
    """A source of Ray Data that streams the tasks, one a block, as fast as they are painted."""
    import pyarrow

    base: Any = need("ray.data", "ray").Datasource
    make_task: Any = need("ray.data", "ray").ReadTask
    metadata: Any = need("ray.data.block", "ray").BlockMetadata

    def blocks() -> Iterator[Any]:
        for task in tasks:
            yield pyarrow.table({"task": pyarrow.array([pickle.dumps(task)], pyarrow.large_binary())})

    class Shards(base):  # type: ignore[misc]  # Ray has no types for it
        supports_distributed_reads = False  # the input may be a file of this machine

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *arguments: object, **options: object) -> list[Any]:
            return [make_task(blocks, metadata(None, None, None))]

    return Shards()


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, plan: Plan, device: str) -> None:
        self._worker: Worker | None = None
        self._make: Callable[[], Worker] = lambda: Worker(plan.request, device, plan.spool, plan.extra)

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        outcomes = [self._painted(pickle.loads(task)) for task in batch["task"].to_pylist()]
        return pyarrow.table({"outcome": pyarrow.array([pickle.dumps(each) for each in outcomes], pyarrow.binary())})

    def _painted(self, task: ShardTask) -> Any:
        """The content of the shard's .json, or the error that ends the run."""
        try:
            self._worker = self._worker or self._make()
            return self._worker(task, lambda rows, errors, reason: None)
        except (GlideError, OSError) as error:
            return error
