"""The baseline's file: what it may be, and how it is written."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.schema import baseline, baseline_file

TEXT = baseline.render(["a difference"], baseline.Baseline())


def refusal(error: pytest.ExceptionInfo[SettingError]) -> list[str]:
    """Return the lines of the message."""
    return str(error.value).splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A baseline that is there."""
    path = tmp_path / "drift.txt"
    path.write_text(baseline.HEADER[0], encoding="utf-8")
    return path


def test_a_missing_file_accepts_nothing(tmp_path: Path) -> None:
    assert baseline_file.read(tmp_path / "drift.txt") == baseline.Baseline()


def test_a_byte_order_mark_is_not_part_of_the_first_line(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert baseline_file.read(file) == baseline.parse(TEXT)


def test_a_file_that_is_not_utf8_is_refused(file: Path) -> None:
    file.write_bytes(b"# a plan\n\xff\xfe")
    with pytest.raises(SettingError) as error:
        baseline_file.read(file)
    assert refusal(error) == [
        f"the baseline {file} cannot be read: byte 10 is not UTF-8",
        "  to do: mend the file, or name another with dbmigrate_baseline",
    ]


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        baseline_file.read(tmp_path)
    assert refusal(error)[0] == f"the baseline {tmp_path} cannot be read: Is a directory"


def test_a_file_of_another_kind_is_not_overwritten(file: Path) -> None:
    file.write_text("import os\n", encoding="utf-8")
    baseline_file.check(file, is_to_be_written=False)
    with pytest.raises(SettingError) as error:
        baseline_file.check(file, is_to_be_written=True)
    assert refusal(error) == [
        f"{file} is no baseline, and --db-accept-drift would overwrite it",
        "  to do: name another file,",
        f"         or let it begin with the line: {baseline.HEADER[0]}",
    ]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "drift.txt"
    before = os.umask(0o027)
    try:
        assert baseline_file.write(path, TEXT) is True
    finally:
        os.umask(before)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (TEXT.encode(), 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_the_permissions_of_a_file_are_kept(file: Path) -> None:
    file.chmod(0o646)
    assert baseline_file.write(file, TEXT) is True
    assert (file.read_text(encoding="utf-8"), stat.S_IMODE(file.stat().st_mode)) == (TEXT, 0o646)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file away")
def test_the_owner_of_a_file_is_kept(file: Path) -> None:
    os.chown(file, 1234, 1235)
    baseline_file.write(file, TEXT)
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1235)


def test_a_file_that_already_has_the_text_is_not_touched(file: Path) -> None:
    baseline_file.write(file, TEXT)
    before = file.stat()
    assert baseline_file.write(file, TEXT) is False
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("is_there", [True, False])
def test_the_target_of_a_symbolic_link_is_written(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "far").mkdir()
    link, target = tmp_path / "link.txt", tmp_path / "far/drift.txt"
    link.symlink_to("far/drift.txt")
    if is_there:
        target.touch()
    baseline_file.write(link, TEXT)
    assert (link.is_symlink(), target.read_text(encoding="utf-8")) == (True, TEXT)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "drift.txt"
    path.mkdir()
    with pytest.raises(SettingError) as error:
        baseline_file.write(path, TEXT)
    assert refusal(error) == [
        f"the baseline {path} cannot be written: Is a directory",
        "  tried: making a file beside it, and renaming that",
        "  to do: let this user write to the folder, or name another file",
    ]
    assert list(tmp_path.iterdir()) == [path]
