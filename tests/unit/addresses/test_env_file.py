"""Files that carry an address: what is in one, and whether it was us who wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.addresses.env_file import EnvFile
from pytest_dbmigrate.databases import names

DSN = Dsn("127.0.0.1", 5433, "ann", Secret("s3/cret"), names.lease("0123abcd", "main"))
SCRATCH = DSN.at(names.scratch("89abcdef"))
YAML = "db: {{host: {host}, port: {port}}}\r\n# {{url}}\nname: {database}\npool: {{}}\n"
DOTENV = 'DB="{url:postgresql+asyncpg}"\nOTHER={url}?application_name=x\n'


def made(folder: Path, text: str, line: str = "CONFIG=config.yaml.template") -> EnvFile:
    """Return the file of a line; its pattern is written."""
    file = EnvFile.parse(line)
    (folder / file.pattern).write_bytes(text.encode())
    return file.located(folder)


def test_the_address_is_put_in_and_everything_else_left_as_it_is(tmp_path: Path) -> None:
    text = (
        'a: {host}\r\nb: {"port": {port}, "x": {}}\nc: {hots} {url:mysql} {port: 1} { user }\n\xfc'
    )
    assert made(tmp_path, text).filled(DSN) == (
        'a: 127.0.0.1\r\nb: {"port": 5433, "x": {}}\nc: {hots} {url:mysql} {port: 1} { user }\n\xfc'
    )


def test_a_url_has_the_scheme_that_is_asked_for(tmp_path: Path) -> None:
    assert made(tmp_path, "{url:postgresql+asyncpg} {url:postgres} {url}").filled(DSN).split() == [
        DSN.url("asyncpg"),
        DSN.url().replace("postgresql", "postgres"),
        DSN.url(),
    ]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("config.yaml.template", "config.yaml"),
        ("config.yaml.tmpl", "config.yaml"),
        ("settings.toml.in", "settings.toml"),
        (".env.example", ".env"),
        (".in", ".in"),
        ("config.yaml", "config.yaml"),
        ("config.template.yaml", "config.template.yaml"),
    ],
)
def test_a_file_has_the_name_of_its_pattern_without_that_ending(
    tmp_path: Path, pattern: str, name: str
) -> None:
    assert made(tmp_path, "{url}", f"CONFIG={pattern}").file_name == name


@pytest.mark.parametrize(
    "text", [YAML.format_map({it: f"{{{it}}}" for it in ("host", "port", "database")}), DOTENV]
)
@pytest.mark.parametrize("dsn", [DSN, SCRATCH, DSN.at("dbmigrate_no_database")])
def test_what_was_written_for_a_database_of_ours_is_known_again(
    tmp_path: Path, text: str, dsn: Dsn
) -> None:
    file = made(tmp_path, text)
    assert file.is_filled(file.filled(dsn))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{url}",
        "postgresql://ann:x@localhost:5432/shop",
        "postgresql://ann:x@localhost:5432/dbm_0123abcd_main\nmore",
        "postgresql://ann:x@localhost:5432/dbm_shop",
    ],
)
def test_what_somebody_else_wrote_is_not_taken_for_ours(tmp_path: Path, text: str) -> None:
    assert not made(tmp_path, "{url}").is_filled(text)


def test_a_pattern_without_the_databases_name_cannot_tell(tmp_path: Path) -> None:
    file = made(tmp_path, "{host}:{port}")
    assert not file.is_filled(file.filled(DSN))


@pytest.mark.parametrize("name", ["./config", "config.yaml", "etc/config", ".env"])
def test_a_name_with_a_slash_or_a_dot_is_a_path(tmp_path: Path, name: str) -> None:
    assert made(tmp_path, "{url}", f"{name}=it.tmpl").target == str((tmp_path / name).absolute())


def test_any_other_name_is_a_variable(tmp_path: Path) -> None:
    assert made(tmp_path, "{url}", "APP_CONFIG=it.tmpl").target == ""
