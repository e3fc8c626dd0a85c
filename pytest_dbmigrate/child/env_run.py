"""One run of the project's env.py: what it tells Alembic, and proof of where it connects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory

from pytest_dbmigrate.addresses.dsn import Dsn
from pytest_dbmigrate.errors import MigrationError, WrongDatabaseError

VersionTable: TypeAlias = tuple[str, str | None]  # its name, and its schema if env.py names one
Steps: TypeAlias = Callable[[Any, MigrationContext], Iterable[MigrationStep]]

HAND_OVER = (
    "let env.py take its URL from config.get_main_option('sqlalchemy.url'),",
    "or name the environment variable it reads in dbmigrate_env",
)


class EnvRun:
    """One run of env.py, and what it has given Alembic by now."""

    def __init__(self, config: Config, dsn: Dsn) -> None:
        self.config = config
        self.script = ScriptDirectory.from_config(config)
        self.schema: str | None = None  # where tables are if nothing names one
        self.has_asked = False  # for the steps to apply
        self.is_verified = False  # it is connected to our database
        self._dsn = dsn
        self._options: dict[str, Any] = {}

    def run(self, steps: Steps, destination: str) -> None:
        """Run env.py, which asks `steps` what to apply. Whatever it raises comes through."""
        context = EnvironmentContext(
            self.config,
            self.script,
            fn=self._wrap(steps),
            as_sql=False,
            starting_rev=None,
            destination_rev=destination,
            tag=None,
        )
        self._context = context
        configure = context.configure

        def configure_verified(connection: Any = None, **options: Any) -> None:
            self._verify(connection)
            options["transaction_per_migration"] = True
            self._options = options
            configure(connection=connection, **options)

        # `alembic.context` is a module whose functions call the method of the same name on the
        # instance that was entered last: an attribute of the instance comes before the method.
        # A subclass would not do, for the functions are made from EnvironmentContext itself.
        context.configure = configure_verified  # type: ignore[method-assign, assignment]
        with context:
            self.script.run_env()

    @property
    def version_table(self) -> VersionTable:
        """The version table that env.py has named."""
        table = self._options.get("version_table") or "alembic_version"
        return table, self._options.get("version_table_schema")

    @property
    def file(self) -> str:
        """The path of env.py."""
        return str(self.script.env_py_location)

    @property
    def scripts(self) -> str:
        """The folder of the scripts."""
        return os.path.realpath(self.script.dir)

    @property
    def metadata(self) -> list[Any]:
        """The collections of models that env.py has named."""
        target = self._options.get("target_metadata")
        several = list(target) if isinstance(target, list | tuple) else [target]
        return [it for it in several if hasattr(it, "naming_convention")]

    def models(self) -> list[str]:
        """Return `schema.table` for each table of the models."""
        return sorted(
            f"{table.schema or self.schema}.{table.name}"
            for metadata in self.metadata
            for table in metadata.tables.values()
        )

    def _wrap(self, steps: Steps) -> Steps:
        """Let the steps know what can only be told once env.py is connected."""

        def wrapped(heads: Any, context: MigrationContext) -> Iterable[MigrationStep]:
            self.has_asked = True
            self.schema = _query(context.connection, "select current_schema()")
            self.script = self._context.script  # env.py may have set another
            return steps(heads, context)

        return wrapped

    def _verify(self, connection: Any) -> None:
        """Refuse any database but ours; its name has the run's random id in it."""
        if connection is None:
            raise MigrationError(
                "env.py configures Alembic without a connection",
                todo=("let it pass connection=... to context.configure()",),
            )
        database = _query(connection, "select current_database()")
        if database != self._dsn.dbname:
            url = connection.engine.url
            where = f"{url.host or 'a socket'}:{url.port or 5432}"
            raise WrongDatabaseError(
                f"env.py connects to database {database} at {where}, "
                f"not to the one prepared for it ({self._dsn.dbname})",
                tried=("asking its connection for current_database(); nothing was run there",),
                todo=HAND_OVER,
            )
        self.is_verified = True


def config_files(config: Config) -> list[str]:
    """Return the paths of the files that a configuration was read from."""
    paths = (config.config_file_name, getattr(config, "toml_file_name", None))
    return [os.path.realpath(path) for path in paths if path]


def _query(connection: Any, question: str) -> Any:
    """Return what the database answers on env.py's connection, which is left as it was."""
    was_in_transaction = connection.in_transaction()
    answer = connection.exec_driver_sql(question).scalar()
    if not was_in_transaction and (begun := connection.get_transaction()) is not None:
        begun.rollback()  # else Alembic takes the transaction for env.py's own
    return answer
