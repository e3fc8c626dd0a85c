"""Advisory locks in a control database: all six, and what holding each of them means.

A lock is held by a session of the server, and the session ends with its process, however that
dies. So neither a clock nor a process id is needed to know whether an owner is alive.
Advisory locks are local to a database: those of two control databases never meet.

Postgres has two separate spaces of them. A lock on one run, build or template has two numbers:
its kind, and `key` of the id. A lock of the whole control database has one number, any number,
as long as it is the same for all.
"""

from __future__ import annotations

# Two numbers: (kind, key(id)).
RUN = 1  # shared by every process of the run with a control connection: the run is alive
BUILD = 2  # exclusive, by the migration child: somebody works on the build
TEMPLATE = 3  # shared by every process that copies the template: it must not be dropped

# One number.
TURN = 0x64626D  # exclusive, by the process that finds, resumes or builds the template
TABLES = 0x64626E  # exclusive, until the end of the transaction that makes our tables
KEPT = 0x64626F  # exclusive, while a process counts the kept databases and registers one more

_HALF = 1 << 31


def key(token: str) -> int:
    """Return the number of a run or build: its eight hexadecimal digits as a signed integer."""
    number = int(token, 16)
    return number - 2 * _HALF if number >= _HALF else number
