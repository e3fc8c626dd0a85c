"""Embedded as a kind of server: an instance of our own, from Postgres programs on this machine."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from pytest_dbmigrate.runs import guardian, server_process
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.runs.server_process import ServerProcess
from pytest_dbmigrate.servers.address import Address
from pytest_dbmigrate.servers.embedded import instance, place, port, programs
from pytest_dbmigrate.servers.embedded.programs import Identity
from pytest_dbmigrate.servers.kept.record import Kept, Record, boot
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.servers.server import Server


class Embedded(ServerKind):
    """An instance with a private data folder, on a port that is reserved before it starts."""

    name = "embedded"
    is_automatic = True
    can_restart = True

    def probe(self) -> None:
        """Find programs to run. Raises `ServerError` if there are none."""
        programs.find(self.settings.pg_bin)

    def settle(self) -> Address:
        """Return an address whose port is reserved."""
        dsn, holder = port.reserve()
        return Address(dsn, self.name, self.reason, holder)

    def start(self, run: Run, address: Address | None) -> Server:
        """Return a new instance; it is the guardian's child, which ends and removes it."""
        address = address or self.settle()
        folder = place.of_run(run.id)
        with (
            address.holder or contextlib.nullcontext(),
            run.start_guardian(guardian.Work(folders=[str(folder)])) as start,
        ):
            found = programs.find(self.settings.pg_bin)
            prepared = place.prepare(found, folder)
            instance.initialize(prepared, address.dsn)
            start(instance.process(prepared, address.dsn))
            ended = run.folder / guardian.ENDED
            return instance.wait_for(
                prepared.log,
                self.server(address.dsn, address.reason),
                self.settings.timeout,
                is_alive=lambda: not ended.exists(),
            )

    def keep(self, kept: Kept, before: Record | None = None) -> Server:
        """Return a new instance that stays, at the port of the one before it if that is free."""
        has_port = before is not None and before.process is not None
        dsn, holder = port.reserve(before.dsn if before and has_port else None)
        with holder:
            return self._keep(kept, self.server(dsn, self.reason))

    def _keep(self, kept: Kept, server: Server) -> Server:
        found = programs.find(self.settings.pg_bin)
        folder = place.of_kept(kept)
        record = replace(
            self.record(server.dsn),
            programs=Identity.of(found.folder),
            folder=str(folder),
            # enough to end its processes, whenever this one is killed
            process=ServerProcess([], str(place.data_in(folder)), str(place.log_in(folder)), {}),
        )
        with self.recorded(kept, record):
            prepared = place.prepare(found, folder)
            instance.initialize(prepared, server.dsn)
            process = instance.process(prepared, server.dsn, is_kept=True)
            record = replace(record, process=process)
            kept.write(record)
            server = instance.launch(process, server, self.settings.timeout)
        kept.write(record.ready(server.dsn))
        return server

    def restart(self, kept: Kept, record: Record) -> Server:
        """Return the kept instance, started again, at another port if its own is taken."""
        assert record.process is not None
        instance.bury(record.process, Path(record.folder))
        dsn, holder = port.reserve(record.dsn)
        process = instance.at_port_of(record.process, record.dsn, dsn)
        kept.write(replace(record, process=process, dsn=dsn))
        server = self.server(dsn, "kept; it had ended and was started again")
        with holder:
            return instance.launch(process, server, self.settings.timeout)

    @classmethod
    def staleness(cls, record: Record) -> str:
        """Return what has happened to the machine, or to the programs, since it was made."""
        # Without fsync the data is good only as long as the kernel that holds it: after a crash of
        # the machine it may be torn, and the server would recover without noticing.
        if record.boot != boot():
            return "the machine has rebooted"
        if record.programs is None or record.programs != Identity.of(record.programs.folder):
            where = record.programs.folder if record.programs else "its folder"
            return f"the programs in {where} have changed"
        return ""

    @classmethod
    def end(cls, record: Record) -> str:
        """End the instance and remove its folder."""
        if record.process is not None:
            record.process.end()
            server_process.end_strays(record.process.folder)
        if record.folder:
            server_process.remove_server_folder(Path(record.folder))
        return ""
