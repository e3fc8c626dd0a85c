"""The commands of the documentation's workflow files are run, on a copy of the example."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import workflows
from tests.plugin.examples import Example
from tests.plugin.projects import PATIENCE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.matrix, pytest.mark.usefixtures("clean_environment")]  # some 25 s
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,]+)\])?")


def extras(folder: Path) -> set[str]:
    """Return the extras of the project in a folder."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def test_the_commands_of_the_workflows_pass(tmp_path: Path, server_url: Callable[[], str]) -> None:
    """But for those that need Docker: their options are looked at with those of the pages."""
    checkout = Example.copy("issuers", tmp_path).path
    done: set[tuple[str, ...]] = set()
    for job in workflows.jobs():
        install, *commands = [shlex.split(command) for command in job.commands]
        assert install[:4] == ["pip", "install", "-e", ".[test]"]
        assert_installable(install[4:], checkout)
        environ = {**os.environ, **job.variables}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
        environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        if "://" in environ.get("DBMIGRATE_SERVER", ""):
            environ["DBMIGRATE_SERVER"] = server_url()  # in place of the service's
        for command in commands:
            key = (*command, environ.get("DBMIGRATE_RESUME", ""))
            if "--db-server=docker" not in command and key not in done:
                done.add(key)
                passes(command, checkout, environ)

    assert len(done) == 12


def assert_installable(requirements: list[str], checkout: Path) -> None:
    """Fail for an extra of the example, or of this package, that does not exist."""
    assert "test" in extras(checkout)
    for requirement in requirements:
        match = REQUIREMENT.fullmatch(requirement)
        assert match is not None
        if match["name"] == "pytest-dbmigrate":
            assert set(match["extras"].split(",")) <= extras(workflows.ROOT)


def passes(command: list[str], checkout: Path, environ: dict[str, str]) -> None:
    """Run a command of pytest; fail with what it printed if it does not exit with 0."""
    assert command[0] == "pytest"
    result = subprocess.run(
        command,
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,  # all suites, with every plugin that is installed
        check=False,
    )
    assert result.returncode == pytest.ExitCode.OK, f"{command}\n{result.stdout}\n{result.stderr}"
