"""The journal: notes are read as they were written, by every process of the run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import notes
from pytest_dbmigrate.runs.journal import Journal
from pytest_dbmigrate.runs.notes import ChoosingServer, ClusterChanged, DatabaseFailed, Note
from pytest_dbmigrate.runs.notes import StartingServer as Starting


def test_notes_are_read_on_from_where_the_reader_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.read() == ([], 0)
    journal.write(Starting("docker"))
    first, offset = journal.read()
    journal.write(ChoosingServer())
    assert (first, journal.read(offset)[0]) == ([Starting("docker")], [ChoosingServer()])


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(ChoosingServer())
    with open(tmp_path / "journal", "a", encoding="utf-8") as file:
        file.write('{"kind": "Starting')
        file.flush()
        before, offset = journal.read()
        file.write('Server", "kind_of_server": "url"}\n')
    assert (before, journal.read(offset)[0]) == ([ChoosingServer()], [Starting("url")])


def test_one_process_reads_what_another_writes(tmp_path: Path) -> None:
    Journal(tmp_path).write(Starting("docker"))
    assert Journal(tmp_path).read()[0] == [Starting("docker")]


def test_a_listener_is_called_after_each_note_of_its_own_process(tmp_path: Path) -> None:
    journal, heard = Journal(tmp_path), list[list[Note]]()
    journal.listen(lambda: heard.append(journal.read()[0]))
    journal.write(ChoosingServer())
    Journal(tmp_path).write(Starting("docker"))
    assert heard == [[ChoosingServer()]]


@pytest.mark.parametrize(
    "note",
    [
        ChoosingServer(),
        ClusterChanged(("role ann", "role bob"), is_sure=True, stays=False),
        Starting("größer\n"),
    ],
)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    line = notes.to_line(note)
    assert (notes.from_line(line), "\n" in line) == (note, False)


def test_an_error_is_read_with_its_class_and_its_data() -> None:
    error = ServerError("no server", tried=("docker",), todo=("install it",), log="none")
    read = notes.from_line(notes.to_line(DatabaseFailed(error)))
    assert isinstance(read, DatabaseFailed)
    assert (type(read.error), str(read.error)) == (ServerError, str(error))


def test_a_new_kind_of_note_is_one_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "KINDS", dict(notes.KINDS))

    @dataclasses.dataclass(frozen=True)
    class CoffeeMade(Note):
        """A note that nobody knows of but this test."""

        cups: int
        drinkers: tuple[str, ...] = ()

    journal = Journal(tmp_path)
    journal.write(CoffeeMade(2, ("ann", "bob")))
    assert journal.read()[0] == [CoffeeMade(2, ("ann", "bob"))]


def test_a_kind_of_note_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"^'CoffeeMade'$"):
        notes.from_line('{"kind": "CoffeeMade"}')
