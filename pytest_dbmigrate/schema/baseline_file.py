"""Baseline file: read as a whole, and written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.schema import baseline
from pytest_dbmigrate.schema.baseline import Baseline


def read(path: Path) -> Baseline:
    """Return the baseline; an empty one if there is no file. Raises `SettingError`."""
    try:
        return baseline.parse(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return Baseline()
    except UnicodeDecodeError as error:
        why = f"byte {error.start + 1} is not UTF-8"
    except OSError as error:
        why = error.strerror or str(error)
    raise SettingError(
        f"the baseline {path} cannot be read: {why}",
        todo=("mend the file, or name another with dbmigrate_baseline",),
    )


def check(path: Path, *, is_to_be_written: bool) -> None:
    """Raise `SettingError` if the file cannot be read, or must not be overwritten."""
    if not read(path).is_ours and is_to_be_written:
        raise SettingError(
            f"{path} is no baseline, and --db-accept-drift would overwrite it",
            todo=(
                "name another file,",
                f"or let it begin with the line: {baseline.HEADER[0]}",
            ),
        )


def write(path: Path, text: str) -> bool:
    """Write the text; return False if the file has it already.

    An existing file keeps its permissions, and its owner where that is allowed. A symbolic
    link is followed. Raises `SettingError`.
    """
    target = Path(os.path.realpath(path))
    content = text.encode()
    with contextlib.suppress(OSError):
        if target.read_bytes() == content:
            return False
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        _write_new(beside, content, like=target)
        beside.replace(target)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise SettingError(
            f"the baseline {path} cannot be written: {error.strerror or error}",
            tried=("making a file beside it, and renaming that",),
            todo=("let this user write to the folder, or name another file",),
        ) from error
    return True


def _write_new(path: Path, content: bytes, like: Path) -> None:
    """Write a new file, with the owner and permissions of `like` if there is such a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, 0o666), "wb") as file:
        with contextlib.suppress(FileNotFoundError):
            before = like.stat()
            with contextlib.suppress(PermissionError):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            with contextlib.suppress(PermissionError):  # not every file system has them
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
        file.write(content)
