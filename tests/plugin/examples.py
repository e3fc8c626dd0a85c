"""Copies of the projects in `examples/`, run as their users run them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.plugin.projects import PATIENCE

_EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Example:
    """A copy of an example in a folder of its own."""

    path: Path

    @classmethod
    def copy(cls, name: str, folder: Path) -> Example:
        """Return a copy of the example of this name, made in `folder`."""
        ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
        return cls(Path(shutil.copytree(_EXAMPLES / name, folder / name, ignore=ignored)))

    def run(self, *arguments: str) -> Outcome:
        """Run its tests: the command `pytest`, with every plugin that is installed."""
        command = [str(Path(sys.executable).with_name("pytest")), "-p", "dbmigrate", *arguments]
        done = subprocess.run(
            command, cwd=self.path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        print(done.stdout, done.stderr, sep="\n")
        return Outcome(done.returncode, done.stdout.splitlines())

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of a file that is in it once."""
        file = self.path / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")


@dataclass
class Outcome:
    """How a run ended, and what it printed."""

    status: int
    lines: list[str]

    @property
    def summary(self) -> str:
        """The counts in pytest's last line, without the time they took."""
        return self.lines[-1].strip("= ").rpartition(" in ")[0]

    def told(self) -> list[str]:
        """Return what the plugin said while the run went on, without its name."""
        begin = "dbmigrate: "
        return [line[len(begin) :] for line in self.lines if line.startswith(begin)]

    def progress(self, begin: str) -> list[str]:
        """Return the letters of each file of tests whose path begins so; at least one does."""
        found = [line.split()[1] for line in self.lines if re.match(rf"{begin}\S+ [.FEsx]+", line)]
        assert found
        return found

    def explanation(self) -> list[str]:
        """Return the lines of the section that says why there was no database."""
        titles = [number for number, line in enumerate(self.lines) if line.startswith("===")]
        begin = next(n for n in titles if " dbmigrate: no database " in self.lines[n])
        return self.lines[begin + 1 : next(n for n in titles if n > begin)]
