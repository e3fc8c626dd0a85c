"""Kinds of server: one more of them is one class in the registry, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.runs import guardian
from pytest_dbmigrate.runs.notes import ChoosingServer, ServerReady, StartingServer
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import kinds, startup
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.docker.kind import Docker
from pytest_dbmigrate.servers.kept.record import Kept, Record
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.servers.readiness import wait_until_ready
from pytest_dbmigrate.servers.server import Server
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.server_request import AUTO, GIVEN, NAMED, ServerRequest
from pytest_dbmigrate.settings.values import Settings


class Borrowed(ServerKind):
    """The tests' own server, under another kind's name."""

    name = "borrowed"
    is_automatic = True
    lender: ClassVar[Server]
    ended: ClassVar[list[str]]

    def settle(self) -> Address:
        return Address(self.lender.dsn, self.name, self.reason)

    def start(self, run: Run, address: Address | None) -> Server:
        assert address is not None
        with run.start_guardian(guardian.Work()):
            return self._answering(self.server(address.dsn, address.reason))

    def keep(self, kept: Kept, before: Record | None = None) -> Server:
        record = self.record(self.lender.dsn)
        with self.recorded(kept, record):
            server = self._answering(self.server(record.dsn, self.reason))
        kept.write(record.ready(record.dsn))
        return server

    @classmethod
    def end(cls, record: Record) -> str:
        cls.ended.append(record.project)
        return ""

    def _answering(self, server: Server) -> Server:
        return wait_until_ready(server, self.settings.timeout, lambda: True, lambda: "")


@pytest.fixture
def borrowed(server: Server, monkeypatch: pytest.MonkeyPatch) -> type[Borrowed]:
    """A kind of server that is registered for this test."""
    monkeypatch.setattr(Borrowed, "lender", server, raising=False)
    monkeypatch.setattr(Borrowed, "ended", [], raising=False)
    monkeypatch.setitem(kinds.KINDS, Borrowed.name, Borrowed)
    return Borrowed


@pytest.fixture
def settings(borrowed: type[Borrowed], tmp_path: Path) -> Settings:
    """Settings that ask for the kind by its name."""
    settings = resolve(tmp_path, {}, {}, {})
    return settings.but(server=ServerRequest.named(borrowed.name))


@pytest.fixture
def run(runs_folder: Path) -> Iterator[Run]:
    """A run of this test alone."""
    run = Run.start("shop")
    yield run
    run.finish()


@pytest.fixture
def kept(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """The folder of what is kept of this test's project."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Kept.of(settings.root)


def test_a_new_kind_is_settled_and_started(settings: Settings, run: Run, server: Server) -> None:
    address = startup.settle(settings, run)
    assert address == Address(server.dsn, "borrowed")
    assert run.read(startup.SERVER) is None  # it has not been started
    started = startup.server(settings, run)
    assert started == replace(server, kind="borrowed")
    assert str(started) == f"{server.release} (borrowed)"
    assert startup.server(settings, Run.join(str(run.folder))) == started
    notes = [type(note) for note in run.journal.read()[0]]
    assert notes == [ChoosingServer, StartingServer, ServerReady]


def test_a_new_kind_is_taken_where_those_before_it_cannot_be_had(
    settings: Settings,
    run: Run,
    borrowed: type[Borrowed],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(kinds, "KINDS", {"docker": Docker, borrowed.name: borrowed})
    started = startup.server(settings.but(server=ServerRequest()), run)
    assert (started.kind, started.reason) == ("borrowed", "there is no docker command")


def test_a_new_kind_is_kept_found_again_and_replaced(
    settings: Settings, run: Run, kept: Kept, borrowed: type[Borrowed]
) -> None:
    resuming = settings.but(resume=True)
    first = startup.server(resuming, run)
    run.finish()
    record = kept.read()
    assert record is not None
    assert (record.kind, record.dsn, record.is_ready) == ("borrowed", first.dsn, True)
    second = Run.start("shop")
    assert startup.server(resuming, second).reason == "kept"
    second.finish()
    assert borrowed.ended == []
    third = Run.start("shop")
    assert startup.server(resuming.but(fresh=True), third).reason == ""
    third.finish()
    assert borrowed.ended == [str(settings.root)]


def test_a_new_kind_whose_start_fails_is_ended_and_leaves_no_record(
    settings: Settings,
    run: Run,
    kept: Kept,
    borrowed: type[Borrowed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Borrowed, server: Server) -> Server:
        raise ServerError("the lender has changed his mind")

    monkeypatch.setattr(borrowed, "_answering", fail)
    with pytest.raises(ServerError, match=r"^the lender has changed his mind$"):
        startup.server(settings.but(resume=True), run)
    assert borrowed.ended == [str(settings.root)]
    assert not kept.folder.exists()


def test_every_kind_can_be_asked_for_and_every_word_asks_for_a_kind() -> None:
    assert set(kinds.KINDS) == {*NAMED, GIVEN}
    assert AUTO not in kinds.KINDS


def test_auto_tries_docker_before_an_embedded_server() -> None:
    assert [kind.name for kind in kinds.automatic()] == ["docker", "embedded"]


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ServerError) as refused:
        kinds.of("oracle")
    assert str(refused.value).splitlines() == [
        "there is no kind of server named oracle",
        "  tried: the kinds are docker, embedded, url",
        "  to do: use the version of pytest-dbmigrate that has it",
    ]
