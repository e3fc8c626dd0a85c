"""Location of an Alembic environment: a line of `dbmigrate_alembic`, parsed.

What is a path is made absolute here; what is a module is left to whoever imports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_FILES = (".ini", ".cfg", ".toml")


@dataclass(frozen=True)
class AlembicLocation:
    """A file and perhaps its section, a folder of scripts, or the two sides of a colon.

    Those are `module:function` or `package:folder`; only an import can tell which.
    """

    file: str = ""
    section: str = ""
    scripts: str = ""
    module: str = ""
    attribute: str = ""

    @classmethod
    def parse(cls, line: str, folders: tuple[Path, ...]) -> AlembicLocation:
        """Return what a line names; a path in it starts at the first folder that has it.

        Raises `ValueError` if there is no such thing.
        """
        line = line.strip()
        for path in (folder / line for folder in folders):
            if path.is_dir():
                return cls(scripts=str(path.resolve()))
            if path.exists():
                return cls(file=str(path.resolve()))
        left, colon, section = line.rpartition(":")
        for path in (folder / left for folder in folders):
            if colon and path.is_file():
                return cls(file=str(path.resolve()), section=section)
        module, _, attribute = line.partition(":")
        if colon and _PACKAGE.fullmatch(module) and not module.endswith(_FILES):
            return cls(module=module, attribute=attribute)
        raise ValueError(f"there is no file or folder {left if colon else line}")

    def __str__(self) -> str:
        """Return the line with an absolute path."""
        if self.module:
            return f"{self.module}:{self.attribute}"
        return f"{self.file}:{self.section}" if self.section else self.scripts or self.file
