"""Plugin `dbmigrate` for pytest: its hooks and fixtures; the only room that imports pytest."""

from pytest_dbmigrate.plugin.fixtures import db_server, migrated_db, migrated_db_factory
from pytest_dbmigrate.plugin.hooks import (
    pytest_addhooks,
    pytest_cmdline_main,
    pytest_collection_finish,
    pytest_configure,
    pytest_load_initial_conftests,
    pytest_report_header,
    pytest_runtest_setup,
    pytest_runtestloop,
    pytest_terminal_summary,
    pytest_xdist_setupnodes,
)
from pytest_dbmigrate.plugin.options import pytest_addoption

__all__ = [
    "db_server",
    "migrated_db",
    "migrated_db_factory",
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_cmdline_main",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_report_header",
    "pytest_runtest_setup",
    "pytest_runtestloop",
    "pytest_terminal_summary",
    "pytest_xdist_setupnodes",
]
