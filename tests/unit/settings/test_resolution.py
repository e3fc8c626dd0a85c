"""Option > environment > ini > default, for every setting; and no nonsense is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_dbmigrate.settings.alembic_location import AlembicLocation
from pytest_dbmigrate.settings.kinds import (
    Choice,
    Entry,
    File,
    Flag,
    Folder,
    Lines,
    PlacedLines,
    Seconds,
    Server,
    Spec,
    Text,
)
from pytest_dbmigrate.settings.resolution import resolve
from pytest_dbmigrate.settings.specs import every_spec
from tests.unit.resolving import URL, refusal, resolved, with_url

NONSENSE = "--no such thing--"
WORDS = ("one", "two", "three")
SHAPES = {"attributes": "{0} = {0}", "suites": "{0}: tests/{0}", "within": "{0}:{0}"}
TEXTS = {
    Flag: ["true", "false"],
    Seconds: ["1", "2.5", "3"],
    Server: ["docker", "embedded", URL],
    Lines: ["ONE", "TWO", "THREE"],
    PlacedLines: ["ONE", "TWO", "THREE"],
}
SPECS = every_spec()

with_default = pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.default and not isinstance(spec, Flag)],
    ids=lambda spec: spec.name,
)
without_default = pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if isinstance(spec, Text) and not spec.default],
    ids=lambda spec: spec.name,
)
refusing_setting = pytest.mark.parametrize(  # whatever is in the other one may be SQL
    "spec", [spec for spec in SPECS if spec.name != "before"], ids=lambda spec: spec.name
)
every_setting = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
every_ini_key = pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.has_ini], ids=lambda spec: spec.name
)


def samples(spec: Spec[Any], folder: Path) -> list[str]:
    """Return usable values of a setting, all different."""
    if spec.name in SHAPES:
        return [SHAPES[spec.name].format(word) for word in WORDS]
    if spec.name == "env_file":
        return [f"{word.upper()}={_made(folder / word, with_url)}" for word in WORDS]
    if isinstance(spec, File | Folder) or spec.name == "alembic":
        make = Path.mkdir if isinstance(spec, Folder) else Path.touch
        return [_made(folder / word, make) for word in WORDS]
    if isinstance(spec, Choice):
        return list(spec.words)
    return TEXTS.get(type(spec), list(WORDS))


def _made(path: Path, make: Any) -> str:
    make(path)
    return str(path)


def beside(spec: Spec[Any], folder: Path) -> dict[str, str]:
    """Return the options that a setting cannot do without."""
    beside = {
        "compose_service": ("compose_file", "compose.yaml"),
        "accept_drift": ("baseline", "d"),
    }
    if spec.name not in beside:
        return {}
    name, file = beside[spec.name]
    return {name: _made(folder / file, Path.touch)}


@every_setting
def test_a_setting_is_the_default_where_nobody_says_otherwise(
    spec: Spec[Any], tmp_path: Path
) -> None:
    settings = resolved(tmp_path)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == (spec.default, "default")


@every_ini_key
def test_the_ini_goes_before_the_default(spec: Spec[Any], tmp_path: Path) -> None:
    value = samples(spec, tmp_path)[-1]
    settings = resolved(tmp_path, beside(spec, tmp_path), ini={spec.ini: value})
    assert (str(getattr(settings, spec.name)), settings.sources[spec.name]) == (
        str(parsed(spec, value)),
        "ini",
    )


@every_setting
def test_the_environment_goes_before_the_ini(spec: Spec[Any], tmp_path: Path) -> None:
    first, second, *_ = samples(spec, tmp_path)
    ini = {spec.ini: second} if spec.has_ini else {}
    settings = resolved(tmp_path, beside(spec, tmp_path), {spec.environment: first}, ini)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == (
        parsed(spec, first),
        "environment",
    )


@every_setting
def test_the_option_goes_before_the_environment_and_the_ini(
    spec: Spec[Any], tmp_path: Path
) -> None:
    first, second, *rest = samples(spec, tmp_path)
    settings = resolved(
        tmp_path,
        {**beside(spec, tmp_path), spec.name: first},
        {spec.environment: second},
        {spec.ini: (rest or [second])[0]} if spec.has_ini else {},
    )
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == (
        parsed(spec, first),
        "option",
    )


def parsed(spec: Spec[Any], value: str) -> Any:
    return spec.read(Entry("option", spec.option, value, (Path.cwd(),)))  # paths are absolute


@refusing_setting
def test_nonsense_in_an_option_is_refused(spec: Spec[Any], tmp_path: Path) -> None:
    first, *rest = refusal(tmp_path, option={spec.name: NONSENSE})
    assert first.startswith(f"{spec.option}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


@refusing_setting
def test_nonsense_in_the_environment_is_refused(spec: Spec[Any], tmp_path: Path) -> None:
    first, *rest = refusal(tmp_path, environ={spec.environment: NONSENSE})
    assert first.startswith(f"{spec.environment}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.has_ini and spec.name != "before"],
    ids=lambda spec: spec.name,
)
def test_nonsense_in_the_ini_is_refused(spec: Spec[Any], tmp_path: Path) -> None:
    said = [NONSENSE] if isinstance(spec, PlacedLines) else NONSENSE
    first, *rest = refusal(tmp_path, ini={spec.ini: said})
    assert first.startswith(f"{spec.ini}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


def _wanted(spec: Spec[Any]) -> str:
    write = "write it with the differences there are: run once with --db-accept-drift"
    return write if isinstance(spec, File) and not spec.must_exist else spec.help


def _nonsense(spec: Spec[Any], root: Path) -> str:
    match spec:
        case PlacedLines():
            return ""
        case File() | Folder():
            return f"={root / NONSENSE}"
    return f"={NONSENSE}"


@without_default
def test_an_empty_option_overrides_the_ini(spec: Spec[Any], tmp_path: Path) -> None:
    said = {spec.ini: samples(spec, tmp_path)[0]}
    settings = resolved(tmp_path, {**beside(spec, tmp_path), spec.name: ""}, ini=said)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == ("", "option")


@without_default
def test_an_empty_environment_variable_overrides_the_ini(spec: Spec[Any], tmp_path: Path) -> None:
    said = {spec.ini: samples(spec, tmp_path)[0]}
    settings = resolved(tmp_path, beside(spec, tmp_path), {spec.environment: ""}, said)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == ("", "environment")


@with_default
def test_a_setting_that_needs_a_value_refuses_an_empty_one(spec: Spec[Any], tmp_path: Path) -> None:
    first, *_ = refusal(tmp_path, option={spec.name: ""})
    shown = spec.option if isinstance(spec, PlacedLines) else f"{spec.option}="
    assert first.startswith(f"{shown} cannot be used: ")


def test_an_empty_environment_variable_empties_the_list_in_the_ini(tmp_path: Path) -> None:
    settings = resolved(
        tmp_path, environ={"DBMIGRATE_ENV": ""}, ini={"dbmigrate_env": ["DATABASE_URL"]}
    )
    assert settings.env == ()


@every_setting
def test_a_setting_has_the_same_name_everywhere(spec: Spec[Any]) -> None:
    name = {"suites_mode": "suites"}.get(spec.name, spec.name)
    assert (spec.option, spec.long_option, spec.dest, spec.ini, spec.environment) == (
        "--db-" + name.replace("_", "-"),
        "--dbmigrate-" + name.replace("_", "-"),
        "dbmigrate_" + name,
        "dbmigrate_" + spec.name,
        "DBMIGRATE_" + spec.name.upper(),
    )


@pytest.mark.parametrize(("name", "kind"), [("compose_file", "file"), ("pg_bin", "folder")])
def test_a_path_that_leads_nowhere_is_named_in_full(name: str, kind: str, tmp_path: Path) -> None:
    spec = next(spec for spec in SPECS if spec.name == name)
    assert refusal(tmp_path, option={name: "no/where"})[0] == (
        f"{spec.option}={tmp_path}/no/where cannot be used: there is no such {kind}"
    )


def test_a_refused_url_is_named_without_its_password(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"server": "postgresql://ann:s3/cr@et@localhost/"})[0] == (
        "--db-server=postgresql://ann:***@localhost/ cannot be used: "
        "the port in the server's URL is not a number below 65536"
    )


def test_an_unknown_environment_variable_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_SEVRER": "docker"}) == [
        "pytest-dbmigrate has no environment variable DBMIGRATE_SEVRER",
        "  to do: did you mean DBMIGRATE_SERVER?",
    ]


def test_an_unknown_ini_key_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_compose_flie": "compose.yaml"}) == [
        "pytest-dbmigrate has no ini key dbmigrate_compose_flie",
        "  to do: did you mean dbmigrate_compose_file?",
    ]


def test_an_unknown_name_that_resembles_none_is_refused_with_all_there_are(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_ZZZZZZZZZZZZZZZZZZ": "1"}) == [
        "pytest-dbmigrate has no environment variable DBMIGRATE_ZZZZZZZZZZZZZZZZZZ",
        f"  to do: known are {', '.join(spec.environment for spec in SPECS)}",
    ]


def test_unrelated_names_are_ignored(tmp_path: Path) -> None:
    settings = resolved(tmp_path, environ={"DATABASE_URL": "x"}, ini={"markers": "x"})
    assert settings.changed() == []


def test_a_path_from_the_command_line_starts_where_the_command_was_given(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/alembic.ini").touch()
    settings = resolve(tmp_path, {"alembic": "alembic.ini"}, {}, {}, start=tmp_path / "sub")
    assert settings.alembic == (AlembicLocation(str(tmp_path / "sub/alembic.ini")),)


def test_a_path_from_the_ini_starts_at_the_ini_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/alembic.ini").touch()
    ini = {"dbmigrate_alembic": "alembic.ini"}
    settings = resolve(tmp_path, {}, {}, ini, ini_folder=tmp_path / "sub", start=tmp_path)
    assert settings.alembic == (AlembicLocation(str(tmp_path / "sub/alembic.ini")),)


@pytest.mark.parametrize("spelled", ["1", "true", "True", "YES", "on"])
def test_a_flag_is_switched_on_in_each_usual_spelling(spelled: str, tmp_path: Path) -> None:
    assert resolved(tmp_path, environ={"DBMIGRATE_FRESH": spelled}).fresh is True


@pytest.mark.parametrize("spelled", ["0", "false", "False", "NO", "off", ""])
def test_a_flag_is_switched_off_in_each_usual_spelling(spelled: str, tmp_path: Path) -> None:
    ini = {"dbmigrate_fresh": "true"}
    assert resolved(tmp_path, environ={"DBMIGRATE_FRESH": spelled}, ini=ini).fresh is False


def test_differences_are_not_accepted_for_ever(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_accept_drift": "false"}) == [
        "--db-accept-drift is for one run, and cannot stand in an ini file",
        "  to do: say --db-accept-drift on the command line",
    ]
