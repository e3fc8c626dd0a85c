"""Control database: which databases on a server are ours, and what becomes of each.

Every database is registered before it is made, so that whatever dies in between is found and
dropped. The control database and not a file coordinates the processes: its rows and locks
work across workers, runs, containers and machines.
"""

from __future__ import annotations

from typing import Literal

from psycopg import sql

from pytest_dbmigrate import clock
from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases.connection import comment, drop
from pytest_dbmigrate.databases.control_connection import ControlConnection
from pytest_dbmigrate.errors import DatabaseError

Role = Literal["control", "build", "template", "lease", "kept"]

_GRACE, _PAUSE, _PATIENCE = 0.03, 0.001, 10.0  # seconds
# A role without rights on the sessions of others sees no backend_type of theirs. The server's
# own processes have no user; Postgres itself ends them where they are in the way.
_CLIENTS = """
select pid, application_name, state, left(query, 60) from pg_stat_activity
where datname = %s and usesysid is not null
    and coalesce(backend_type, 'client backend') = 'client backend'
order by pid
"""
_COUNT = """
select count(*) from pg_stat_activity
where datname = %s and usesysid is not null
    and coalesce(backend_type, 'client backend') = 'client backend'
"""
_TERMINATE = _COUNT.replace("count(*)", "count(pg_terminate_backend(pid))")


class Control(ControlConnection):
    """One process's connection to a control database, and its way to make and drop databases."""

    def __init__(self, dsn: Dsn, run_id: str, *, durable: bool, home: str = "") -> None:
        """Connect; the control database has been made by `control_tables.create`.

        `durable` tells whether the server waits for its disk. `home` is the project's id where
        its state is kept between runs.
        """
        super().__init__(dsn, run_id, home)
        # FILE_COPY copies the files between two checkpoints and logs nothing: quick where a
        # checkpoint costs nothing (8 ms), slow where it waits for the disk (1.1 s). WAL_LOG,
        # Postgres's default, is even: 27 ms and 73 ms.
        self._strategy = sql.SQL("" if durable else " strategy file_copy")

    def count(self, role: Role) -> int:
        """Return how many databases of this role the run has registered."""
        query = "select count(*) from database where role = %s and run = %s"
        return int(self.one(query, (role, self.run)))

    def register(self, name: str, role: Role) -> None:
        """Record that a database of this name is ours, before it exists."""
        self.execute(
            "insert into database (name, role, run) values (%s, %s, %s) "
            "on conflict (name) do update set role = excluded.role",
            (name, role, self._owner(role)),
        )

    def _owner(self, role: Role) -> str:
        """Return whose a database is: one that is built belongs to the home, not to the run."""
        return self.home if role in ("build", "template") else self.run

    def unregister(self, name: str) -> None:
        """Record that no database of this name exists any more."""
        self.execute("delete from database where name = %s", (name,))

    def create(self, name: str, role: Role, template: str | None = None) -> None:
        """Make a registered database, empty or as a copy. Raises `DatabaseError`."""
        source = sql.Identifier(template) if template else sql.SQL("template0")
        copied = self._strategy if template else sql.SQL("")
        statement = sql.SQL("create database {} template {}{}")
        self.execute(statement.format(sql.Identifier(name), source, copied))
        self.execute(comment(name, self._owner(role)))

    def drop(self, name: str) -> None:
        """Drop a database if it is there, whoever is connected to it."""
        self.disconnect(name)
        try:
            self.execute(drop(name))
        except DatabaseError:  # somebody has connected meanwhile
            self.execute(drop(name, force=True))

    def rename(self, name: str, new: str) -> None:
        """Rename a database after ending the connections to it."""
        self.disconnect(name)
        self.execute(
            sql.SQL("alter database {} rename to {}").format(
                sql.Identifier(name), sql.Identifier(new)
            )
        )

    def seal(self, name: str) -> None:
        """Let nobody connect to a database any more: it is complete, and stays as it is."""
        # `pg_database.datallowconn` is the seal. It is set last, so it tells a finished template
        # from one whose build was cut short. And as nobody can connect, not even a superuser,
        # a copy never fails with "source database is being accessed by other users".
        self.execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(name))
        )

    def is_sealed(self, name: str) -> bool | None:
        """Whether nobody can connect to a database; None if there is none of this name."""
        found: bool | None = self.one(
            "select not datallowconn from pg_database where datname = %s", (name,)
        )
        return found

    def connections(self, name: str) -> list[str]:
        """Return a line for each connection to a database."""
        rows = self.execute(_CLIENTS, (name,)).fetchall()
        return [
            f"server process {pid}{f' ({application})' if application else ''}, {state}"
            + (f", last query: {query}" if query else "")
            for pid, application, state, query in rows
        ]

    def disconnect(self, name: str) -> None:
        """End all connections to a database; those just closed get a moment to end by themselves.

        Raises `DatabaseError` if one is still there after 10 s.
        """
        # The server process of a connection that was just closed takes some milliseconds to
        # exit. `drop database`, with (force) too, waits for it in steps of 100 ms; so we look
        # ourselves, every millisecond, and it finds nobody.
        began = clock.now()
        while (passed := clock.now() - began) < _PATIENCE:
            query = _TERMINATE if passed > _GRACE else _COUNT
            row = self.execute(query, (name,)).fetchone()
            if row is None or row[0] == 0:
                return
            clock.sleep(_PAUSE)
        raise DatabaseError(
            f"connections to database {name} do not end",
            tried=tuple(self.connections(name)),
            todo=("see what these server processes wait for",),
        )
