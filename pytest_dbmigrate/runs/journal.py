"""The journal of a run: what its processes tell each other, and the user, line by line.

Any process of the run appends notes; the one that has the terminal reads on from where it
was and tells them. It is a file, as there may be no server yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pytest_dbmigrate.runs import notes
from pytest_dbmigrate.runs.notes import Note

_NEW = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Journal:
    """One process's view of the journal in a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal"
        self._listener: Callable[[], None] = lambda: None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each note that this process writes."""
        self._listener = listener

    def write(self, note: Note) -> None:
        """Append a note.

        It is a single write to a file opened with O_APPEND: lines of several processes do
        not mix, without a lock.
        """
        line = notes.to_line(note) + "\n"
        file = os.open(self._path, _NEW, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
        self._listener()

    def read(self, offset: int = 0) -> tuple[list[Note], int]:
        """Return the notes from `offset` on, and the offset at which to continue."""
        try:
            with open(self._path, "rb") as file:
                file.seek(offset)
                text = file.read()
        except FileNotFoundError:
            return [], offset
        whole = text[: text.rfind(b"\n") + 1]  # the last line may be incomplete
        return [notes.from_line(line) for line in whole.splitlines()], offset + len(whole)
