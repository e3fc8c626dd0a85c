"""The narrator: every kind of note is told, or kept for the summary."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.config import create_terminal_writer

from pytest_dbmigrate.errors import DatabaseError
from pytest_dbmigrate.plugin.narrator import Narrator
from pytest_dbmigrate.runs import notes
from pytest_dbmigrate.runs.notes import Note
from pytest_dbmigrate.runs.run import Run

SAMPLES: dict[str, Any] = {
    "str": "some text",
    "int": 2,
    "float": 0.5,
    "bool": True,
    "tuple[str, ...]": ("one", "two"),
    "DbmigrateError": DatabaseError("no database"),
}


TOLD = """\
dbmigrate: some text, ready in 0.50 s; some text
dbmigrate: waiting for some text, which applies migrations ...
dbmigrate: environment some text
dbmigrate: before: some text (500 ms)
dbmigrate: 1/2 some text (500 ms)
dbmigrate: env.py and the migrations printed:
  some text
dbmigrate: server-wide objects made by the migrations: one, two
dbmigrate: they stay when the run ends: guard them, see docs/reference/migrations.md (Roles)
dbmigrate: some text: some text; 2 revisions applied in 0.50 s; not compared with the models: \
some text
dbmigrate: some text
dbmigrate: no database (explained at the end)
============================ dbmigrate: no database ============================
no database
================ dbmigrate: the schema differs from the models =================
- one
- two
======== dbmigrate: the baseline names differences that no longer occur ========
- one
- two
remove them from some text, or run once with --db-accept-drift
======================= dbmigrate: connections left open =======================
some text
  one
  two
========================== dbmigrate: kept databases ===========================
some text
remove them with: python -m pytest_dbmigrate stop
""".splitlines()  # the other notes are told on a terminal alone, where a line can be replaced


def sample(kind: type[Note]) -> Note:
    """Return a note of a kind, with something in each field."""
    return kind(**{it.name: SAMPLES[str(it.type)] for it in dataclasses.fields(kind)})


@dataclasses.dataclass
class Telling:
    """A narrator that follows a run, in a very verbose pytest."""

    run: Run
    narrator: Narrator
    terminal: Any
    screen: io.StringIO = dataclasses.field(default_factory=io.StringIO)

    def told(self) -> list[str]:
        """Return the lines that have been written."""
        return self.screen.getvalue().splitlines()


@pytest.fixture
def telling(pytester: pytest.Pytester, runs_folder: Path) -> Iterator[Telling]:
    """A narrator whose run has an empty journal."""
    config = pytester.parseconfigure("-vv", "-p", "no:asyncio")
    narrator = Narrator(config, shows=True, is_captured=False)
    terminal = config.pluginmanager.getplugin("terminalreporter")
    found = Telling(Run.start("shop"), narrator, terminal)
    terminal._tw = create_terminal_writer(config, found.screen)
    narrator.follow(found.run)
    yield found
    found.run.finish()


def test_every_kind_of_note_is_told(telling: Telling) -> None:
    for kind in notes.KINDS.values():
        telling.run.journal.write(sample(kind))
    telling.narrator.summarize(telling.terminal)
    assert telling.told() == TOLD


def test_a_kind_of_note_without_words_is_an_error(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "KINDS", dict(notes.KINDS))

    @dataclasses.dataclass(frozen=True)
    class CoffeeMade(Note):
        """A note that nobody has words for."""

        cups: int

    with pytest.raises(TypeError, match=r"^the narrator has no words for .*CoffeeMade\(cups=2\)$"):
        telling.run.journal.write(CoffeeMade(2))
