"""Each setting as a user meets it: its three spellings, their order, and what is refused."""

from __future__ import annotations

import socket
import sys

import pytest

from pytest_dbmigrate.settings.specs import every_spec
from tests.plugin.projects import ITEM_MODEL, Project, block, output, told

SERVERS = "it is auto, docker, embedded or a postgresql:// URL"
HELP = {spec.name: spec.help for spec in every_spec()}
UNIT_TEST = "def test_it(): pass"
PARTS = "{url}, {host}, {port}, {user}, {password}, {database}"


def refusal(result: pytest.RunResult) -> list[str]:
    """Return the usage error of a run that ended with nothing else."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert output(result).strip() == ""
    return [line for line in result.errlines if line]


def unusable(what: str, help_text: str) -> list[str]:
    return [f"ERROR: dbmigrate: {what}", f"  to do: {help_text}"]


@pytest.mark.parametrize(
    ("option", "why", "setting"),
    [
        ("--db-server=dcoker", SERVERS, "server"),
        ("--db-server=", SERVERS, "server"),
        ("--db-server=localhost:5432", SERVERS, "server"),
        (
            "--db-server=mysql://localhost/x",
            "a server's URL starts with postgresql://",
            "server",
        ),
        (
            "--db-server=postgresql://localhost:99999/x",
            "the port in the server's URL is not a number below 65536",
            "server",
        ),
        ("--db-server=postgresql:///x", "the URL names no host", "server"),
        ("--db-timeout=0", "it is a number of seconds above zero", "timeout"),
        ("--db-timeout=-1", "it is a number of seconds above zero", "timeout"),
        ("--db-timeout=soon", "it is a number of seconds above zero", "timeout"),
        ("--db-timeout=inf", "it is a number of seconds above zero", "timeout"),
        ("--db-keep=sometimes", "it is one of never, failed, always", "keep"),
        ("--db-check=yes", "it is one of error, warn, off", "check"),
        ("--db-image=", "it is one word", "image"),
        ("--db-image=two words", "it is one word", "image"),
        ("--db-compose-service=two words", "it is one word", "compose_service"),
    ],
)
def test_an_option_with_an_unusable_value_is_refused(
    project: Project, option: str, why: str, setting: str
) -> None:
    project.tests(UNIT_TEST)

    result = project.run(option, server="")

    assert refusal(result) == unusable(f"{option} cannot be used: {why}", HELP[setting])


@pytest.mark.parametrize(
    ("option", "setting", "kind"),
    [
        ("--db-compose-file", "compose_file", "file"),
        ("--db-pg-bin", "pg_bin", "folder"),
    ],
)
def test_what_an_option_names_must_exist(
    project: Project, option: str, setting: str, kind: str
) -> None:
    project.tests(UNIT_TEST)

    result = project.run(f"{option}=missing", server="")

    what = f"{option}={project.path / 'missing'} cannot be used: there is no such {kind}"
    assert refusal(result) == unusable(what, HELP[setting])


@pytest.mark.parametrize(
    ("option", "why", "setting"),
    [
        ("--db-target=", "it is revisions with spaces between them", "target"),
        ("--db-target=--sql", "it is revisions with spaces between them", "target"),
        ("--db-alembic=missing", "there is no file or folder missing", "alembic"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(
    project: Project, option: str, why: str, setting: str
) -> None:
    project.tests(UNIT_TEST)

    result = project.run(option, server="")

    spelled = option.partition("=")[0]
    assert refusal(result) == unusable(f"{spelled} cannot be used: {why}", HELP[setting])


def test_a_file_is_no_folder_of_programs(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run("--db-pg-bin=pytest.ini", server="")

    what = f"--db-pg-bin={project.path / 'pytest.ini'} cannot be used: there is no such folder"
    assert refusal(result) == unusable(what, HELP["pg_bin"])


def test_a_compose_service_needs_a_compose_file(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run("--db-compose-service=db", server="")

    assert refusal(result) == [
        "ERROR: dbmigrate: dbmigrate_compose_service=db needs a compose file",
        "  to do: set dbmigrate_compose_file as well, or neither",
    ]


def test_a_server_elsewhere_is_refused(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run(server="postgresql://ada:secret@db.example.com/shop")

    assert refusal(result) == [
        "ERROR: dbmigrate: the server at db.example.com is not on this machine",
        "  tried: postgresql://ada:***@db.example.com:5432/shop, from the option",
        "  to do: name a server on this machine,",
        "         or say --db-allow-remote if databases may be created and dropped there",
    ]


def test_a_server_elsewhere_may_be_allowed(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run("--db-allow-remote", server="postgresql://db.example.com/shop")

    result.assert_outcomes(passed=1)


def test_an_allowance_in_the_ini_file_can_be_taken_back(project: Project) -> None:
    project.ini("dbmigrate_allow_remote = true")
    project.tests(UNIT_TEST)

    result = project.run("--no-db-allow-remote", server="postgresql://db.example.com/shop")

    assert refusal(result)[0] == (
        "ERROR: dbmigrate: the server at db.example.com is not on this machine"
    )


@pytest.mark.parametrize(
    "option", ["--db-frseh", "--db-fresh=yes", "--db-serv=embedded", "--dbmigrate-serv=embedded"]
)
def test_an_option_that_is_none_of_ours_is_pytests_to_refuse(project: Project, option: str) -> None:
    project.tests(UNIT_TEST)

    result = project.run(option, server="")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*error: *{option.partition('=')[0]}*"])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        (
            "DBMIGRATE_SERVER",
            "dcoker",
            unusable(f"DBMIGRATE_SERVER=dcoker cannot be used: {SERVERS}", HELP["server"]),
        ),
        (
            "DBMIGRATE_FRESH",
            "maybe",
            unusable("DBMIGRATE_FRESH=maybe cannot be used: it is true or false", HELP["fresh"]),
        ),
        (
            "DBMIGRATE_ENV",
            "APP_DB=nowhere",
            unusable(
                "DBMIGRATE_ENV cannot be used: 'APP_DB=nowhere' names no part of the address: "
                + PARTS,
                HELP["env"],
            ),
        ),
        (
            "DBMIGRATE_SERVRE",
            "docker",
            unusable(
                "pytest-dbmigrate has no environment variable DBMIGRATE_SERVRE",
                "did you mean DBMIGRATE_SERVER?",
            ),
        ),
        (
            "DBMIGRATE_CONNECTION_STRING",
            "docker",
            unusable(
                "pytest-dbmigrate has no environment variable DBMIGRATE_CONNECTION_STRING",
                "known are " + ", ".join(spec.environment for spec in every_spec()),
            ),
        ),
    ],
)
def test_an_unusable_environment_variable_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    project.tests(UNIT_TEST)

    assert refusal(project.run(server="")) == error


def test_the_variable_between_a_run_and_its_workers_is_not_for_users(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBMIGRATE_RUN", "/nowhere")
    project.tests(UNIT_TEST)

    assert refusal(project.run(server=""))[0] == (
        "ERROR: dbmigrate: pytest-dbmigrate has no environment variable DBMIGRATE_RUN"
    )


@pytest.mark.parametrize(
    ("file", "section", "value"),
    [
        ("pytest.ini", "pytest", "docker"),
        ("pyproject.toml", "tool.pytest.ini_options", '"docker"'),
        ("pyproject.toml", "tool.pytest", '"docker"'),
        ("tox.ini", "pytest", "docker"),
        ("setup.cfg", "tool:pytest", "docker"),
    ],
)
def test_an_unknown_ini_key_of_ours_is_refused(
    project: Project, file: str, section: str, value: str
) -> None:
    if section == "tool.pytest" and pytest.version_tuple < (9,):
        pytest.skip("pytest 9 reads this section")
    (project.path / "pytest.ini").unlink()
    project.write(file, f"[{section}]\ndbmigrate_servr = {value}\n")
    project.tests(UNIT_TEST)

    assert refusal(project.run(server="")) == [
        "ERROR: dbmigrate: pytest-dbmigrate has no ini key dbmigrate_servr",
        "  to do: did you mean dbmigrate_server?",
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("9LIVES", "'9LIVES' is not NAME or NAME=PATTERN"),
        ("APP-DB={url}", "'APP-DB={url}' is not NAME or NAME=PATTERN"),
        ("={url}", "'={url}' is not NAME or NAME=PATTERN"),
        ("APP_DB=", f"'APP_DB=' names no part of the address: {PARTS}"),
        ("APP_DB={url", f"'APP_DB={{url' names no part of the address: {PARTS}"),
        ("APP_DB={hots}", f"'APP_DB={{hots}}' has an unknown part; there are {PARTS}"),
        ("APP_DB={host:x}", f"'APP_DB={{host:x}}' has an unknown part; there are {PARTS}"),
        (
            "APP_DB={url:mysql}",
            "'APP_DB={url:mysql}' has a scheme that is not postgresql or postgresql+...",
        ),
    ],
)
def test_a_variable_that_cannot_carry_the_address_is_refused(
    project: Project, line: str, why: str
) -> None:
    project.ini(f"dbmigrate_env =\n    DATABASE_URL\n    {line}\n")
    project.tests(UNIT_TEST)

    assert refusal(project.run(server="")) == unusable(
        f"dbmigrate_env cannot be used: {why}", HELP["env"]
    )


def test_a_variable_carries_one_value(project: Project) -> None:
    project.ini("dbmigrate_env =\n    DB={url}\n    DB={host}\n")
    project.tests(UNIT_TEST)

    assert refusal(project.run(server="")) == [
        "ERROR: dbmigrate: dbmigrate_env names DB twice",
        "  to do: keep one of the lines",
    ]


def test_the_header_is_short_where_nothing_was_set(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run(server="")

    result.assert_outcomes(passed=1)
    assert told(result) == ["0.1.0"]


def test_the_header_shows_what_was_set_and_where(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBMIGRATE_TIMEOUT", "2.5")
    project.ini(
        """
        dbmigrate_check = warn
        dbmigrate_alembic = alembic.ini
        dbmigrate_env =
            DATABASE_URL
            PGHOST={host}
        """
    )
    project.tests(UNIT_TEST)

    result = project.run("--db-fresh", server="postgresql://ada:secret@localhost/shop")

    result.assert_outcomes(passed=1)
    assert told(result)[0] == (
        "0.1.0, server=postgresql://ada:***@localhost/shop (option), fresh=True (option), "
        f"check=warn (ini), alembic={project.path / 'alembic.ini'} (ini), "
        "timeout=2.5 (environment), env=DATABASE_URL,PGHOST (ini)"
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\ndbmigrate_timeout = 7\ndbmigrate_env =\n  A\n  B={port}\n"),
        (
            "pyproject.toml",
            '[tool.pytest.ini_options]\ndbmigrate_timeout = 7\ndbmigrate_env = ["A", "B={port}"]\n',
        ),
    ],
)
def test_settings_are_read_from_every_kind_of_ini_file(
    project: Project, file: str, text: str
) -> None:
    (project.path / "pytest.ini").unlink()
    project.write(file, text)
    project.tests(UNIT_TEST)

    result = project.run(server="embedded")

    result.assert_outcomes(passed=1)
    assert told(result) == ["0.1.0, server=embedded (option), timeout=7.0 (ini), env=A,B (ini)"]


@pytest.mark.parametrize(
    ("file", "table"), [("pyproject.toml", "tool.pytest"), ("pytest.toml", "pytest")]
)
@pytest.mark.parametrize("timeout", ["7", "7.0", '"7"'])
def test_pytests_native_table_has_flags_numbers_and_lists_as_toml_has_them(
    project: Project, file: str, table: str, timeout: str
) -> None:
    (project.path / "pytest.ini").unlink()
    project.write(
        file,
        f"[{table}]\ndbmigrate_timeout = {timeout}\ndbmigrate_allow_remote = true\n"
        'dbmigrate_x = ["tenant=one", "two"]\n',
    )
    project.tests(UNIT_TEST)

    result = project.run(server="")

    result.assert_outcomes(passed=1)
    settings = ", allow_remote=True (ini), x=tenant=one,two (ini), timeout=7.0 (ini)"
    has_table = pytest.version_tuple >= (9,)  # older ones do not look at it
    assert told(result) == ["0.1.0" + (settings if has_table else "")]


@pytest.mark.parametrize(
    ("line", "why", "setting"),
    [
        ("dbmigrate_resume = 1.5", "dbmigrate_resume=1.5 {}: it is true or false", "resume"),
        (
            "dbmigrate_timeout = true",
            "dbmigrate_timeout=true {}: it is a number of seconds above zero",
            "timeout",
        ),
        (
            "dbmigrate_timeout = -3",
            "dbmigrate_timeout=-3 {}: it is a number of seconds above zero",
            "timeout",
        ),
        ("dbmigrate_image = 18", "dbmigrate_image=18 {}: it is a string", "image"),
        ("dbmigrate_check = false", "dbmigrate_check=false {}: it is a string", "check"),
        (
            "dbmigrate_env = 7",
            "dbmigrate_env {}: it is a list of strings, or a string with a line for each",
            "env",
        ),
        (
            'dbmigrate_target = ["head", 7]',
            "dbmigrate_target {}: it is a list of strings, or a string with a line for each",
            "target",
        ),
    ],
)
def test_another_type_of_toml_is_refused(
    project: Project, line: str, why: str, setting: str
) -> None:
    (project.path / "pytest.ini").unlink()
    project.write("pyproject.toml", f"[tool.pytest]\n{line}\n")
    project.tests(UNIT_TEST)

    result = project.run(server="")

    if pytest.version_tuple < (9,):  # which do not look at this table
        result.assert_outcomes(passed=1)
    else:
        assert refusal(result) == unusable(why.format("cannot be used"), HELP[setting])


@pytest.mark.parametrize(
    ("option", "variable", "header"),
    [
        ("first", "second", "target=first (option)"),
        (None, "second", "target=second (environment)"),
        (None, None, "target=third (ini)"),
    ],
)
def test_an_option_goes_before_the_environment_and_that_before_the_ini_file(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    variable: str | None,
    header: str,
) -> None:
    project.ini("dbmigrate_target = third")
    if variable:
        monkeypatch.setenv("DBMIGRATE_TARGET", variable)
    project.tests(UNIT_TEST)

    result = project.run(*([f"--db-target={option}"] if option else []))

    result.assert_outcomes(passed=1)
    assert header in told(result)[0]


def test_an_option_and_a_variable_are_heeded_and_an_empty_option_overrides_the_ini_file(
    items_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--db-fresh` is what every run does."""
    items_project.models(ITEM_MODEL + 'sa.Table("lost", metadata, sa.Column("id", sa.Integer))\n')
    items_project.ini("dbmigrate_alembic = elsewhere/alembic.ini")
    items_project.write("elsewhere/alembic.ini", "[alembic]\nscript_location = nowhere\n")
    monkeypatch.setenv("DBMIGRATE_CHECK", "warn")
    items_project.tests("def test_it(migrated_db): pass")

    result = items_project.run("--db-alembic=", "--db-fresh")

    result.assert_outcomes(passed=1)
    assert "the models have table lost; no migration adds it" in output(result)


