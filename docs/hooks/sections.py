"""Lets the page of the library show this project's docstrings as they are meant.

griffe takes a section for text where no blank line is before it, and ``image, mask: ...`` for one argument.
"""

import re

import griffe

SECTION = re.compile(r"\n+(?=(?:Args|Attributes|Returns|Raises):\n)")
SHARED = re.compile(r"^ {4}(\w+(?:, \w+)+): (.*(?:\n {8}.*)*)", re.MULTILINE)


class Sections(griffe.Extension):
    """Puts a blank line before each section, and gives arguments that share a text a line each."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Change the docstring of a module, class, function or attribute that griffe has read."""
        if obj.docstring:
            obj.docstring.value = SHARED.sub(_each, SECTION.sub("\n\n", obj.docstring.value))


def _each(shared: re.Match[str]) -> str:
    names, text = shared.groups()
    return "\n".join(f"    {name}: {text}" for name in names.split(", "))
