"""The sections of a study: which pictures answer a question, and how they lie side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .axes import Axis, Value, label
from .cells import Cell
from .labels import plain_number


@dataclass(frozen=True)
class Placed:
    """A cell in its place.

    Attributes:
        grid: the title of the grid that it lies in.
        row, column: the labels of its place there.
        point: the label on the plots' axis.
        series: the line of the plots; "" where there is one alone.
    """

    cell: Cell
    grid: str
    row: str
    column: str
    point: str
    series: str = ""


@dataclass(frozen=True)
class Tally:
    """What to count in the pictures of a section: how many of them show each of these labels."""

    prompt: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One question and the pictures that answer it.

    Attributes:
        name: unique in a study; it is the address of the section in the page.
        text: the question and how to look at the pictures, for the reader.
        axis: what the points of the plots are.
        numbers: the points as numbers, where they are ones.
        wall: the pictures lie one after the other, without labels.
    """

    name: str
    title: str
    text: str
    axis: str
    placed: tuple[Placed, ...]
    numbers: dict[str, float] = field(default_factory=dict)
    tally: Tally | None = None
    wall: bool = False


def guidance(base: Cell, prompts: Sequence[str], values: Sequence[Value], seeds: Sequence[int]) -> Section:
    """What the guidance scale does."""
    return _over(
        "guidance",
        "Guidance scale",
        "How closely the picture follows the prompt. 1 follows it loosely; high values give harsher colours and less "
        "variety, and 0 does not read the prompt at all.",
        Axis("guidance", tuple(values)),
        base,
        prompts,
        seeds,
    )


def temperature(base: Cell, prompts: Sequence[str], values: Sequence[Value], seeds: Sequence[int]) -> Section:
    """What the temperature of the upsampler does; the small pictures stay the same."""
    return _over(
        "temperature",
        "Upsample temperature",
        "How strong the noise is that the upsampler starts from. Below 1 pictures are smoother, above 1 grainier. The "
        "small picture is the same in each row.",
        Axis("temperature", tuple(values)),
        base,
        prompts,
        seeds,
    )


def _over(
    name: str, title: str, text: str, axis: Axis, base: Cell, prompts: Sequence[str], seeds: Sequence[int]
) -> Section:
    """A grid for each prompt: the values from left to right, the seeds from top to bottom."""
    placed = tuple(
        Placed(
            base.with_value("prompt", prompt).with_value("seed", seed).with_value(axis.name, value),
            grid=prompt,
            row=f"seed {seed}",
            column=column,
            point=column,
            series=prompt if len(prompts) > 1 else "",
        )
        for prompt in prompts
        for seed in seeds
        for value, column in zip(axis.values, map(_short, axis.values))
    )
    return Section(name, title, text, title.lower(), placed, _numbers(axis))


def steps(
    base: Cell, prompts: Sequence[str], values: Sequence[Value], samplers: Sequence[str], seeds: Sequence[int]
) -> Section:
    """What the number of steps does, for several samplers."""
    from .cells import step_count

    placed = tuple(
        Placed(
            base.with_value("prompt", prompt)
            .with_value("seed", seed)
            .with_value("sampler", sampler)
            .with_value("steps", value),
            grid=prompt,
            row=sampler if len(seeds) == 1 else f"{sampler}, seed {seed}",
            column=str(value),
            point=str(value),
            series=sampler if len(prompts) == 1 else f"{sampler}, {prompt}",
        )
        for prompt in prompts
        for sampler in samplers
        for seed in seeds
        for value in values
    )
    text = (
        "How many steps the base model takes from noise to picture. More are slower; where a sampler needs no more, "
        "its pictures stop changing."
    )
    numbers = {str(value): float(step_count(str(value))) for value in values}
    return Section("steps", "Steps and samplers", text, "steps", placed, numbers)


def styles(base: Cell, subjects: Sequence[str], patterns: Sequence[str], seeds: Sequence[int]) -> Section:
    """Which styles the model knows; in each pattern {} stands for the subject."""
    placed = tuple(
        Placed(
            base.with_value("prompt", pattern.replace("{}", subject)).with_value("seed", seed),
            grid=subject,
            row=pattern.replace("{}", "…"),
            column=f"seed {seed}",
            point=pattern.replace("{}", "…"),
            series=subject if len(subjects) > 1 else "",
        )
        for subject in subjects
        for pattern in patterns
        for seed in seeds
    )
    text = "The same subject in several styles: which of them does the model know, and does the subject survive?"
    return Section("styles", "Styles", text, "style", placed)


def novelty(base: Cell, prompts: Sequence[str], seeds: Sequence[int]) -> Section:
    """What the model makes of things that it has never seen together."""
    placed = tuple(
        Placed(
            base.with_value("prompt", prompt).with_value("seed", seed),
            grid="",
            row=prompt,
            column=f"seed {seed}",
            point=prompt,
        )
        for prompt in prompts
        for seed in seeds
    )
    text = "Things that the training hardly ever showed together: does the model compose them, or fall back on one?"
    return Section("novelty", "Things never seen together", text, "prompt", placed)


def bias(base: Cell, prompt: str, labels: Sequence[str], seeds: Sequence[int], name: str = "bias") -> Section:
    """What the model draws where the prompt leaves it open."""
    placed = tuple(
        Placed(
            base.with_value("prompt", prompt).with_value("seed", seed),
            grid=prompt,
            row="",
            column=f"seed {seed}",
            point=prompt,
        )
        for seed in seeds
    )
    text = f"The prompt “{prompt}” leaves open which of these it is: {', '.join(labels)}. How often is it each of them?"
    if base.sampling.noise_offset:
        offset = ",".join(map(str, base.sampling.noise_offset))
        text += f" The pictures start from noise with low frequencies, as in the model's training: {offset}."
    title = f"Bias: {prompt}"
    return Section(name, title, text, "prompt", placed, tally=Tally(prompt, tuple(labels)), wall=True)


def two_axes(base: Cell, x: Axis, y: Axis | None, seeds: Sequence[int]) -> Section:
    """Any axis from left to right, another one from top to bottom, with a grid for each seed."""
    rows: list[tuple[str, Cell]] = [("", base)]
    if y is not None:
        rows = [(row, base.with_value(y.name, value)) for row, value in zip(y.labels, y.values)]
    seeded = "seed" in (x.name, y.name if y else "")
    placed = tuple(
        Placed(
            (cell if seeded else cell.with_value("seed", seed)).with_value(x.name, value),
            grid=", ".join(part for part in (base.prompt, "" if seeded or len(seeds) == 1 else f"seed {seed}") if part),
            row=row,
            column=column,
            point=column,
            series=row,
        )
        for seed in ([base.seed] if seeded else seeds)
        for row, cell in rows
        for value, column in zip(x.values, x.labels)
    )
    title = f"{x.name} and {y.name}" if y else x.name
    numbers = {label(x.name, value): number for value, number in zip(x.values, _numbers(x).values())}
    return Section("axes", title[0].upper() + title[1:], f"Each column has another {x.name}.", x.name, placed, numbers)


def _short(value: Value) -> str:
    return plain_number(value) if isinstance(value, float) else str(value)


def _numbers(axis: Axis) -> dict[str, float]:
    """The values by their short labels where all are numbers, else {}."""
    numeric = axis.name in ("guidance", "clip-guidance", "temperature")
    return {_short(value): float(value) for value in axis.values} if numeric else {}