def test_a_relative_path_in_the_ini_file_starts_at_the_ini_file(project: Project) -> None:
    project.ini("dbmigrate_alembic = alembic.ini")
    (project.path / "sub").mkdir()
    project.write("sub/test_it.py", UNIT_TEST)
    project.pytester.chdir()

    result = project.pytester.run(
        *("sh", "-c", 'cd sub && exec "$@"', "sh"), *project.command(server="embedded")
    )

    assert result.ret == pytest.ExitCode.OK
    assert f"alembic={project.path / 'alembic.ini'} (ini)" in told(result)[0]


def test_a_relative_path_in_an_option_starts_at_the_working_folder(project: Project) -> None:
    (project.path / "sub").mkdir()
    project.write("sub/test_it.py", UNIT_TEST)

    result = project.pytester.run(
        *("sh", "-c", 'cd sub && exec "$@"', "sh"),
        *project.command("--db-alembic=../alembic.ini", server="embedded"),
    )

    assert result.ret == pytest.ExitCode.OK
    assert f"alembic={project.path / 'alembic.ini'} (option)" in told(result)[0]


def test_programs_that_do_not_run_are_refused(items_project: Project) -> None:
    programs = items_project.path / "programs"
    programs.mkdir()
    items_project.tests("def test_it(migrated_db): pass")

    result = items_project.run(f"--db-pg-bin={programs}", server="embedded")

    result.assert_outcomes(errors=1)
    assert block(result, "dbmigrate: no database").splitlines() == [
        f"{programs} has no programs of PostgreSQL 15 or newer",
        f"  tried: {programs} (dbmigrate_pg_bin): no initdb and postgres that run",
        "  to do: set dbmigrate_pg_bin to a folder with initdb and postgres, or not at all",
    ]


