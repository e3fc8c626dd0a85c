"""Fenced blocks of the documentation's pages: what they are, and the projects they make up.

A block whose first line is a comment with a file's name is that file; blocks of the same file
follow each other in it. Two HTML comments, which no reader sees, steer the rest:

- `<!-- project: NAME -->`: the blocks from here on make up a project of their own. Those ahead
  of the first such comment belong to every project of the page.
- `<!-- not run: REASON -->`, right above a block: it is parsed only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
_PIECE = re.compile(
    r"^ *<!-- (?P<word>project|not run): (?P<said>[^\n]+?) -->\n"
    r"|^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"^# (?P<name>[\w./-]+\.(?:py|ini|toml|template))(?:, [^\n]*)?\n")


@dataclass(frozen=True)
class Block:
    """One fenced block. `project` is empty above the page's first project."""

    page: str
    line: int
    language: str
    text: str
    project: str = ""
    not_run: str = ""

    @property
    def file(self) -> str:
        """The file that it is, or nothing."""
        match = _FILE.match(self.text)
        return match["name"] if match else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Return the fenced blocks of all pages in one of these languages; without any, all."""
    return [
        block
        for page in PAGES
        for block in of_page(page.relative_to(ROOT).as_posix())
        if not languages or block.language in languages
    ]


def of_page(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page, which is named from the root of the repository."""
    text = (ROOT / page).read_text(encoding="utf-8")
    project, reason = "", ""
    for match in _PIECE.finditer(text):
        if match["word"] == "project":
            project = match["said"]
        elif match["word"]:
            reason = match["said"]
        else:
            line = text.count("\n", 0, match.start()) + 1
            yield Block(page, line, match["language"], dedent(match["text"]), project, reason)
            reason = ""


def projects(page: str) -> list[str]:
    """Return the names of a page's projects; it has one without a name if it names none."""
    named = [block.project for block in of_page(page) if block.project and not block.not_run]
    return list(dict.fromkeys(named)) or [""]


def files(page: str, project: str = "") -> dict[str, str]:
    """Return the files of one of a page's projects, by name."""
    found: dict[str, str] = {}
    for block in of_page(page):
        if block.file and not block.not_run and block.project in ("", project):
            text = found.get(block.file, "")
            found[block.file] = f"{text}\n\n{block.text}" if text else block.text
    return found
