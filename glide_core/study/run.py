"""A whole study: the pictures are made, measured and counted, and the table and the page are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..errors import OptionError
from ..scoring import Scorer
from . import counting, page, table
from .cells import Cell, Machine
from .figures import is_embedded, measured, thumbnail
from .making import BATCH, Models, machine_of, make, stages_of
from .results import result_of
from .sections import Section
from .store import Store

BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed} passed, {remaining} left"


@dataclass(frozen=True)
class Study:
    """A study on the machine that it runs on.

    Attributes:
        sections: what to ask.
        folder: for the pictures, the table and the page.
        device, dtype: where the models run; a name of ``device.DTYPES``.
        scorer: for CLIP scores and zero-shot counts, or None.
        scored_by: what the page calls it.
        batch: pictures that are painted together.
        notes: how the study was made, for the page.
    """

    sections: Sequence[Section]
    folder: Path
    device: torch.device
    dtype: str
    scorer: Scorer | None
    scored_by: str
    notes: page.Notes
    batch: int = BATCH

    @property
    def cells(self) -> list[Cell]:
        """All cells, each once."""
        return cells_of(self.sections)


@dataclass(frozen=True)
class Outcome:
    """What a study wrote, and what went wrong.

    Attributes:
        files: the page first.
        errors: for each cell without a picture.
        made: how many pictures there are.
    """

    files: tuple[Path, ...]
    errors: Mapping[Cell, str]
    made: int


def cells_of(sections: Sequence[Section]) -> list[Cell]:
    """All cells of some sections, each once."""
    return list(dict.fromkeys(placed.cell for section in sections for placed in section.placed))


def run(study: Study) -> Outcome:
    """Make what is not there yet, and write the table and the page.

    Raises:
        OptionError: a section wants labels counted, and nothing here can tell them apart.
        OSError: a file cannot be written.
    """
    require_counter(study.sections, study.scorer)
    store = Store(study.folder, machine_of(study.cells, study.device, study.dtype))
    errors = _make(study, store)
    made = [cell for cell in study.cells if cell not in errors]
    figures = measured(made, store, study.scorer)
    thumbnails = {cell: thumbnail(store.pixels(cell)) for cell in made}
    results = [
        result_of(section, figures, errors, thumbnails, _counted(study, store, section)) for section in study.sections
    ]
    files = table.write(table.rows(results, store), study.folder) + table.write_counts(results, study.folder)
    notes = replace(study.notes, machine={**study.notes.machine, **_digests(store.machine)})
    return Outcome((page.write(results, store, notes, study.folder), *files), errors, len(made))


def require_counter(sections: Sequence[Section], scorer: Scorer | None) -> None:
    """Raise OptionError where labels cannot be told apart for want of a CLIP."""
    for section in sections:
        if section.tally and scorer is None and _attribute(section) is None:
            raise OptionError(
                f"--labels {' '.join(section.tally.labels)}: telling them apart needs a CLIP: give --clip or --scorer"
            )


def _make(study: Study, store: Store) -> dict[Cell, str]:
    missing = [cell for cell in stages_of(study.cells) if not store.has(cell)]
    if not missing:
        return {}
    models = Models(study.device, study.dtype)
    total = sum(cell.cost for cell in missing)
    with tqdm(total=total, desc=f"painting {len(missing)} pictures", bar_format=BAR, smoothing=0.1) as bar:
        errors = make(study.cells, store, models, study.batch, bar.update)
    return {cell: error for cell, error in errors.items() if cell in set(study.cells)}


def _counted(study: Study, store: Store, section: Section) -> tuple[Sequence[counting.Count], str]:
    """The counts of a section's labels, and who told them apart."""
    cells = [placed.cell for placed in section.placed if store.has(placed.cell)]
    if section.tally is None or not cells:
        return (), ""
    labels, attribute = section.tally.labels, _attribute(section)
    if attribute is not None:
        found = counting.seen_by_judge(map(store.pixels, cells), labels, attribute)
        known = counting.known_shares(section.tally.prompt, labels, attribute)
        return counting.counts(found, labels, known), "a program that knows the embedded models' scenes"
    assert study.scorer is not None  # ``require_counter``
    found = [
        label
        for some in _in_tens(cells)
        for label in counting.seen_by_scorer(study.scorer, store.samples(some), labels)
    ]
    counted_by = f"{study.scored_by}, zero-shot, whose mistakes are not part of the intervals"
    return counting.counts(found, labels, None), counted_by


def _attribute(section: Section) -> str | None:
    """What the judge of the scenes can count of a section, or None."""
    if section.tally is None or not all(is_embedded(placed.cell) for placed in section.placed):
        return None
    return counting.attribute_of(section.tally.labels)


def _in_tens(cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    for start in range(0, len(cells), 10):
        yield cells[start : start + 10]


def _digests(machine: Machine) -> dict[str, str]:
    return {f"SHA-256 of {name}": digest or "not found" for name, digest in machine.digests.items()}