def test_a_server_that_does_not_answer_is_waited_for_as_long_as_was_said(
    items_project: Project,
) -> None:
    """The port is taken by a socket that does not listen."""
    items_project.tests("def test_it(migrated_db): pass")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        result = items_project.run(
            "--db-timeout=0.2", server=f"postgresql://ada:secret@127.0.0.1:{port}/shop"
        )

    result.assert_outcomes(errors=1)
    address = f"postgresql://ada:***@127.0.0.1:{port}/shop"
    said = block(result, "dbmigrate: no database").splitlines()
    assert said[:2] == [
        "the url server does not accept queries",
        f"  tried: connecting to {address} for up to 0.2 s",
    ]
    assert said[2].startswith("         connection failed: ")
    assert said[2].endswith("Connection refused")
    assert said[-1] == "  to do: check the address, the role and its password in --db-server"


CONFTEST_WITH_OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--db-server", default="none")
    parser.getgroup("shop").addoption("--db-fresh", action="store_true")
"""
PLUGIN_WITH_OPTIONS = """
def pytest_addoption(parser):
    parser.addoption("--db-image")
"""
SHOW_OPTIONS = """
def test_it(request):
    option = request.config.option
    print("theirs:", option.db_server, option.db_fresh)
    print("ours:", option.dbmigrate_server, option.dbmigrate_fresh, option.dbmigrate_timeout)
