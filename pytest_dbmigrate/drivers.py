"""The driver under SQLAlchemy where nobody names one."""

from __future__ import annotations

import functools
from importlib.metadata import version


@functools.cache
def own() -> str:
    """Return psycopg, which is always there; SQLAlchemy 1.4 knows none newer than psycopg2."""
    return "psycopg2" if version("sqlalchemy").startswith("1.") else "psycopg"
