"""The environment of a process: it carries the address, and is put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.plugin.environ import Environ
from pytest_dbmigrate.settings.resolution import resolve

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("secret"), "shop")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environ]:
    """An environment whose `OURS` and `ANOTHER` carry the address; `OURS` was there before."""
    monkeypatch.setenv("OURS", "before")
    monkeypatch.delenv("ANOTHER", raising=False)
    lines = "OURS={url}\nANOTHER={host}"
    found = Environ()
    assert not found.has_address
    found.carry(resolve(tmp_path, {"env": lines}, {}, {}), DSN, None, alone=True)
    yield found
    found.restore()


def test_variables_carry_the_address(environ: Environ) -> None:
    assert (os.environ["OURS"], os.environ["ANOTHER"]) == (DSN.url(), "127.0.0.1")
    assert (environ.has_address, environ.overridden()) == (True, "")


def test_variables_are_put_back(environ: Environ) -> None:
    environ.restore()
    assert (os.environ["OURS"], "ANOTHER" in os.environ) == ("before", False)


def test_a_variable_that_somebody_has_set_to_something_else_is_named(
    environ: Environ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOTHER", "10.0.0.1")
    assert environ.overridden() == "ANOTHER"


def test_variables_that_are_taken_out_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "shop")
    environ = Environ()
    environ.take_out(("PGSERVICE", "PGHOSTADDR"))
    assert "PGSERVICE" not in os.environ
    environ.restore()
    assert (os.environ["PGSERVICE"], "PGHOSTADDR" in os.environ) == ("shop", False)
