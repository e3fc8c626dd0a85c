"""What a setting's text has to be like, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.addresses.env_variable import EnvVariable
from pytest_dbmigrate.settings.alembic_location import AlembicLocation
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.specs import every_spec
from tests.unit.resolving import refusal, resolved, with_url

PARTS = "{url}, {host}, {port}, {user}, {password}, {database}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("server", "oracle", "it is auto, docker, embedded or a postgresql:// URL"),
        ("server", "mysql://localhost/", "a server's URL starts with postgresql://"),
        ("server", "postgresql:///shop", "the URL names no host"),
        (
            "server",
            "postgresql://localhost:port/",
            "the port in the server's URL is not a number below 65536",
        ),
        ("allow_remote", "maybe", "it is true or false"),
        ("keep", "sometimes", "it is one of never, failed, always"),
        ("check", "ignore", "it is one of error, warn, off"),
        ("image", "-v", "it is one word"),
        ("timeout", "0", "it is a number of seconds above zero"),
        ("timeout", "-1", "it is a number of seconds above zero"),
        ("timeout", "nan", "it is a number of seconds above zero"),
        ("suites_mode", "isolated", "it is one of on, off, concurrent"),
        ("suite", "unit;e2e", "it is a name, or several with commas between them"),
        ("timeout", "soon", "it is a number of seconds above zero"),
    ],
)
def test_a_refusal_says_what_the_setting_can_be(
    name: str, value: str, said: str, tmp_path: Path
) -> None:
    spec = next(spec for spec in every_spec() if spec.name == name)
    assert refusal(tmp_path, option={name: value}) == [
        f"{spec.option}={value} cannot be used: {said}",
        f"  to do: {spec.help}",
    ]


@pytest.mark.parametrize("line", ["tests/unit", "my unit: tests", "1st: tests", "automatic"])
def test_a_line_that_defines_no_suite_is_named(line: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_suites": ["ok: tests", line]})[0] == (
        f"dbmigrate_suites cannot be used: {line!r} is not NAME: FOLDER ..., "
        "NAME: -m EXPRESSION, or auto"
    )


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("alembic", "no/alembic.ini", "there is no file or folder no/alembic.ini"),
        ("alembic", "no/alembic.ini:shop", "there is no file or folder no/alembic.ini"),
        ("alembic", "alembic.ini:shop", "there is no file or folder alembic.ini"),
        ("alembic", "migrations", "there is no file or folder migrations"),
        ("before", "sql/roles.sql", "there is no file sql/roles.sql"),
        ("target", "-1", "it is revisions with spaces between them"),
        ("target", "main@head,,other@head", "it is revisions with spaces between them"),
        (
            "x",
            "-x tenant=one",
            "'-x tenant=one' is an option: it is given without the -x before it",
        ),
        ("attributes", "{connection}", "'{connection}' is not name = value"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused(
    name: str, line: str, said: str, tmp_path: Path
) -> None:
    spec = next(spec for spec in every_spec() if spec.name == name)
    assert refusal(tmp_path, ini={spec.ini: [line]}) == [
        f"{spec.ini} cannot be used: {said}",
        f"  to do: {spec.help}",
    ]


def test_lines_that_name_something_are_made_absolute(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "root/config"
    (root / "migrations").mkdir(parents=True)
    folder.mkdir()
    for name in ("config/alembic.ini", "config/roles.sql", "alembic.ini"):
        (root / name).touch()
    ini = {
        "dbmigrate_alembic": [
            "alembic.ini",
            "alembic.ini:shop",
            "migrations",  # which is not beside the ini file, but in the root
            "shop.db:migrations",
            "shop.db:config",
            "shop:alembic.ini:shop",
        ],
        "dbmigrate_before": ["roles.sql", "create schema shop", "shop.db:prepare"],
    }
    settings = resolve(root, {}, {}, ini, ini_folder=folder)
    assert settings.alembic == (
        AlembicLocation(f"{folder}/alembic.ini"),
        AlembicLocation(f"{folder}/alembic.ini", section="shop"),
        AlembicLocation(scripts=f"{root}/migrations"),
        AlembicLocation(module="shop.db", attribute="migrations"),
        AlembicLocation(module="shop.db", attribute="config"),
        AlembicLocation(module="shop", attribute="alembic.ini:shop"),
    )
    assert [str(location) for location in settings.alembic] == [
        f"{folder}/alembic.ini",
        f"{folder}/alembic.ini:shop",
        f"{root}/migrations",
        "shop.db:migrations",
        "shop.db:config",
        "shop:alembic.ini:shop",
    ]
    assert settings.before == (f"{folder}/roles.sql", "create schema shop", "shop.db:prepare")
    assert (
        settings.changed()[1]
        == "before="
        + ",".join([f"{folder}/roles.sql", "create schema ...", "shop.db:prepare"])
        + " (ini)"
    )


def test_a_line_of_targets_has_one_or_more_of_them(tmp_path: Path) -> None:
    for name in ("a.ini", "b.ini"):
        (tmp_path / name).touch()
    ini = {"dbmigrate_alembic": ["a.ini", "b.ini"], "dbmigrate_target": ["head", "x@head, y@head"]}
    settings = resolved(tmp_path, ini=ini)
    assert settings.target == (("head",), ("x@head", "y@head"))
    assert "target=head,x@head y@head (ini)" in settings.changed()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1X", "'1X' is not NAME or NAME=PATTERN"),
        ("DB = {host}", "'DB = {host}' is not NAME or NAME=PATTERN"),
        ("DATABASE-URL", "'DATABASE-URL' is not NAME or NAME=PATTERN"),
        ("DB=postgres", f"'DB=postgres' names no part of the address: {PARTS}"),
        ("DB={dbname}", f"'DB={{dbname}}' has an unknown part; there are {PARTS}"),
        ("DB={host:x}", f"'DB={{host:x}}' has an unknown part; there are {PARTS}"),
        (
            "DB={url:mysql}",
            "'DB={url:mysql}' has a scheme that is not postgresql or postgresql+...",
        ),
    ],
)
def test_a_line_that_is_no_variable_is_refused(line: str, said: str, tmp_path: Path) -> None:
    first, *_ = refusal(tmp_path, ini={"dbmigrate_env": ["DATABASE_URL", line]})
    assert first == f"dbmigrate_env cannot be used: {said}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("CONFIG", "'CONFIG' is not VARIABLE=PATTERN or path/to/file=PATTERN"),
        ("CONFIG=", "'CONFIG=' is not VARIABLE=PATTERN or path/to/file=PATTERN"),
        ("=good", "'=good' is not VARIABLE=PATTERN or path/to/file=PATTERN"),
        ("1X=good", "'1X=good' is not VARIABLE=PATTERN or path/to/file=PATTERN"),
        ("CONFIG = good", "'CONFIG = good' is not VARIABLE=PATTERN or path/to/file=PATTERN"),
        ("CONFIG=missing", "there is no file {}/missing"),
        ("CONFIG=.", "there is no file {}"),
        ("CONFIG=plain", "{}/plain names no part of the address: " + PARTS),
        ("CONFIG=latin", "{}/latin is not a text in UTF-8"),
    ],
)
def test_a_line_that_is_no_file_is_refused(line: str, said: str, tmp_path: Path) -> None:
    with_url(tmp_path / "good")
    (tmp_path / "plain").write_text("{ url } {hots} {url:mysql} {port: 5432}")
    (tmp_path / "latin").write_bytes("{url} f\xfcr".encode("latin-1"))
    first, *_ = refusal(tmp_path, ini={"dbmigrate_env_file": ["OTHER=good", line]})
    assert first == f"dbmigrate_env_file cannot be used: {said.replace('{}', str(tmp_path))}"


DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3/cret"), "shop")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("DB", "postgresql://ann:s3%2Fcret@127.0.0.1:5433/shop"),
        ("DB={url}", "postgresql://ann:s3%2Fcret@127.0.0.1:5433/shop"),
        ("DB={url:postgres}", "postgres://ann:s3%2Fcret@127.0.0.1:5433/shop"),
        ("DB={url:postgresql+asyncpg}", "postgresql+asyncpg://ann:s3%2Fcret@127.0.0.1:5433/shop"),
        ("DB={url}?application_name=x", f"{DSN.url()}?application_name=x"),
        ("DB={host}", "127.0.0.1"),
        ("DB={port}", "5433"),
        ("DB={user}", "ann"),
        ("DB={password}", "s3/cret"),
        ("DB={database}", "shop"),
        ("DB={user}@{host}:{port}/{database}", "ann@127.0.0.1:5433/shop"),
    ],
)
def test_a_variables_pattern_is_filled_with_the_address(line: str, value: str) -> None:
    assert EnvVariable.parse(line).value(DSN) == value


@given(
    st.builds(
        Dsn,
        host=st.just("127.0.0.1"),
        port=st.integers(1, 65535),
        user=st.text(min_size=1),
        password=st.text(st.characters(exclude_categories=["Cs"])).map(Secret),
        dbname=st.text(min_size=1),
    )
)
def test_each_part_of_any_address_arrives_unchanged(dsn: Dsn) -> None:
    filled = {
        part: EnvVariable.parse(f"X={{{part}}}").value(dsn)
        for part in ("host", "port", "user", "password", "database")
    }
    assert filled == {
        "host": dsn.host,
        "port": str(dsn.port),
        "user": dsn.user,
        "password": dsn.password,
        "database": dsn.dbname,
    }
