"""Recorder of the files that shape a schema, while the migrations run.

Alembic knows the scripts, and the interpreter the modules. Other files (a `.sql` beside a
revision, a configuration) are known from an audit hook, which hears of each file that is opened.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pytest_dbmigrate.migrations.fingerprint import Digest, Files, Manifest, imports, listing

_FOREIGN = ("site-packages", "dist-packages", "__pycache__", ".git")
_WRITING = os.O_WRONLY | os.O_RDWR


class FileRecorder:
    """The project's files that are read from now on.

    There is one in a process, for an audit hook cannot be removed. It hears of every `open`,
    also of those in C code and in imports, so that no library needs to be wrapped.
    """

    def __init__(self, root: str, besides: Iterable[str] = ()) -> None:
        """Files below the folder `root` are the project's, but for those in `besides`."""
        self._root = str(Path(root).resolve())
        self._files = Files()
        self._opened: dict[str, int] = {}  # when it was opened last, as a number
        self._number = 0
        self._written = {os.path.realpath(path) for path in besides}  # output, not sources
        sys.addaudithook(self._hear)

    def mark(self) -> int:
        """Return a mark of this moment, for `of`."""
        return self._number

    def of(self, script: str, since: int | None = None) -> dict[str, Digest]:
        """Return the digests of all files that a revision is made of.

        Its script first, then the project's modules that it imports, directly or not, and the
        files that were opened after the moment `since`.
        """
        opened = self._data(since) if since is not None else []
        paths = [script, *_closure(script), *opened]
        return {path: self._files.digest(path) for path in dict.fromkeys(paths)}

    def common(self, env: str, helpers: Sequence[str], config: Sequence[str]) -> dict[str, Digest]:
        """Return the digests of what all revisions depend on: env.py, and the files read so far.

        They include `helpers` and all that these import, but not the files of Alembic's
        configuration.
        """
        scripts = [helper for helper in helpers if helper.endswith(".py")]
        imported = [*helpers, *(path for script in scripts for path in _closure(script))]
        paths = [env, *imported, *(path for path in self._data(0) if path not in config)]
        return {path: self._files.digest(path) for path in dict.fromkeys(paths)}

    def _data(self, since: int) -> list[str]:
        opened = list(self._opened.items())  # a thread of env.py's may open more meanwhile
        return [path for path, number in opened if number > since and self._is_data(path)]

    def manifest(self, scripts: list[str], others: list[str]) -> Manifest:
        """Return the digests of every file that had a part in the schema and its check.

        `scripts` are the revisions', of which the formatting does not count; of `others` and
        of all modules it does.
        """
        modules = list(_modules().values())
        data = self._data(0)
        folders = {str(Path(path).parent) for path in [*scripts, *modules]}
        files = {path: self._files.digest(path) for path in scripts}
        for path in dict.fromkeys([*others, *modules, *data]):
            if path not in files:
                files[path] = self._files.digest(path, with_tree=False)
        return Manifest(files, {folder: listing(folder) for folder in sorted(folders)})

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if isinstance(arguments[2], int) and arguments[2] & _WRITING:
            self._written.add(path)
        else:
            self._number += 1
            self._opened[path] = self._number

    def _is_data(self, path: str) -> bool:
        below = path.startswith(self._root + os.sep)
        own = below and path not in self._written and not path.endswith((".pyc", ".py"))
        return own and _is_first_party(path) and Path(path).is_file()


def _closure(script: str) -> list[str]:
    """Return the files of the project's modules that a script imports, directly or not."""
    modules = _modules()
    found: dict[str, None] = {}
    waiting = [script]
    while waiting:
        names, is_dynamic = _imports(waiting.pop())
        reached = set(modules) if is_dynamic else {p for name in names for p in _prefixes(name)}
        for name in sorted(reached & modules.keys()):
            if modules[name] not in found:
                found[modules[name]] = None
                waiting.append(modules[name])
    return list(found)


@cache
def _imports(path: str) -> tuple[frozenset[str], bool]:
    try:
        names, is_dynamic = imports(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset(), True
    return frozenset(names), is_dynamic


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts) + 1)]


def _modules() -> dict[str, str]:
    """Return the files of the project's modules that are imported by now, by their names."""
    found = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    files = {name: _real(file) for name, file in found.items() if file and not _is_pythons(file)}
    return {
        name: file for name, file in files.items() if file.endswith(".py") and _is_first_party(file)
    }


@cache
def _real(path: str) -> str:
    return os.path.realpath(path)


@cache
def _is_pythons(path: str) -> bool:
    """Whether Python's own library has a module, be it as a link, as Debian's sitecustomize is."""
    return os.path.realpath(Path(path).parent) in _library()


@cache
def _library() -> frozenset[str]:
    paths = sysconfig.get_paths()
    return frozenset(os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib"))


@cache
def _is_first_party(path: str) -> bool:
    """Whether a file is neither of an installed package, nor of Python, nor ours."""
    if any(part in _FOREIGN for part in Path(path).parts):
        return False
    return not any(path.startswith(folder + os.sep) for folder in _foreign())


@cache
def _foreign() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("purelib", "platlib", "scripts")]
    own = Path(__file__).parent.parent
    return (*_library(), *(os.path.realpath(folder) for folder in [*folders, str(own)]))
