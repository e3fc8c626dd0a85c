"""The role of a process: ordered by environment variables that nobody else gets to see."""

from __future__ import annotations

import pytest

from pytest_dbmigrate.plugin.role import ForegroundOrder, ProcessRole

ORDERS = {
    "DBMIGRATE_RUN": "/tmp/run",
    "DBMIGRATE_RUN_SUITE": "unit",
    "DBMIGRATE_RUN_COVERAGE": "{}",
}
ORDER = ForegroundOrder(
    "/tmp/reports", 1, is_last=False, maxfail=2, begun_with=("test_a.py::test",)
)
FOREGROUND = {"DBMIGRATE_RUN_FOREGROUND": ORDER.as_text()}


def test_a_process_without_orders_begins_a_run() -> None:
    role = ProcessRole.from_environ({"PATH": "/bin"})
    assert role == ProcessRole("main", None, "", "", None)
    assert (role.is_worker, role.is_suite_worker) == (False, False)


def test_a_worker_joins_the_run_under_its_own_name() -> None:
    role = ProcessRole.from_environ({**ORDERS, "PYTEST_XDIST_WORKER": "gw1"})
    assert role == ProcessRole("gw1", "/tmp/run", "unit", "{}", None)
    assert (role.is_worker, role.is_suite_worker) == (True, True)


def test_a_worker_without_a_suite_is_no_suites_worker() -> None:
    environ = {"DBMIGRATE_RUN": "/tmp/run", "PYTEST_XDIST_WORKER": "gw1"}
    role = ProcessRole.from_environ(environ)
    assert (role.is_worker, role.is_suite_worker) == (True, False)


def test_a_worker_that_was_told_of_no_run_begins_one() -> None:
    role = ProcessRole.from_environ({"PYTEST_XDIST_WORKER": "gw1"})
    assert (role, role.is_worker) == (ProcessRole(), False)


def test_a_suite_in_the_foreground_joins_the_run_and_is_no_worker() -> None:
    role = ProcessRole.from_environ({**ORDERS, **FOREGROUND})
    assert role == ProcessRole("fg1", "/tmp/run", "unit", "{}", ORDER)
    assert (role.is_worker, role.is_suite_worker) == (False, False)


def test_a_run_to_join_is_a_mistake_in_any_other_process() -> None:
    assert ProcessRole.from_environ({"DBMIGRATE_RUN": "/tmp/run"}) == ProcessRole()


@pytest.mark.parametrize("more", [{"PYTEST_XDIST_WORKER": "gw1"}, FOREGROUND])
def test_orders_are_taken_out_of_the_environment(more: dict[str, str]) -> None:
    environ = {**ORDERS, **more, "PATH": "/bin"}
    ProcessRole.from_environ(environ)
    assert environ.keys() - {"PYTEST_XDIST_WORKER"} == {"PATH"}
