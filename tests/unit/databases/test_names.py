"""The names of our databases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.databases import names

RUN = "0a1b2c3d"


def test_each_database_of_a_run_has_the_runs_id_and_its_purpose_in_its_name() -> None:
    assert [
        names.control(RUN),
        names.scratch(RUN),
        names.template(RUN),
        names.lease(RUN, "main"),
        names.lease(RUN, "gw3"),
    ] == [
        "dbm_0a1b2c3d_control",
        "dbm_0a1b2c3d_build",
        "dbm_0a1b2c3d_template",
        "dbm_0a1b2c3d_main",
        "dbm_0a1b2c3d_gw3",
    ]


def test_a_kept_databases_name_tells_its_test() -> None:
    assert (
        names.kept(RUN, "gw3", 7, "test_Signing[key-Ü 1]")
        == "dbm_0a1b2c3d_gw3_7_test_signing_key_1"
    )


@given(st.text())
def test_a_kept_databases_name_is_one_that_postgres_keeps_whole(test: str) -> None:
    assert len(names.kept(RUN, "gw12", 9, test).encode()) <= 63


@given(st.text())
def test_a_kept_databases_name_needs_no_quoting_in_a_shell(test: str) -> None:
    name = names.kept(RUN, "main", 0, test)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_two_kept_databases_of_one_test_have_different_names() -> None:
    assert names.kept(RUN, "main", 0, "test_it") != names.kept(RUN, "main", 1, "test_it")
