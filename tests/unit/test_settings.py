"""Option > environment > ini > default, for every setting; and no nonsense is accepted."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dbmigrate.dsn import Dsn, Secret
from pytest_dbmigrate.errors import SettingError
from pytest_dbmigrate.settings import SPECS, EnvVariable, Settings, Spec, resolve

URL = "postgresql://ann:s3cret@127.0.0.1:5433/shop"
REMOTE = "postgresql://ann:s3cret@db.example.com/shop"
NONSENSE = "--no such thing--"
PATHS = ("FILE", "FOLDER")
WORDS = ("one", "two", "three")
MADE = {"FILE": Path.touch, "ENVIRONMENT": Path.touch, "FOLDER": Path.mkdir}
SHAPES = {"attributes": "{0} = {0}", "suites": "{0}: tests/{0}", "within": "{0}:{0}"}
PARTS = "{url}, {host}, {port}, {user}, {password}, {database}"

with_default = pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.default], ids=lambda spec: spec.name
)
without_default = pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if not spec.default and spec.kind == "text"],
    ids=lambda spec: spec.name,
)
refusing_setting = pytest.mark.parametrize(  # whatever is in the other one may be SQL
    "spec", [spec for spec in SPECS if spec.name != "before"], ids=lambda spec: spec.name
)
every_setting = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
every_ini_key = pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.has_ini], ids=lambda spec: spec.name
)


def samples(spec: Spec, folder: Path) -> list[str]:
    """Return usable values of a setting, all different."""
    if spec.kind == "flag":
        return ["true", "false"]
    if spec.name in SHAPES:
        return [SHAPES[spec.name].format(word) for word in WORDS]
    if spec.name == "env_file":
        return [f"{word.upper()}={_made(folder / word, _with_url)}" for word in WORDS]
    if spec.kind == "lines" and spec.name != "alembic":
        return [word.upper() for word in WORDS]
    if spec.metavar in MADE:
        return [_made(folder / word, MADE[spec.metavar]) for word in WORDS]
    if spec.metavar == "SECONDS":
        return ["1", "2.5", "3"]
    if "|" in spec.metavar:
        return [word if word.islower() else URL for word in spec.metavar.split("|")]
    return list(WORDS)


def _made(path: Path, make: Any) -> str:
    make(path)
    return str(path)


def _with_url(path: Path) -> None:
    path.write_text("{url}")


def resolved(
    root: Path,
    option: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    ini: dict[str, Any] | None = None,
) -> Settings:
    """Return the settings of a project in `root`; all paths start there."""
    return resolve(root, option or {}, environ or {}, ini or {}, ini_folder=root, start=root)


def refusal(root: Path, **said: dict[str, Any]) -> list[str]:
    """Return the lines with which these settings are refused."""
    with pytest.raises(SettingError) as refused:
        resolved(root, **said)
    return str(refused.value).splitlines()


def beside(spec: Spec, folder: Path) -> dict[str, str]:
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
def test_a_setting_is_the_default_where_nobody_says_otherwise(spec: Spec, tmp_path: Path) -> None:
    settings = resolved(tmp_path)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == (spec.default, "default")


@every_ini_key
def test_the_ini_goes_before_the_default(spec: Spec, tmp_path: Path) -> None:
    value = samples(spec, tmp_path)[-1]
    settings = resolved(tmp_path, beside(spec, tmp_path), ini={spec.ini: value})
    assert (str(getattr(settings, spec.name)), settings.sources[spec.name]) == (
        str(parsed(spec, value)),
        "ini",
    )


@every_setting
def test_the_environment_goes_before_the_ini(spec: Spec, tmp_path: Path) -> None:
    first, second, *_ = samples(spec, tmp_path)
    ini = {spec.ini: second} if spec.has_ini else {}
    settings = resolved(tmp_path, beside(spec, tmp_path), {spec.environment: first}, ini)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == (
        parsed(spec, first),
        "environment",
    )


@every_setting
def test_the_option_goes_before_the_environment_and_the_ini(spec: Spec, tmp_path: Path) -> None:
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


def parsed(spec: Spec, value: str) -> Any:
    if spec.place is not None:
        return (value,)
    if spec.name == "env_file":
        return (spec.parse(value).located(Path.cwd()),)  # the sample's paths are absolute
    return (spec.parse(value),) if spec.kind == "lines" else spec.parse(value)


@refusing_setting
def test_nonsense_in_an_option_is_refused(spec: Spec, tmp_path: Path) -> None:
    first, *rest = refusal(tmp_path, option={spec.name: NONSENSE})
    assert first.startswith(f"{spec.option}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


@refusing_setting
def test_nonsense_in_the_environment_is_refused(spec: Spec, tmp_path: Path) -> None:
    first, *rest = refusal(tmp_path, environ={spec.environment: NONSENSE})
    assert first.startswith(f"{spec.environment}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS if spec.has_ini and spec.name != "before"],
    ids=lambda spec: spec.name,
)
def test_nonsense_in_the_ini_is_refused(spec: Spec, tmp_path: Path) -> None:
    said = [NONSENSE] if spec.kind == "lines" else NONSENSE
    first, *rest = refusal(tmp_path, ini={spec.ini: said})
    assert first.startswith(f"{spec.ini}{_nonsense(spec, tmp_path)} cannot be used: ")
    assert rest == [f"  to do: {_wanted(spec)}"]


def _wanted(spec: Spec) -> str:
    write = "write it with the differences there are: run once with --db-accept-drift"
    return spec.help if spec.must_exist else write


def _nonsense(spec: Spec, root: Path) -> str:
    if spec.kind == "lines":
        return ""
    return f"={root / NONSENSE if spec.metavar in PATHS else NONSENSE}"


@without_default
def test_an_empty_option_overrides_the_ini(spec: Spec, tmp_path: Path) -> None:
    said = {spec.ini: samples(spec, tmp_path)[0]}
    settings = resolved(tmp_path, {**beside(spec, tmp_path), spec.name: ""}, ini=said)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == ("", "option")


@without_default
def test_an_empty_environment_variable_overrides_the_ini(spec: Spec, tmp_path: Path) -> None:
    said = {spec.ini: samples(spec, tmp_path)[0]}
    settings = resolved(tmp_path, beside(spec, tmp_path), {spec.environment: ""}, said)
    assert (getattr(settings, spec.name), settings.sources[spec.name]) == ("", "environment")


@with_default
def test_a_setting_that_needs_a_value_refuses_an_empty_one(spec: Spec, tmp_path: Path) -> None:
    first, *_ = refusal(tmp_path, option={spec.name: ""})
    shown = spec.option if spec.kind == "lines" else f"{spec.option}="
    assert first.startswith(f"{shown} cannot be used: ")


def test_an_empty_environment_variable_empties_the_list_in_the_ini(tmp_path: Path) -> None:
    settings = resolved(
        tmp_path, environ={"DBMIGRATE_ENV": ""}, ini={"dbmigrate_env": ["DATABASE_URL"]}
    )
    assert settings.env == ()


@every_setting
def test_a_setting_has_the_same_name_everywhere(spec: Spec) -> None:
    assert spec.name in {field.name for field in fields(Settings)}
    assert (spec.option, spec.ini, spec.environment) == (
        spec.spelled or "--db-" + spec.name.replace("_", "-"),
        "dbmigrate_" + spec.name,
        "DBMIGRATE_" + spec.name.upper(),
    )


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
    spec = next(spec for spec in SPECS if spec.name == name)
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


def test_a_suite_cannot_be_selected_where_suites_are_off(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"suite": "unit"}, ini={"dbmigrate_suites_mode": "off"}) == [
        "--db-suite=unit selects a suite, and suites are off",
        "  tried: --db-suites=off, from the ini",
        "  to do: leave out one of the two",
    ]


def test_tests_cannot_be_told_by_fixtures_that_they_need_not_name(tmp_path: Path) -> None:
    ini: dict[str, object] = {"dbmigrate_suites": "auto", "dbmigrate_shared": "true"}
    assert refusal(tmp_path, ini=ini) == [
        (
            "dbmigrate_suites = auto tells tests by the fixtures they name, and with "
            "dbmigrate_shared a test has its database without naming one"
        ),
        "  tried: dbmigrate_shared, from the ini",
        "  to do: say which tests are a suite: NAME: FOLDER ..., or NAME: -m EXPRESSION",
    ]


@pytest.mark.parametrize(("name", "kind"), [("compose_file", "file"), ("pg_bin", "folder")])
def test_a_path_that_leads_nowhere_is_named_in_full(name: str, kind: str, tmp_path: Path) -> None:
    spec = next(spec for spec in SPECS if spec.name == name)
    assert refusal(tmp_path, option={name: "no/where"})[0] == (
        f"{spec.option}={tmp_path}/no/where cannot be used: there is no such {kind}"
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
    spec = next(spec for spec in SPECS if spec.name == name)
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
        f"{folder}/alembic.ini",
        f"{folder}/alembic.ini:shop",
        f"{root}/migrations",
        "shop.db:migrations",
        "shop.db:config",
        "shop:alembic.ini:shop",
    )
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


def test_an_environment_named_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").touch()
    assert refusal(tmp_path, ini={"dbmigrate_alembic": ["alembic.ini", "./alembic.ini"]}) == [
        f"dbmigrate_alembic names {tmp_path}/alembic.ini twice",
        "  to do: keep one of the lines",
    ]


def test_targets_and_environments_have_to_match(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_target": ["head", "heads"]}) == [
        "dbmigrate_target has 2 lines for 1 environment",
        "  to do: give one line for all of them, or a line for each line of dbmigrate_alembic",
    ]


def test_a_refused_url_is_named_without_its_password(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"server": "postgresql://ann:s3/cr@et@localhost/"})[0] == (
        "--db-server=postgresql://ann:***@localhost/ cannot be used: "
        "the port in the server's URL is not a number below 65536"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1X", "'1X' is not NAME or NAME=template"),
        ("DB = {host}", "'DB = {host}' is not NAME or NAME=template"),
        ("DATABASE-URL", "'DATABASE-URL' is not NAME or NAME=template"),
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


def test_an_unknown_environment_variable_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_SEVRER": "docker"}) == [
        "DBMIGRATE_SEVRER is no environment variable of pytest-dbmigrate",
        "  to do: did you mean DBMIGRATE_SERVER?",
    ]


def test_an_unknown_ini_key_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_compose_flie": "compose.yaml"}) == [
        "dbmigrate_compose_flie is no ini key of pytest-dbmigrate",
        "  to do: did you mean dbmigrate_compose_file?",
    ]


def test_an_unknown_name_that_resembles_none_is_refused_with_all_there_are(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_ZZZZZZZZZZZZZZZZZZ": "1"}) == [
        "DBMIGRATE_ZZZZZZZZZZZZZZZZZZ is no environment variable of pytest-dbmigrate",
        f"  to do: known are {', '.join(spec.environment for spec in SPECS)}",
    ]


def test_names_of_others_are_none_of_our_business(tmp_path: Path) -> None:
    settings = resolved(tmp_path, environ={"DATABASE_URL": "x"}, ini={"markers": "x"})
    assert settings.changed() == []


def test_a_path_from_the_command_line_starts_where_the_command_was_given(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/alembic.ini").touch()
    settings = resolve(tmp_path, {"alembic": "alembic.ini"}, {}, {}, start=tmp_path / "sub")
    assert settings.alembic == (str(tmp_path / "sub/alembic.ini"),)


def test_a_path_from_the_ini_starts_at_the_ini_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/alembic.ini").touch()
    ini = {"dbmigrate_alembic": "alembic.ini"}
    settings = resolve(tmp_path, {}, {}, ini, ini_folder=tmp_path / "sub", start=tmp_path)
    assert settings.alembic == (str(tmp_path / "sub/alembic.ini"),)


@pytest.mark.parametrize("spelled", ["1", "true", "True", "YES", "on"])
def test_a_flag_is_switched_on_in_each_usual_spelling(spelled: str, tmp_path: Path) -> None:
    assert resolved(tmp_path, environ={"DBMIGRATE_FRESH": spelled}).fresh is True


@pytest.mark.parametrize("spelled", ["0", "false", "False", "NO", "off", ""])
def test_a_flag_is_switched_off_in_each_usual_spelling(spelled: str, tmp_path: Path) -> None:
    ini = {"dbmigrate_fresh": "true"}
    assert resolved(tmp_path, environ={"DBMIGRATE_FRESH": spelled}, ini=ini).fresh is False


def test_a_variable_named_twice_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_env": ["A={host}", "B", "A"]}) == [
        "dbmigrate_env names A twice",
        "  to do: keep one of the lines",
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["CONFIG=a.tmpl", "CONFIG=b.tmpl"],
            ["dbmigrate_env_file names CONFIG twice", "  to do: keep one of the lines"],
        ),
        (
            ["./config=a.tmpl", "other.yaml=b.tmpl", "./sub/../config=b.tmpl"],
            ["dbmigrate_env_file names ./sub/../config twice", "  to do: keep one of the lines"],
        ),
        (
            ["DATABASE_URL=a.tmpl"],
            [
                "dbmigrate_env and dbmigrate_env_file both name DATABASE_URL",
                "  to do: let it hold the address, or the path of a file with it",
            ],
        ),
    ],
)
def test_a_name_has_one_file(lines: list[str], said: list[str], tmp_path: Path) -> None:
    for name in ("a.tmpl", "b.tmpl"):
        _with_url(tmp_path / name)
    ini = {"dbmigrate_env": ["DATABASE_URL"], "dbmigrate_env_file": lines}
    assert refusal(tmp_path, ini=ini) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("CONFIG", "'CONFIG' is not VARIABLE=template or path/to/file=template"),
        ("CONFIG=", "'CONFIG=' is not VARIABLE=template or path/to/file=template"),
        ("=good", "'=good' is not VARIABLE=template or path/to/file=template"),
        ("1X=good", "'1X=good' is not VARIABLE=template or path/to/file=template"),
        ("CONFIG = good", "'CONFIG = good' is not VARIABLE=template or path/to/file=template"),
        ("CONFIG=missing", "there is no file {}/missing"),
        ("CONFIG=.", "there is no file {}"),
        ("CONFIG=plain", "{}/plain names no part of the address: " + PARTS),
        ("CONFIG=latin", "{}/latin is not a text in UTF-8"),
    ],
)
def test_a_line_that_is_no_file_is_refused(line: str, said: str, tmp_path: Path) -> None:
    _with_url(tmp_path / "good")
    (tmp_path / "plain").write_text("{ url } {hots} {url:mysql} {port: 5432}")
    (tmp_path / "latin").write_bytes("{url} f\xfcr".encode("latin-1"))
    first, *_ = refusal(tmp_path, ini={"dbmigrate_env_file": ["OTHER=good", line]})
    assert first == f"dbmigrate_env_file cannot be used: {said.replace('{}', str(tmp_path))}"


def test_a_service_without_its_compose_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, option={"compose_service": "db"}) == [
        "dbmigrate_compose_service=db needs a compose file",
        "  to do: set dbmigrate_compose_file as well, or neither",
    ]


def test_the_baseline_may_be_missing_if_the_run_writes_it(tmp_path: Path) -> None:
    options = {"baseline": "drift.txt", "accept_drift": "true"}
    assert resolved(tmp_path, options).baseline == str(tmp_path / "drift.txt")


@pytest.mark.parametrize("accepts", ["true", "false"])
def test_the_folder_of_the_baseline_must_exist(accepts: str, tmp_path: Path) -> None:
    path = tmp_path / "no/where.txt"
    said = {"environ": {"DBMIGRATE_BASELINE": "no/where.txt"}, "option": {"accept_drift": accepts}}
    assert refusal(tmp_path, **said) == [
        f"DBMIGRATE_BASELINE={path} cannot be used: there is no folder {path.parent}",
        "  to do: make the folder, or name another file",
    ]


@pytest.mark.parametrize("accepts", ["true", "false"])
def test_a_folder_is_no_baseline(accepts: str, tmp_path: Path) -> None:
    (tmp_path / "drift").mkdir()
    option = {"accept_drift": accepts}
    assert refusal(tmp_path, option=option, ini={"dbmigrate_baseline": "drift"}) == [
        f"dbmigrate_baseline={tmp_path / 'drift'} cannot be used: it is no file",
        "  to do: name another one",
    ]


def test_there_is_nothing_to_look_at_without_the_check(tmp_path: Path) -> None:
    settings = resolved(tmp_path, {"baseline": "no/where.txt", "check": "off"})
    assert settings.baseline == str(tmp_path / "no/where.txt")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"option": {"accept_drift": "true"}}, "--db-accept-drift needs a file to write to"),
        (
            {"environ": {"DBMIGRATE_ACCEPT_DRIFT": "1"}, "ini": {"dbmigrate_baseline": ""}},
            "DBMIGRATE_ACCEPT_DRIFT needs a file to write to",
        ),
    ],
)
def test_differences_are_accepted_in_a_file(
    said: dict[str, Any], what: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, **said) == [
        what,
        "  to do: name it: dbmigrate_baseline = FILE in the ini file, or --db-baseline=FILE",
    ]


def test_differences_that_are_not_looked_for_cannot_be_accepted(tmp_path: Path) -> None:
    said = {"option": {"accept_drift": "true", "baseline": "d"}, "ini": {"dbmigrate_check": "off"}}
    assert refusal(tmp_path, **said) == [
        "--db-accept-drift has nothing to accept with dbmigrate_check=off",
        "  to do: leave one of the two out",
    ]


def test_differences_are_not_accepted_for_ever(tmp_path: Path) -> None:
    assert refusal(tmp_path, ini={"dbmigrate_accept_drift": "false"}) == [
        "--db-accept-drift is for one run, and cannot stand in an ini file",
        "  to do: say --db-accept-drift on the command line",
    ]


def test_a_server_on_another_machine_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, environ={"DBMIGRATE_SERVER": REMOTE}) == [
        "the server at db.example.com is not on this machine",
        "  tried: postgresql://ann:***@db.example.com:5432/shop, from the environment",
        "  to do: name a server on this machine,",
        "         or say --db-allow-remote if databases may be created and dropped there",
    ]


def test_a_server_on_another_machine_is_taken_if_that_is_allowed(tmp_path: Path) -> None:
    settings = resolved(tmp_path, {"server": REMOTE, "allow_remote": "true"})
    assert settings.server == REMOTE


def test_what_is_not_a_default_is_shown_with_its_source_and_without_its_password(
    tmp_path: Path,
) -> None:
    settings = resolved(
        tmp_path,
        {"server": URL},
        {"DBMIGRATE_TIMEOUT": "5"},
        {"dbmigrate_env": ["DATABASE_URL", "APP_DB={url:postgresql+asyncpg}"]},
    )
    assert settings.changed() == [
        "server=postgresql://ann:***@127.0.0.1:5433/shop (option)",
        "timeout=5.0 (environment)",
        "env=DATABASE_URL,APP_DB (ini)",
    ]


def test_the_repr_of_the_settings_hides_the_password(tmp_path: Path) -> None:
    assert "s3cret" not in repr(resolved(tmp_path, {"server": URL}))


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
def test_a_variables_template_is_filled_with_the_address(line: str, value: str) -> None:
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
