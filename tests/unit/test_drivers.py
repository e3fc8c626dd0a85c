"""The driver where nobody names one; with SQLAlchemy 1.4 it is tried in tests/real."""

from __future__ import annotations

from pytest_dbmigrate import drivers


def test_it_is_psycopg_which_the_plugin_needs_itself() -> None:
    assert drivers.own() == "psycopg"