"""


def shown(result: pytest.RunResult) -> list[str]:
    """Return what the tests have printed of the options."""
    return [line for line in result.outlines if line.startswith(("theirs:", "ours:"))]


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_conftest_file_may_have_options_of_the_same_names(
    project: Project, workers: list[str]
) -> None:
    project.write("conftest.py", CONFTEST_WITH_OPTIONS)
    project.tests(SHOW_OPTIONS)

    options = ["--db-server", "staging", "--db-fresh", "--db-timeout=7", "-rP"]
    result = project.run(
        *options, "--dbmigrate-server=embedded", *workers, server="", plugins=["xdist.plugin"]
    )

    result.assert_outcomes(passed=1)
    assert shown(result) == ["theirs: staging True", "ours: embedded None 7"]
    assert told(result) == [
        "0.1.0, server=embedded (option), timeout=7.0 (option)",
        (
            "another plugin or a conftest file has --db-server, --db-fresh: "
            "use --dbmigrate-server, --dbmigrate-fresh"
        ),
    ]


def test_the_option_of_a_conftest_file_is_not_taken_for_ours(project: Project) -> None:
    project.write("conftest.py", CONFTEST_WITH_OPTIONS)
    project.ini("addopts = --db-server=staging")
    project.tests(SHOW_OPTIONS)

    result = project.run("-rP", server="")

    result.assert_outcomes(passed=1)
    assert shown(result) == ["theirs: staging False", "ours: None None None"]


def test_an_option_is_refused_where_it_cannot_be_known_whose_it_is(project: Project) -> None:
    project.write("conftest.py", 'pytest_plugins = ["shop_options"]')
    project.write("shop_options.py", CONFTEST_WITH_OPTIONS)
    project.tests(UNIT_TEST)

    result = project.run("--db-fresh", server="")

    assert refusal(result) == [
        (
            "ERROR: dbmigrate: --db-fresh was read as an option of pytest-dbmigrate before a "
            "conftest file or a plugin that it loads added its own"
        ),
        "  to do: say --dbmigrate-fresh for the one of pytest-dbmigrate,",
        "         or add the other one in the text of the conftest.py file itself",
    ]


@pytest.mark.parametrize("plugins", [["shop_options", "dbmigrate"], ["dbmigrate", "shop_options"]])
def test_another_plugin_may_have_an_option_of_the_same_name(
    project: Project, plugins: list[str]
) -> None:
    project.write("shop_options.py", PLUGIN_WITH_OPTIONS)
    project.tests(
        """
        def test_it(request):
            option = request.config.option
            assert (option.db_image, option.dbmigrate_image) == ("picture", "postgres:17")
        """
    )
    loaded = [word for plugin in plugins for word in ("-p", plugin)]

    result = project.pytester.run(
        *(sys.executable, "-m", "pytest", *loaded),
        *("--db-image", "picture", "--dbmigrate-image=postgres:17"),
    )

    result.assert_outcomes(passed=1)
    assert told(result) == [
        "0.1.0, image=postgres:17 (option)",
        "another plugin or a conftest file has --db-image: use --dbmigrate-image",
    ]


@pytest.mark.parametrize("prefix", ["--db", "--dbmigrate"])
def test_an_error_names_the_option_as_it_was_typed(project: Project, prefix: str) -> None:
    project.ini(f"addopts = {prefix}-keep=sometimes")
    project.tests(UNIT_TEST)

    assert refusal(project.run(server="")) == unusable(
        f"{prefix}-keep=sometimes cannot be used: it is one of never, failed, always", HELP["keep"]
    )


def test_an_option_without_its_value_is_named_in_both_spellings(project: Project) -> None:
    project.tests(UNIT_TEST)

    result = project.run("--dbmigrate-keep", server="")

    result.stderr.fnmatch_lines(
        ["*error: argument --db-keep/--dbmigrate-keep: expected one argument"]
    )


def test_an_option_in_a_file_of_arguments_is_read(project: Project) -> None:
    project.write("arguments", "--db-timeout=7\n--no-dbmigrate-fresh\n")
    project.tests(UNIT_TEST)

    result = project.run("@arguments", server="")

    result.assert_outcomes(passed=1)
    assert told(result) == ["0.1.0, fresh=False (option), timeout=7.0 (option)"]


@pytest.mark.parametrize("option", ["--db-suites=off", "--dbmigrate-suites=off"])
def test_how_suites_run_is_an_option_in_both_spellings(project: Project, option: str) -> None:
    project.tests(UNIT_TEST)

    result = project.run(option, server="")

    assert told(result) == ["0.1.0, suites_mode=off (option)"]


@pytest.mark.parametrize("option", ["--db-status", "--dbmigrate-status"])
def test_an_action_is_an_option_in_both_spellings(project: Project, option: str) -> None:
    project.tests(UNIT_TEST)

    result = project.run(option, server="")

    assert result.ret == pytest.ExitCode.OK
    assert "nothing is kept" in output(result)
