"""Lists of prompts: a text file with a prompt a line, or JSON lines."""

from __future__ import annotations

import codecs
import json
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from .errors import GlideWarning, OptionError

SEPARATOR = "###"
# What other tools read as options or weights inside of a prompt, and GLIDE would read as words.
MOST_PROMPTS = 10_000  # that a text with alternatives may stand for
BRACES = re.compile(r"([{|}])")
FOREIGN = re.compile(r"(^|\s)--[a-z]|<(lora|lyco|hypernet|embedding):|\bBREAK\b|\",\s*seed\b")


@dataclass(frozen=True)
class Prompt:
    """One line of a list.

    Attributes:
        text: what to draw.
        negative: what to lead away from, or None where the line does not say.
        seed: or None where the line does not say.
    """

    text: str
    negative: str | None = None
    seed: int | None = None


def read_prompts(path: Path) -> list[Prompt]:
    """Read a list; "-" is the standard input.

    Blank lines and lines that begin with # are passed over. A line is ``PROMPT``, ``PROMPT ### NEGATIVE``, ``PROMPT ###
    NEGATIVE ### SEED``, or a JSON object with "prompt" and perhaps "negative" and "seed". The text is UTF-8, or UTF-16
    with its byte order mark. Warns of lines in another tool's syntax.

    Raises:
        OptionError: the file is no text or holds no prompt, or a line is wrong; the message names the line.
        OSError: the file cannot be read.
    """
    content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    prompts = []
    for number, line in enumerate(_decoded(content, path).splitlines(), start=1):
        line = line.strip()
        if line and not line.startswith("#"):
            prompts.append(parse_prompt(line, f"--prompts {path}, line {number}"))
    if not prompts:
        raise OptionError(f"--prompts {path}: there is no prompt in it, write one per line")
    return prompts


def _decoded(content: bytes, path: Path) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    name = "UTF-16" if wide else "UTF-8"
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise OptionError(f"--prompts {path}, line {line}: this is not {name} text ({error.reason})") from error
    if "\0" in text:
        raise OptionError(f"--prompts {path}: this is not {name} text (it holds null characters); save it as UTF-8")
    return text


def parse_prompt(line: str, place: str) -> Prompt:
    """Read one line that is neither blank nor a comment, see ``read_prompts``.

    Args:
        place: what errors and warnings call the line.
    Raises:
        OptionError: the line is wrong.
    """
    if line.startswith("{"):
        return _from_json(line, place)
    if FOREIGN.search(line):
        warnings.warn(f"{place} looks like another tool's syntax, and is read as words: {line}", GlideWarning, 2)
    parts = [part.strip() for part in line.split(SEPARATOR)]
    if len(parts) > 3:
        raise OptionError(f"{place}: there are {len(parts) - 1} times {SEPARATOR}, at most 2 are understood")
    return Prompt(
        parts[0],
        parts[1] if len(parts) > 1 else None,
        _seed(parts[2], place) if len(parts) > 2 else None,
    )


def prompts_of_text(text: str, place: str) -> list[Prompt]:
    """Read a text with a prompt a line, as in ``read_prompts``, in which {red|blue} stands for a prompt with each.

    Alternatives may lie inside of others, in a negative too, and be empty. The last ones of a line change first.

    Args:
        place: what errors call the text, such as the name of an input.
    Raises:
        OptionError: there is no prompt in it, too many, or a line is wrong; the message names the line.
    """
    prompts: list[Prompt] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line, of_line = line.strip(), f"{place}, line {number}"
        if line and not line.startswith("#"):
            prompts += [parse_prompt(each, of_line) for each in _alternatives(line, of_line)]
        if len(prompts) > MOST_PROMPTS:
            raise OptionError(f"{of_line}: there are more than {MOST_PROMPTS} prompts up to here")
    if not prompts:
        raise OptionError(f"{place}: there is no prompt in it, write one per line")
    return prompts


def _alternatives(line: str, place: str) -> list[str]:
    """All lines that one with {a|b} stands for; a JSON object is left as it is."""
    if line.startswith("{") and line.endswith("}") and '"prompt"' in line:
        return [line]
    waiting: list[tuple[list[str], list[str]]] = []  # of each { that is open: what stands before it, finished choices
    here, choices = [""], list[str]()
    for piece in BRACES.split(line):
        if piece == "{":
            waiting.append((here, choices))
            here, choices = [""], []
        elif piece == "|" and waiting:
            here, choices = [""], choices + here
        elif piece == "}" and waiting:
            before, outer = waiting.pop()
            inside = choices + here
            _require_few(len(before) * len(inside), place)
            here, choices = [start + choice for start in before for choice in inside], outer
        elif piece == "}":
            raise OptionError(f"{place}: there is a }} without its {{: {line[:40]}")
        else:
            here = [start + piece for start in here]
    if waiting:
        raise OptionError(f"{place}: there is a {{ without its }}: {line[:40]}")
    return list(dict.fromkeys(" ".join(each.split()) for each in here))


def _require_few(count: int, place: str) -> None:
    if count > MOST_PROMPTS:
        raise OptionError(f"{place}: its alternatives stand for more than {MOST_PROMPTS} prompts")


def _from_json(line: str, place: str) -> Prompt:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{place}: this is not a JSON object ({error})") from error
    unknown = sorted(set(row) - {"prompt", "negative", "seed"})
    if unknown or not isinstance(row.get("prompt"), str) or not isinstance(row.get("negative", ""), str):
        raise OptionError(
            f'{place}: give "prompt" and perhaps "negative" and "seed", here are {", ".join(row) or "none"}'
        )
    return Prompt(row["prompt"], row.get("negative"), _seed(row["seed"], place) if "seed" in row else None)


def _seed(value: object, place: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,20}", str(value)):
        raise OptionError(f"{place}: the seed {value!r} is not a whole number")
    return int(str(value))
