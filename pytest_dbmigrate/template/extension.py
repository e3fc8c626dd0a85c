"""Extension: what a project adds to the template and to its check. The plugin has it from hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_dbmigrate.databases.connection import Connection
    from pytest_dbmigrate.schema.difference import Difference


class Extension(Protocol):
    """The project's own steps. Each raises `DbmigrateError` for what goes wrong in one."""

    def data_files(self) -> tuple[str, ...]:
        """Return the source files of the hooks that put data into the template."""

    def put_data(self, connection: Connection) -> None:
        """Put the data into the template."""

    def change_differences(self, differences: list[Difference]) -> None:
        """Add to the differences, or remove some, before they are judged."""


class NoExtension:
    """The extension of a project that adds nothing."""

    def data_files(self) -> tuple[str, ...]:
        """Return no file."""
        return ()

    def put_data(self, connection: Connection) -> None:
        """Add no data."""

    def change_differences(self, differences: list[Difference]) -> None:
        """Leave them as they are."""
