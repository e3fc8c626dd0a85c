"""Cluster watch: what a build makes for the whole server, roles above all.

A catalog row does not tell who has written it. So the server is looked at before a build and
after it, and what is new is recorded as the build's only if nobody else can have made it.
"""

from __future__ import annotations

from pytest_dbmigrate.databases import cluster
from pytest_dbmigrate.runs.notes import ClusterChanged
from pytest_dbmigrate.template.context import BuildContext


class ClusterWatch:
    """The server's objects before a build, to be compared with those after it."""

    def __init__(self, context: BuildContext) -> None:
        self._context = context
        self._was_alone = context.is_alone()
        self._before = cluster.look(context.control)

    def record(self, build: str) -> None:
        """Record what is new on the server as made by the build, and write a note of it."""
        context = self._context
        new = cluster.look(context.control) - self._before
        is_sure = self._was_alone and context.is_alone()
        if is_sure:
            cluster.record(context.control, build, new)
        if new:
            things = tuple(sorted(map(str, new)))
            context.run.journal.write(
                ClusterChanged(things, is_sure, stays=not context.is_own_server)
            )
