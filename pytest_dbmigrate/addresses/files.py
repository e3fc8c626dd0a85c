"""Files with the database's address: written, rewritten for the migrations, and removed.

The password is in them: only this user can read them, and they are removed as soon as the
process, or the migration, that they were written for ends.
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

FOLDER = "addresses"  # in a run's folder, for private files
_VARIABLE_FORM = "or let the application read the file's path from a variable: VARIABLE={}"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class AddressFiles:
    """The files of one process; `environ` has the variables that hold their paths."""

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
                    raise _sharing_error(file)
                is_there = place is None and Path(file.target).exists()  # as good as any
                if file.target and not is_there:
                    stack.enter_context(at_own_path(file, dsn))
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
    """Write the files whose paths variables hold to a new folder; yield those variables.

    Raises `SettingError` if one cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)  # left by a worker that was killed
    try:
        values: dict[str, str] = {}
        for number, file in enumerate(files):
            if not file.target:
                path = folder / str(number) / file.file_name  # two may have the same name
                with _errors_of(path):
                    path.parent.mkdir(mode=0o700, parents=True)
                    _write(os.open(path, _NEW, 0o600), file.filled(dsn))
                values[file.name] = str(path)
        yield values
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def at_own_path(file: EnvFile, dsn: Dsn) -> Iterator[None]:
    """Keep a file at a path of the project's own during the block.

    What a killed run has left there is replaced. Raises `SettingError` if anything else is
    there, or if another run has written it and still lives.
    """
    path = Path(file.target)
    with _errors_of(path):
        with contextlib.suppress(FileNotFoundError):
            _remove_leftover(file, path)
        descriptor = os.open(path, _NEW, 0o600)
    maker = os.getpid()
    try:
        # marks the file as in use; a flock, as the application opens and closes the file here
        file_locks.flock(descriptor)
        with _errors_of(path):
            _write(os.dup(descriptor), file.filled(dsn))
        yield
    finally:
        if os.getpid() == maker:  # else a test has forked this process
            with contextlib.suppress(OSError):
                if _is_at(path, descriptor) or file.is_filled(_text(path)):
                    path.unlink()
        os.close(descriptor)


@contextlib.contextmanager
def for_migrations(files: Iterable[EnvFile], dsn: Dsn, folder: Path) -> Iterator[dict[str, str]]:
    """Let all files have the address of the database to migrate.

    Files at paths of their own are restored afterwards. Yield the variables of the others,
    which are in a new folder. Raises `SettingError` if one cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for file in files:
            if file.target:
                stack.enter_context(_rewritten(file, dsn))
        yield stack.enter_context(private(files, dsn, folder))


@contextlib.contextmanager
def _rewritten(file: EnvFile, dsn: Dsn) -> Iterator[None]:
    path = Path(file.target)
    with _errors_of(path):
        before = _text(path)
        _write(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), file.filled(dsn))
    try:
        yield
    finally:
        with _errors_of(path):
            _write(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), before)


def _remove_leftover(file: EnvFile, path: Path) -> None:
    """Remove the file of a killed run; raises `SettingError` if it is anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not file_locks.try_flock(descriptor):
            raise SettingError(
                f"another run has written {path} and uses it",
                todo=("wait until that run has ended,", _VARIABLE_FORM.format(file.pattern)),
            )
        if not file.is_filled(_text(path)):
            raise SettingError(
                f"{path} is there already, and is not what a killed run has left",
                tried=("comparing it with its pattern; it stays as it is",),
                todo=(
                    "move it away: it is written for a run, and removed at its end,",
                    _VARIABLE_FORM.format(file.pattern),
                ),
            )
        path.unlink()
    finally:
        os.close(descriptor)


def _sharing_error(file: EnvFile) -> SettingError:
    """Return the error of a run whose processes would all write one file."""
    return SettingError(
        f"{file.target}, which dbmigrate_env_file names, is one file, "
        "and each process of pytest-xdist has an address of its own",
        todo=("run the tests without -n,", _VARIABLE_FORM.format(file.pattern)),
    )


def _write(descriptor: int, text: str) -> None:
    """Replace the content of an open file, and close it."""
    with open(descriptor, "wb") as stream:
        stream.write(text.encode("utf-8"))
        stream.truncate()


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the file at a path is the one that is open."""
    return os.path.samestat(path.lstat(), os.fstat(descriptor))


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Raise `SettingError`, which names the file, for an error of the system."""
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"{path}, which carries the database's address, cannot be written: {error.strerror}",
            todo=("see dbmigrate_env_file",),
        ) from None
