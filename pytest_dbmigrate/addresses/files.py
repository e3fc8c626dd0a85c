"""Writes the files of `dbmigrate_env_file`, for this process or for the migrations.

The password is in them: only this user can read them, and they are removed with what
they were written for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_dbmigrate import file_locks
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.addresses.env_file import EnvFile
from pytest_dbmigrate.errors import SettingError

FOLDER = "addresses"  # of a run, for what is written in private
_VARIABLE_FORM = "or let the application read the file's path from a variable: VARIABLE={}"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Handed:
    """The files of `dbmigrate_env_file`; `environ` are the variables that hold their paths."""

    def __init__(
        self, files: tuple[EnvFile, ...], dsn: Dsn, place: tuple[Path, str] | None, *, alone: bool
    ) -> None:
        """Write them. Raises `SettingError`.

        `place` is the run's folder and this process's name in it; None where no test is run,
        and there is no run. `alone` tells whether this is the run's one process.
        """
        with contextlib.ExitStack() as stack:
            for file in files:
                if file.target and not alone:
                    raise refuse_to_share(file)
                is_there = place is None and Path(file.target).exists()  # as good as any
                if file.target and not is_there:
                    stack.enter_context(standing(file, dsn))
            if place is None:
                place = Path(stack.enter_context(tempfile.TemporaryDirectory())), "nobody"
            folder = place[0] / FOLDER / place[1]
            self.environ = stack.enter_context(private(files, dsn, folder))
            self._stack = stack.pop_all()

    def remove(self) -> None:
        """Remove them; safe to call twice."""
        self._stack.close()


@contextlib.contextmanager
def private(files: Iterable[EnvFile], dsn: Dsn, folder: Path) -> Iterator[dict[str, str]]:
    """Have the files whose paths variables hold in a new folder; yield those variables.

    Raises `SettingError` if one cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed meanwhile
    try:
        values: dict[str, str] = {}
        for number, file in enumerate(files):
            if not file.target:
                path = folder / str(number) / file.file_name  # two may have the same name
                with _naming(path):
                    path.parent.mkdir(mode=0o700, parents=True)
                    _write(os.open(path, _NEW, 0o600), file.filled(dsn))
                values[file.name] = str(path)
        yield values
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def standing(file: EnvFile, dsn: Dsn) -> Iterator[None]:
    """Have a file at the path that is its own.

    What a killed run has left there is replaced. Raises `SettingError` if anything else is
    there, or if another run has written it and still lives.
    """
    path = Path(file.target)
    with _naming(path):
        with contextlib.suppress(FileNotFoundError):
            _remove_left(file, path)
        descriptor = os.open(path, _NEW, 0o600)
    maker = os.getpid()
    try:
        # says that the file is in use; a flock, as the application opens and closes the file here
        file_locks.flock(descriptor)
        with _naming(path):
            _write(os.dup(descriptor), file.filled(dsn))
        yield
    finally:
        if os.getpid() == maker:  # else a test has forked this process
            with contextlib.suppress(OSError):
                if _is_at(path, descriptor) or file.is_filled(_text(path)):
                    path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def lent(files: Iterable[EnvFile], dsn: Dsn, folder: Path) -> Iterator[dict[str, str]]:
    """Have all files carry another address for a while: that of the database to migrate.

    Those at paths of their own are put back afterwards. Yield the variables of the others,
    which lie in a new folder meanwhile. Raises `SettingError` if one cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for file in files:
            if file.target:
                stack.enter_context(_changed(file, dsn))
        yield stack.enter_context(private(files, dsn, folder))


@contextlib.contextmanager
def _changed(file: EnvFile, dsn: Dsn) -> Iterator[None]:
    path = Path(file.target)
    with _naming(path):
        before = _text(path)
        _write(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), file.filled(dsn))
    try:
        yield
    finally:
        with _naming(path):
            _write(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), before)


def _remove_left(file: EnvFile, path: Path) -> None:
    """Remove what a killed run has left; raises `SettingError` if it is anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not file_locks.try_flock(descriptor):
            raise SettingError(
                f"another run has written {path} and uses it",
                todo=("wait until that run has ended,", _VARIABLE_FORM.format(file.template)),
            )
        if not file.is_filled(_text(path)):
            raise SettingError(
                f"{path} is there already, and is not what a killed run has left",
                tried=("comparing it with its template; it stays as it is",),
                todo=(
                    "move it away: it is written for a run, and removed at its end,",
                    _VARIABLE_FORM.format(file.template),
                ),
            )
        path.unlink()
    finally:
        os.close(descriptor)


def refuse_to_share(file: EnvFile) -> SettingError:
    """Return the error of a run whose processes would all write one file."""
    return SettingError(
        f"{file.target}, which dbmigrate_env_file names, is one file, "
        "and each process of pytest-xdist has an address of its own",
        todo=("run the tests without -n,", _VARIABLE_FORM.format(file.template)),
    )


def _write(descriptor: int, text: str) -> None:
    """Write all of an open file, and close it: what was longer before ends where this does."""
    with open(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8"))
        stream.truncate()


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the file at a path is the one that is open."""
    return os.path.samestat(path.lstat(), os.fstat(descriptor))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file it is that the system says no to."""
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"{path}, which carries the database's address, cannot be written: {error.strerror}",
            todo=("see dbmigrate_env_file",),
        ) from None
