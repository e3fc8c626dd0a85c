"""Record of an upgrade that a later run may resume: files read, and env.py's configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_dbmigrate.child.env_run import EnvRun, config_files
from pytest_dbmigrate.child.recorder import FileRecorder
from pytest_dbmigrate.errors import StaleStateError
from pytest_dbmigrate.migrations.env_configuration import EnvConfiguration, TablesMade


@dataclass(frozen=True)
class Record:
    """Everything that a later run needs to resume an upgrade.

    `configured` is what env.py had told Alembic when the database was last migrated, if it
    was; `helpers` are files of the project that have a part in it besides env.py; `tables`
    is what is known by now of the tables that the environment makes.
    """

    recorder: FileRecorder
    configured: EnvConfiguration | None = None
    helpers: Sequence[str] = ()
    tables: TablesMade = field(default_factory=TablesMade)

    def configuration(self, env: EnvRun) -> EnvConfiguration:
        """Return the configuration that env.py gives Alembic now.

        Raises `StaleStateError` where it has changed what the applied revisions rested on.
        """
        conventions = [
            sorted((str(key), str(text)) for key, text in it.naming_convention.items())
            for it in env.metadata
        ]
        earlier = self.configured.common if self.configured else {}  # what was run before, say
        file = os.path.realpath(env.file)
        table, schema = env.version_table
        now = EnvConfiguration(
            version_table=table,
            version_table_schema=schema or env.schema,
            naming_convention=[[list(pair) for pair in it] for it in conventions],
            common=earlier | self.recorder.common(file, self.helpers, config_files(env.config)),
            tables=self.tables,
        )
        changed = self.configured.changed(now) if self.configured else ""
        if changed:
            raise StaleStateError(f"env.py configures another {changed}")
        return now
