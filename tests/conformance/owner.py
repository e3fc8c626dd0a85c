"""A process that owns a run with a server, a template and a test's database.

Told what to do by a line of JSON on standard input; prints what it has; ends its run at
the next line.
"""

import json
import sys
from pathlib import Path

import psycopg

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.databases import control_tables
from pytest_dbmigrate.databases.control import Control
from pytest_dbmigrate.databases.lease import Lease
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.servers import startup
from pytest_dbmigrate.settings.resolution import resolve
from tests.conformance.templates import ensure


def build(dsn: Dsn) -> None:
    """Make a schema of one table."""
    with psycopg.connect(dsn.conninfo()) as connection:
        connection.execute("create table item (id int)")


told = json.loads(sys.stdin.readline())
run = Run.start("conformance")
server = startup.server(resolve(Path.cwd(), told["options"], {}, {}), run)
control_tables.create(server.dsn, run.id)
connected = Control(server.dsn, run.id, durable=server.durable)
template = ensure(connected, run.id, build)
lease = Lease(connected, run.id, "main", template)
database = lease.take()
connection = database.connect()  # open to the end, however that comes
if told["keep"]:
    run.keep()
print(
    json.dumps(
        {
            "folder": str(run.folder),
            "server": server.as_record(),
            "database": server.dsn.at(database.name).as_record(),
        }
    ),
    flush=True,
)
if sys.stdin.readline():
    run.finish()
