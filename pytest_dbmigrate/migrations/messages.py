"""Messages between the migration child and its parent: typed values, one JSON line each.

They are values on both sides, and JSON only on the pipe between the two processes. The parent
sends a `Request`; the child sends a `ProgressMessage` for each step, and one `Answer`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, ClassVar

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration
from pytest_dbmigrate.migrations.environments import Environment
from pytest_dbmigrate.migrations.fingerprint import Manifest

if TYPE_CHECKING:
    from typing_extensions import Self  # type checkers have it; nothing imports it

Record = dict[str, Any]  # a value as JSON data


class _Value:
    """A part of a message."""

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the value in the JSON data of a line."""
        return cls(**record)


class Request(_Value):
    """A request of the parent. `kind` is its name on the line, as for all messages."""

    kind: ClassVar[str]


class ProgressMessage(_Value):
    """A message of the child while it works."""

    kind: ClassVar[str]


class Answer(_Value):
    """The last message of the child."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class AlembicOptions(_Value):
    """What the user sets for every environment: `-x` arguments, attributes, a driver.

    `root` is the project's folder: a relative folder of scripts may start there. `attributes`
    are names in `config.attributes`, each with its value as a setting has it.
    """

    root: str = ""
    x: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    driver: str = ""

    @classmethod
    def from_record(cls, record: Record) -> AlembicOptions:
        """Return the options in the JSON data of a line."""
        attributes = tuple((name, value) for name, value in record["attributes"])
        return cls(record["root"], tuple(record["x"]), attributes, record["driver"])


@dataclass(frozen=True)
class Tables(_Value):
    """Which tables an environment has to do with, each as `schema.table`.

    Those of its models, those that its revisions have made, and its version tables, which
    know the revisions of the folder `scripts`.
    """

    models: list[str]
    made: list[str]
    versions: list[str]
    scripts: str


@dataclass(frozen=True)
class Job(Request):
    """Request: apply one environment's revisions, and compare the schema with its models.

    `dsn` is the database to migrate, `history` the one with the events; `build` is the
    attempt's id there, and `name` what the environment is called there. `environ` is added to
    the child's environment variables.

    With `is_kept` the build may be resumed later, and `configured` is what env.py told Alembic
    when the database was last migrated. `before` are the steps ahead of the first revision;
    `helpers` are all steps of the settings, whose files have a part in the schema.

    `others` are the tables of the environments applied before this one; None if there is just
    one environment. With `is_checked_later` the child stays after its result, and waits for a
    `CompareRequest`. `address_files` are files with the database's address in them, which do
    not shape the schema.
    """

    kind: ClassVar[str] = "job"

    environment: Environment
    name: str
    dsn: Dsn
    history: Dsn
    run: str
    build: str
    target: tuple[str, ...]
    options: AlembicOptions
    check: bool
    environ: dict[str, str] = field(default_factory=dict)
    is_kept: bool = False
    is_checked_later: bool = False
    configured: EnvConfiguration | None = None
    before: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    within: str = ""
    others: tuple[Tables, ...] | None = None
    address_files: tuple[str, ...] = ()

    @classmethod
    def from_record(cls, record: Record) -> Job:
        """Return the job in the JSON data of a line."""
        configured, others = record["configured"], record["others"]
        values: Record = {
            "environment": Environment.from_record(record["environment"]),
            "dsn": Dsn.from_record(record["dsn"]),
            "history": Dsn.from_record(record["history"]),
            "options": AlembicOptions.from_record(record["options"]),
            "configured": EnvConfiguration.from_record(configured) if configured else None,
            "others": None if others is None else tuple(Tables(**it) for it in others),
        }
        lists = ("target", "before", "helpers", "address_files")
        return cls(**{**record, **values, **{name: tuple(record[name]) for name in lists}})


@dataclass(frozen=True)
class ScriptsRequest(Request):
    """Request: list the revisions that the scripts know, without running env.py."""

    kind: ClassVar[str] = "scripts"

    environment: Environment
    root: str
    within: str

    @classmethod
    def from_record(cls, record: Record) -> ScriptsRequest:
        """Return the request in the JSON data of a line."""
        environment = Environment.from_record(record["environment"])
        return cls(environment, record["root"], record["within"])


@dataclass(frozen=True)
class CompareRequest(Request):
    """Request to a child that has stayed: compare, now that all environments are applied."""

    kind: ClassVar[str] = "compare"

    others: tuple[Tables, ...]

    @classmethod
    def from_record(cls, record: Record) -> CompareRequest:
        """Return the request in the JSON data of a line."""
        return cls(tuple(Tables(**it) for it in record["others"]))


@dataclass(frozen=True)
class Planned(ProgressMessage):
    """Progress: how many revisions are to be applied."""

    kind: ClassVar[str] = "plan"

    total: int


@dataclass(frozen=True)
class Prepared(ProgressMessage):
    """Progress: a step of `dbmigrate_before` is done."""

    kind: ClassVar[str] = "prepared"

    revision: str
    seconds: float


@dataclass(frozen=True)
class Started(ProgressMessage):
    """Progress: a revision has begun."""

    kind: ClassVar[str] = "started"

    revision: str
    doc: str


@dataclass(frozen=True)
class Done(ProgressMessage):
    """Progress: a revision is applied."""

    kind: ClassVar[str] = "done"

    revision: str
    seconds: float


@dataclass(frozen=True)
class Comparison(Answer):
    """Answer: what differs between the migrated schema and the models.

    `differences` are records of `schema.difference.Difference`; `unchecked` says why nothing
    was compared, and `seconds` is how long it took if something was.
    """

    kind: ClassVar[str] = "compared"

    differences: list[Record] = field(default_factory=list)
    unchecked: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Result(Answer):
    """Answer: an environment is applied, and compared if it was its turn.

    `tables` is there if there are several environments, `manifest` if the build is kept;
    `output` is what env.py and the revisions printed, which the parent adds.
    """

    kind: ClassVar[str] = "result"

    heads: tuple[str, ...]
    comparison: Comparison
    tables: Tables | None = None
    manifest: Manifest | None = None
    output: str = ""

    @classmethod
    def from_record(cls, record: Record) -> Result:
        """Return the result in the JSON data of a line."""
        tables, manifest = record["tables"], record["manifest"]
        return cls(
            tuple(record["heads"]),
            Comparison(**record["comparison"]),
            Tables(**tables) if tables else None,
            Manifest(**manifest) if manifest else None,
            record["output"],
        )


@dataclass(frozen=True)
class Script(_Value):
    """A revision that the scripts know."""

    revision: str
    doc: str


@dataclass(frozen=True)
class Scripts(Answer):
    """Answer: the revisions that the scripts know, the first ones first."""

    kind: ClassVar[str] = "scripts"

    scripts: tuple[Script, ...]

    @classmethod
    def from_record(cls, record: Record) -> Scripts:
        """Return the answer in the JSON data of a line."""
        return cls(tuple(Script(**it) for it in record["scripts"]))


@dataclass(frozen=True)
class Failed(Answer):
    """Answer: the error, as the record of a `DbmigrateError`."""

    kind: ClassVar[str] = "error"

    error: Record


_REQUESTS = {it.kind: it for it in (Job, ScriptsRequest, CompareRequest)}
_MESSAGES = {
    it.kind: it for it in (Planned, Prepared, Started, Done, Result, Comparison, Scripts, Failed)
}


def line(message: Request | ProgressMessage | Answer) -> str:
    """Return a message as one line of JSON."""
    # every value in a message is a dataclass, so that `vars` has its fields
    return json.dumps({"kind": message.kind, **vars(message)}, default=vars) + "\n"


def send(stream: IO[str], message: ProgressMessage | Answer) -> None:
    """Write one message and flush it."""
    stream.write(line(message))
    stream.flush()


def read_request(text: str | bytes) -> Request:
    """Return the request on a line."""
    record = json.loads(text)
    kind: type[Request] = _REQUESTS[record.pop("kind")]
    return kind.from_record(record)


def read(text: str) -> ProgressMessage | Answer:
    """Return the message of the child on a line."""
    record = json.loads(text)
    kind: type[ProgressMessage | Answer] = _MESSAGES[record.pop("kind")]
    return kind.from_record(record)
