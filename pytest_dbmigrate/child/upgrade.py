"""Upgrade of one database: one run of env.py, in which Alembic applies the plan.

Alembic asks for the steps to apply, runs each in a transaction, and then asks for the next. As
it is given a generator, what surrounds a `yield` surrounds a revision.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory

from pytest_dbmigrate.child.env_run import EnvRun, VersionTable
from pytest_dbmigrate.child.plan import Plan
from pytest_dbmigrate.child.progress import Progress
from pytest_dbmigrate.child.record import Record
from pytest_dbmigrate.child.watch import Watch
from pytest_dbmigrate.errors import MigrationError

Check = Callable[[Config, ScriptDirectory, MigrationContext], None]


class Upgrade:
    """One upgrade of one database: env.py's run, the plan, and its progress.

    `reached` has the heads of each version table after its last revision.
    """

    def __init__(
        self,
        env: EnvRun,
        plan: Plan,
        progress: Progress,
        check: Check,
        record: Record | None = None,
        *,
        taken: Mapping[str, str] | None = None,
    ) -> None:
        """`check` is called once, after the last revision, while env.py is still connected.

        With a record, what a later run needs to resume is written to the history. `taken` has
        other environments' version tables, each with the folder of its scripts.
        """
        self.env = env
        self.plan = plan
        self.progress = progress
        self.reached: dict[VersionTable, set[str]] = {}
        self._check = check
        self._record = record
        self._taken = taken or {}

    def run(self) -> None:
        """Run env.py once. Whatever it or a revision raises comes through."""
        progress = self.progress
        with contextlib.closing(Watch(progress.leave_transaction)) as watch:
            self.env.run(partial(self._steps, watch), self.plan.destination)
        if progress.raised is not None and progress.current is not None:
            raise progress.raised  # env.py has swallowed it
        if not self.env.has_asked:
            raise MigrationError(
                "env.py ended without running the migrations",
                tried=(self.env.file,),
                todo=("let it call context.configure(...) and context.run_migrations()",),
            )
        if progress.current is not None:
            raise MigrationError(
                f"env.py ended in the middle of revision {progress.current.revision}",
                tried=(self.env.file,),
                todo=("let it raise what context.run_migrations() raises",),
            )

    def _steps(
        self, watch: Watch, heads: Any, context: MigrationContext
    ) -> Iterator[MigrationStep]:
        """Yield the steps to Alembic, which asks in `MigrationContext.run_migrations`.

        There it loops over what its `fn` has returned: it begins a transaction, runs the step,
        updates the version table and commits, and only then takes the next step from here. So
        the code after `yield` runs once the revision is committed, and not at all if it fails.
        """
        self._refuse_shared_version_table()
        steps = self.plan.steps(self.env.script, heads)
        if self._record:
            self.progress.keep(self._record.configuration(self.env))
        self.progress.plan(len(steps))
        for step in steps:
            self.progress.start(step)
            self._watch_script(step, watch)
            yield step
            self.progress.finish()
        self.progress.end()
        self.reached[self.env.version_table] = set(context.get_current_heads())
        self._check(self.env.config, self.env.script, context)

    def _watch_script(self, step: Any, watch: Watch) -> None:
        """Watch the step's script, and not what Alembic does around it."""
        run, progress = step.migration_fn, self.progress

        @functools.wraps(run)  # Alembic logs its name
        def watched(**keywords: Any) -> None:
            try:
                with watch.script():
                    run(**keywords)
            except BaseException as error:
                progress.raised = error
                raise
            progress.note_read_files()

        step.migration_fn = watched

    def _refuse_shared_version_table(self) -> None:
        """Refuse the version table of other scripts: Alembic would take its revisions for ours."""
        name, schema = self.env.version_table
        table = f"{schema or self.env.schema}.{name}"
        if self._taken.get(table, self.env.scripts) != self.env.scripts:
            raise MigrationError(
                f"two environments use the same version table, {table}",
                tried=(f"the scripts of the other: {self._taken[table]}",),
                todo=("give one of them its own: version_table in context.configure()",),
            )
