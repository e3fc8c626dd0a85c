"""Registry of the kinds of server: the one place that tells them apart by name.

A kind that is to be asked for by its name is also a word of `settings.server_request.NAMED`.
"""

from __future__ import annotations

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers.docker.kind import Docker
from pytest_dbmigrate.servers.embedded.kind import Embedded
from pytest_dbmigrate.servers.given import Given
from pytest_dbmigrate.servers.kind import ServerKind

KINDS: dict[str, type[ServerKind]] = {kind.name: kind for kind in (Docker, Embedded, Given)}
"""By name, in the order in which `auto` tries them."""


def of(name: str) -> type[ServerKind]:
    """Return the kind with this name. Raises `ServerError`."""
    try:
        return KINDS[name]
    except KeyError:
        raise ServerError(
            f"there is no kind of server named {name}",
            tried=(f"the kinds are {', '.join(KINDS)}",),
            todo=("use the version of pytest-dbmigrate that has it",),
        ) from None


def automatic() -> list[type[ServerKind]]:
    """Return the kinds that `auto` tries, in this order."""
    return [kind for kind in KINDS.values() if kind.is_automatic]
