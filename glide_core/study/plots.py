"""The plots of a study as SVG, in the colours of the page that they lie in: light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import MissingPackageError
from .counting import Count
from .figures import FIGURES
from .results import Point, SectionResult

INSTALL = 'pip install "glide-nodes[study]"'
INK, FAINT = "#010203", "#040506"  # become the page's own colours of text and lines
SERIES = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#eab308", "#06b6d4", "#78716c")
MARKS = "os^Dv<>P"
WIDTH, HEIGHT = 4.6, 2.9  # inches
LONGEST = 34  # characters of a label
LEGEND_LINE = 0.18  # inches
LEGEND_LABEL = 14  # characters, up to which labels stand side by side
TICK_GAP = 0.05  # of the axis; closer values share a tick
MOST_LABELS = 40  # of the categories of a plot


def require_packages() -> None:
    """Raise MissingPackageError unless matplotlib and Jinja are installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(f"the page of a study needs {error.name}: {INSTALL}") from error


def plot(result: SectionResult, name: str) -> str:
    """The plot of one figure over the points of a section: an SVG element."""
    section, figure = result.section, FIGURES[name]
    description = alt(result, name)
    points = [point for point in result.points if name in point.means]
    unit = f" ({figure.unit})" if figure.unit else ""
    with _settings(description):
        if section.numbers and len({point.point for point in points}) > 1:
            return _svg(_lines(points, name, section.numbers, section.axis, figure.title + unit), description)
        return _svg(_dots(points, name, figure.title + unit), description)


def alt(result: SectionResult, name: str) -> str:
    """What a plot shows, in words."""
    figure = FIGURES[name]
    shown = [point for point in result.points if name in point.means]
    values = [
        f"{', '.join(part for part in (point.series, point.point) if part)}: "
        f"{point.means[name]:.{figure.decimals}f}{figure.unit}"
        for point in shown[:MOST_LABELS]
    ]
    return f"{figure.title} by {result.section.axis}. {'; '.join(values)}."


def histogram(counts: Sequence[Count]) -> str:
    """How often each label was seen, with the interval of its share, and the shares to compare with: an SVG element."""
    description = histogram_alt(counts)
    with _settings(description):
        return _svg(_bars(counts), description)


def _bars(counts: Sequence[Count]) -> Any:
    figure, axes = _figure(1.1 + 0.34 * len(counts))
    places = list(range(len(counts)))[::-1]
    axes.barh(places, [100 * c.share for c in counts], height=0.55, color=SERIES[0], alpha=0.55, label="seen")
    for place, count in zip(places, counts):
        axes.plot([100 * count.low, 100 * count.high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.axvline(100 * counts[0].uniform, color=INK, linestyle=(0, (4, 3)), linewidth=1, label="uniform")
    known = [(100 * count.known, place) for place, count in zip(places, counts) if count.known is not None]
    if known:
        axes.plot(*zip(*known), "D", color=SERIES[1], markersize=6, label="in the training data")
    axes.set_yticks(places, [_short(count.label) for count in counts])
    axes.set_xlim(left=0)
    axes.set_xlabel("share of the pictures (%), with its 95 % interval")
    _legend(axes, figure)
    return figure


def histogram_alt(counts: Sequence[Count]) -> str:
    """What a histogram shows, in words."""
    return "; ".join(
        f"{count.label}: {100 * count.share:.0f} %, 95 % interval {100 * count.low:.0f} to {100 * count.high:.0f} %"
        + ("" if count.known is None else f", in the training data {100 * count.known:.0f} %")
        for count in counts
    )


def _lines(points: Sequence[Point], name: str, numbers: Mapping[str, float], x_title: str, y_title: str) -> Any:
    """Numbers from left to right; the band is from the least to the greatest picture."""
    figure, axes = _figure(HEIGHT)
    series = list(dict.fromkeys(point.series for point in points))
    for k, each in enumerate(series):
        some = sorted((p for p in points if p.series == each), key=lambda point: numbers[point.point])
        x = [numbers[point.point] for point in some]
        colour = SERIES[k % len(SERIES)]
        axes.plot(x, [p.means[name] for p in some], marker=MARKS[k % len(MARKS)], color=colour, label=_short(each))
        if all(name in point.lows for point in some):
            axes.fill_between(x, [p.lows[name] for p in some], [p.highs[name] for p in some], color=colour, alpha=0.14)
    values = sorted({numbers[point.point] for point in points})
    if values[0] > 0 and values[-1] / values[0] >= 8:
        axes.set_xscale("log")
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    elif len(values) <= 8:
        ticks = _apart(values)
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    if series != [""]:
        _legend(axes, figure)
    return figure


def _apart(values: Sequence[float]) -> list[float]:
    """The values, ascending, without those that are too close to the one before for a label of their own."""
    ticks = [values[0]]
    for value in values[1:]:
        if value - ticks[-1] >= TICK_GAP * (values[-1] - values[0]):
            ticks.append(value)
    return ticks


def _dots(points: Sequence[Point], name: str, title: str) -> Any:
    """Categories from top to bottom; the line is from the least to the greatest picture."""
    labels = list(dict.fromkeys(point.point for point in points))[:MOST_LABELS]
    series = list(dict.fromkeys(point.series for point in points))
    figure, axes = _figure(0.9 + max(0.3, 0.14 * len(series)) * len(labels))
    places = {label: len(labels) - k for k, label in enumerate(labels)}
    for k, each in enumerate(series):
        some = [point for point in points if point.series == each and point.point in places]
        shift, colour = 0.5 * ((k + 0.5) / len(series) - 0.5), SERIES[k % len(SERIES)]
        y = [places[point.point] - shift for point in some]
        axes.plot([p.means[name] for p in some], y, MARKS[k % len(MARKS)], color=colour, label=_short(each))
        for point, place in zip(some, y):
            if name in point.lows:
                ends = [point.lows[name], point.highs[name]]
                axes.plot(ends, [place, place], color=colour, linewidth=3, alpha=0.3, solid_capstyle="round")
    axes.set_yticks(list(places.values()), [_short(label) for label in places])
    axes.set_xlabel(title)
    axes.margins(x=0.08)
    axes.set_ylim(0.4, len(labels) + 0.6)
    if series != [""]:
        _legend(axes, figure)
    return figure


def _figure(height: float) -> tuple[Any, Any]:
    """A figure of its own, without pyplot, which would keep it."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, which="both")
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=FAINT, linewidth=0.6, alpha=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes: Any, figure: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 3 if max(map(len, labels)) < LEGEND_LABEL else 1
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * -(-len(labels) // columns))
    figure.legend(handles, labels, loc="outside upper left", frameon=False, labelcolor=INK, fontsize=8.5, ncols=columns)


def _short(text: str) -> str:
    """A label that leaves room for the plot."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


@contextmanager
def _settings(description: str) -> Iterator[None]:
    """How matplotlib writes: text as text, in which $ is no formula, and equal names for equal plots in each run."""
    import matplotlib

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": description, "font.size": 9, "text.parse_math": False}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib's fonts lack letters that the reader's have
        yield


def _svg(figure: Any, description: str) -> str:
    """The figure as an SVG element without what differs from run to run."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"\s*\n\s*", " ", svg)
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--line)")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(description)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace("\n", " ")
