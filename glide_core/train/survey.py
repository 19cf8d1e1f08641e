"""What a user's data set holds, in numbers, before it is trained on: in short at its start, in full by ``--check``."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..contact_sheet import write_sheet
from .dataset import FileDataset
from .decoding import Decoded, Sample, decode
from .folder import THREADS
from .left_out import LeftOut, Unusable

SHOWN, COLUMNS = 24, 6
SHOWN_SIDE = 128  # at least, so that the pictures of a base model can be seen
ON_SHEET, PRINTED = 60, 160  # characters of a caption
LONGEST = 3
WIDTHS = (64, 128, 256, 512, 1024)
AT_A_TIME = 64


class CountsTokens(Protocol):
    """A tokenizer of any model."""

    text_ctx: int

    def count(self, text: str) -> int:
        """How many tokens a text has, also those that are cut off."""


@dataclass
class Survey:
    """What was found in a data set.

    Attributes:
        place: what the user called the data set.
        side: of the pictures that the model learns, in pixels.
        background: the colour on which transparency is laid.
        tokens: how many tokens of a caption the model reads.
        left_out: what cannot be used, and why.
        total: the number of samples, or None where only reading all of them would tell.
        complete: all samples were looked at.
        seen: how many samples were looked at.
        usable: how many of those can be trained on.
        kinds: how many captions came from which kind of file.
        short_sides: how many pictures have which shorter side.
        small: how many are smaller than ``side``, and so are enlarged.
        cropped: how many lose more than half of their area outside of the centre square.
        transparent, damaged_exif, animated, empty, copies, cut: how many are so; copies are equal byte for byte to one
            before, and ``cut`` counts captions.
        longest: tokens, picture and text of the longest captions.
        shown: a few pictures with a caption, drawn at random.
    """

    place: str
    side: int
    background: str
    tokens: int
    left_out: LeftOut
    total: int | None
    complete: bool = True
    seen: int = 0
    usable: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    short_sides: Counter[int] = field(default_factory=Counter)
    small: int = 0
    cropped: int = 0
    transparent: int = 0
    damaged_exif: int = 0
    animated: int = 0
    empty: int = 0
    copies: int = 0
    cut: int = 0
    longest: list[tuple[int, str, str]] = field(default_factory=list)
    shown: list[tuple[np.ndarray, str]] = field(default_factory=list)

    @property
    def caption(self) -> str:
        """A caption that says something, as an example; "" where there is none."""
        return next((caption for _, caption in self.shown if caption), "")


def survey(data: FileDataset, tokenizer: CountsTokens, *, most: int | None = None, progress: bool = False) -> Survey:
    """Read a data set as a training does, and count.

    Args:
        tokenizer: of the model that will be trained.
        most: read at most so many samples, and do not look for copies.
        progress: show a bar.
    """
    found = Survey(data.place, data.side, data.background, tokenizer.text_ctx, data.left_out, data.total)
    rng, contents = np.random.default_rng(0), set()
    read = _decoded(data.in_order(most), data)
    for sample, decoded in tqdm(read, "reading", total=data.total, disable=not progress, unit="picture"):
        found.seen += 1
        if isinstance(decoded, Unusable):
            data.left_out.add(decoded.reason, decoded.name, decoded.detail)
            continue
        if most is None:
            digest = _digest(sample)
            found.copies += digest in contents
            contents.add(digest)
        _count(found, sample, decoded, tokenizer)
        _perhaps_show(found, decoded, rng)
    found.complete = most is None or found.seen == data.total or (data.total is None and found.seen < most)
    return found


def _digest(sample: Sample) -> bytes:
    content = sample.picture if isinstance(sample.picture, bytes) else sample.picture.read_bytes()
    return hashlib.blake2b(content, digest_size=8).digest()


def _decoded(samples: Iterable[Sample], data: FileDataset) -> Iterator[tuple[Sample, Decoded | Unusable]]:
    def read(sample: Sample) -> tuple[Sample, Decoded | Unusable]:
        try:
            return sample, decode(sample, data.side, data.background)
        except Unusable as error:
            return sample, error

    waiting = iter(samples)
    with ThreadPoolExecutor(THREADS) as pool:
        while some := list(islice(waiting, AT_A_TIME)):
            yield from pool.map(read, some)


def _count(found: Survey, sample: Sample, decoded: Decoded, tokenizer: CountsTokens) -> None:
    width, height = decoded.size
    found.usable += 1
    found.kinds[sample.kind] += 1
    found.short_sides[min(width, height)] += 1
    found.small += min(width, height) < found.side
    found.cropped += max(width, height) > 2 * min(width, height)
    found.transparent += decoded.transparent
    found.damaged_exif += decoded.damaged_exif
    found.animated += decoded.frames > 1
    found.empty += not decoded.captions
    for caption in decoded.captions:
        tokens = tokenizer.count(caption)
        found.cut += tokens > tokenizer.text_ctx
        heapq.heappush(found.longest, (tokens, sample.name, caption))
    while len(found.longest) > LONGEST:
        heapq.heappop(found.longest)


def _perhaps_show(found: Survey, decoded: Decoded, rng: np.random.Generator) -> None:
    """Keep each of the pictures so far with the same probability."""
    caption = decoded.captions[0] if decoded.captions else ""
    place = len(found.shown) if len(found.shown) < SHOWN else int(rng.integers(found.usable))
    if place < SHOWN:
        found.shown[place : place + 1] = [(decoded.pixels, caption)]


def write_shown(found: Survey, path: Path) -> None:
    """Write a contact sheet of the pictures in ``found.shown``, as the model will see them, with their captions.

    Raises:
        OSError: the file cannot be written.
    """
    enlarged = max(1, SHOWN_SIDE // found.side) * found.side
    pictures = [
        Image.fromarray(pixels).resize((enlarged, enlarged), Image.Resampling.NEAREST) for pixels, _ in found.shown
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(path, pictures, [_shortened(caption, ON_SHEET) or "(no words)" for _, caption in found.shown], COLUMNS)


def short_lines(found: Survey) -> list[str]:
    """The summary at the start of a training: what is used, what is left out, and what may be unwanted."""
    if found.complete:
        first = f"{found.place}: pictures to train on: {found.usable}"
    elif found.total is None:
        first = f"{found.place}: pictures to train on among the first {found.seen}: {found.usable}"
    else:
        first = f"{found.place}: pictures to train on among {found.seen} of {found.total}: {found.usable}"
    left_out = [f"left out: {found.left_out}"] if found.left_out.count else []
    return [_printable(line) for line in (first, *left_out, *_doubts(found))]


def lines(found: Survey) -> list[str]:
    """The whole summary."""
    kinds = ", ".join(f"{count} from {kind}" for kind, count in found.kinds.most_common())
    left_out = found.left_out.lines() or ["nothing"]
    text = [f"{found.place}: pictures to train on: {found.usable}"]
    if found.usable:
        text += [f"captions: {kinds}", f"shorter sides in pixels: {_distribution(found.short_sides)}"]
    text += [f"left out: {line}" for line in left_out] + _doubts(found)
    longest = sorted(found.longest, reverse=True)
    text += [
        f"longest captions: {tokens} tokens, {name}: {_shortened(words, PRINTED)}" for tokens, name, words in longest
    ]
    return [_printable(line) for line in text]


def _doubts(found: Survey) -> list[str]:
    """What is trained on, but perhaps not as its owner thinks."""
    counted = (
        (found.small, f"smaller than {found.side} pixels, which are enlarged"),
        (found.cropped, "more than twice as long as wide, of which less than half is inside of the centre square"),
        (found.transparent, f"transparent in parts, which are laid on {found.background} (--background)"),
        (found.damaged_exif, "with a damaged EXIF block, which are not turned even if they should be"),
        (found.animated, "of several frames, of which the first is taken"),
        (found.copies, "equal to others, byte for byte"),
        (found.empty, "with an empty caption, which are learned as pictures of no prompt"),
    )
    text = [f"pictures {what}: {count}" for count, what in counted if count]
    if found.cut:
        text.append(f"captions longer than the {found.tokens} tokens that the model reads, so that the end is cut: ")
        text[-1] += str(found.cut)
    return text


def _distribution(sides: Counter[int]) -> str:
    edges = [0, *WIDTHS, max(*WIDTHS, *sides) + 1]
    parts = []
    for low, high in zip(edges, edges[1:]):
        count = sum(number for side, number in sides.items() if low <= side < high)
        name = f"below {high}" if not low else f"{low} and more" if low == WIDTHS[-1] else f"{low} to {high - 1}"
        if count:
            parts.append(f"{name}: {count}")
    return ", ".join(parts)


def _shortened(caption: str, most: int) -> str:
    return caption if len(caption) <= most else f"{caption[:most]}..."


def _printable(line: str) -> str:
    """The line without what a terminal would obey: names and captions can hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
