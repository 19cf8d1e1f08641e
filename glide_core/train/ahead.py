"""What each step is trained on, made one step ahead in a thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from .dataset import Dataset

Content = TypeVar("Content")


class Ahead(Generic[Content]):
    """Gives out what ``make`` makes for each step, while the thread makes that of the next step.

    Args:
        make: the content of a step, which depends on the step's number and the data's position alone.
        data: what ``make`` reads.
        steps: the number of all steps.

    Attributes:
        position: of the data, after what was given out last.
    """

    def __init__(self, make: Callable[[int], Content], data: Dataset, steps: int) -> None:
        self.make, self.data, self.steps = make, data, steps
        self.pool = ThreadPoolExecutor(1)
        self.started: dict[int, Future[tuple[Content, int]]] = {}
        self.position = data.position

    def __call__(self, step: int) -> Content:
        """The content of a step. Raises DatasetError where the data set has no readable sample."""
        content, self.position = self._future(step).result()
        self.started.pop(step)
        if step + 1 < self.steps:
            self._future(step + 1)
        return content

    def seek(self, position: int) -> None:
        """Continue at the ``position`` after the content of the last step."""
        self.data.seek(position)
        self.position = position

    def close(self) -> None:
        """Stop the thread."""
        self.pool.shutdown(cancel_futures=True)

    def _future(self, step: int) -> Future[tuple[Content, int]]:
        if step not in self.started:
            self.started[step] = self.pool.submit(self._made, step)
        return self.started[step]

    def _made(self, step: int) -> tuple[Content, int]:
        return self.make(step), self.data.position
