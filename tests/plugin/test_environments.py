"""Several Alembic environments in one database: how they are named, applied and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.environments import TESTS, Environment, create, explained, shop_and_billing
from tests.plugin.projects import Project, line_of, output, sync_env, told
from tests.plugin.resuming import tables

REQUIRED = ["article", "billing_version", "invoice", "shop_version"]


def green(project: Project, *arguments: str) -> list[str]:
    """Return the tables that the database test of a green run has found."""
    result = project.run("-rP", *arguments)
    result.assert_outcomes(passed=2)
    return tables(result)


def named(project: Project, *lines: str) -> None:
    """Let the project's settings name these environments."""
    project.ini("dbmigrate_alembic =\n" + "".join(f"    {line}\n" for line in lines))


def test_environments_are_applied_in_the_order_of_their_lines(project: Project) -> None:
    shop, _ = shop_and_billing(project)
    shop.revision("0002", 'op.execute("alter table invoice add article int")')
    named(project, "billing/alembic.ini", "shop/alembic.ini")

    assert green(project) == REQUIRED
    named(project, "shop/alembic.ini", "billing/alembic.ini")
    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(_last(shop), 'op.execute')}",
        "  sql: alter table invoice add article int",
        '  server: relation "invoice" does not exist',
        "  left applied: up to 0001; 1 revision is not applied",
        f"  tried: environment {shop.path}/alembic.ini",
        "  to do: fix the revision and run the tests again",
    ]


def _last(environment: Environment) -> Path:
    return max((environment.path / "migrations/versions").glob("*.py"))


def test_options_name_several_whose_revisions_are_listed_under_them(project: Project) -> None:
    shop, billing = shop_and_billing(project)
    shop.revision("0002", create("offer"))
    project.ini()

    result = project.run(
        "-v", "-rP", "--db-alembic=shop/alembic.ini", "--db-alembic=billing/alembic.ini"
    )

    result.assert_outcomes(passed=2)
    assert tables(result) == sorted([*REQUIRED, "offer"])
    lines = [re.sub(r"\d+ ms", "? ms", line) for line in told(result)]
    assert lines[2:-1] == [
        f"environment {shop.path}/alembic.ini",
        "1/2 0001 (? ms)",
        "2/2 0002 (? ms)",
        f"environment {billing.path}/alembic.ini",
        "3/3 0001 (? ms)",
    ]
    assert lines[-1].startswith("fresh: 3 revisions applied in ")


def test_modules_of_one_name_do_not_meet(project: Project) -> None:
    for environment, table in zip(shop_and_billing(project), ("article", "invoice"), strict=True):
        environment.models(table, f"more_{table}")
        environment.write("helper.py", f'NAME = "more_{table}"')
        environment.revision(
            "0002", 'import helper\nop.execute(f"create table {helper.NAME} (id int)")'
        )

    result = project.run("-rP")

    assert tables(result) == sorted([*REQUIRED, "more_article", "more_invoice"])
    assert told(result)[-1].endswith("; the schema matches the models")


def test_a_section_that_is_not_there_is_an_error(project: Project) -> None:
    shop_and_billing(project)
    path = project.write("both.ini", "[shop]\nscript_location = %(here)s/shop/migrations\n")
    named(project, "both.ini:shop", "both.ini:biling")

    assert explained(project) == [
        f"{path} has no section [biling]",
        f"  tried: environment {path}:biling",
        "         it has shop",
        "  to do: correct the name in dbmigrate_alembic",
    ]


MAKES_A_CONFIG = """
from pathlib import Path

from alembic.config import Config

FOLDER = Path(__file__).parent


class Own(Config):
    pass


def plain(folder="function"):
    config = Config()
    config.set_main_option("script_location", str(FOLDER / folder / "migrations"))
    return config


def given(url, section="alembic"):
    assert "%" not in url and url.startswith("postgresql")
    config = Own(FOLDER / "asked/alembic.ini", section)
    config.set_main_option("sqlalchemy.url", url)
    return config


def broken():
    raise RuntimeError("no configuration today")


ready = plain("object")
"""


def test_environments_are_named_in_each_way_and_have_each_their_version_table(
    project: Project,
) -> None:
    ways = {
        "ini": "ini/alembic.ini",
        "section": "both.ini:first",
        "section2": "both.ini:second",
        "folder": "folder/migrations",
        "beside": "beside/migrations",  # an alembic.ini beside it is read
        "package": "package:migrations",
        "package2": "package2:alembic.ini",
        "inner": "source.inner:migrations",
        "inner2": "source.inner2:alembic.ini",
        "function": "configs:plain",
        "asked": "configs:given",
        "object": "configs:ready",
        "app/function": "app.db:plain",
        "app/asked": "app.db:given",
        "schema": "schema/alembic.ini",  # its version table is in a schema of its own
        "schema2": "schema2/alembic.ini",
    }
    table = {way: f"t_{way.replace('/', '_')}" for way in ways}
    made = {
        way: Environment(project, way, configure=f'version_table="v_{table[way]}"') for way in ways
    }
    for way, it in made.items():
        it.revision("0001", create(table[way]))
    project.write(
        "both.ini",
        """
        [first]
        script_location = %(here)s/section/migrations
        [second]
        script_location = %(here)s/section2/migrations
        """,
    )
    (made["folder"].path / "alembic.ini").unlink()
    with (made["beside"].path / "alembic.ini").open("a") as ini:
        ini.write("its_table = history_beside\n")
    made["beside"].env(
        sync_env(configure='version_table=context.config.get_main_option("its_table")')
    )
    for way in ("schema", "schema2"):
        made[way].env(
            sync_env(configure=f'version_table_schema="{way}"').replace(
                "    context.configure",
                f'    connection.exec_driver_sql("create schema if not exists {way}")\n'
                "    connection.commit()\n"
                "    context.configure",
            )
        )
    for way in ("package", "package2"):
        made[way].write("__init__.py", 'raise RuntimeError("it is not imported")')
    project.write("source/__init__.py", "")
    for way in ("inner", "inner2"):
        made[way].path.rename(project.path / "source" / way)
        project.write(f"source/{way}/__init__.py", "")
    project.write("configs.py", MAKES_A_CONFIG)
    project.write("app/__init__.py", "")
    project.write("app/db.py", MAKES_A_CONFIG)
    project.tests(TESTS)
    named(project, *ways.values())

    versions = {way: f"v_{name}" for way, name in table.items()} | {
        "beside": "history_beside",
        "schema": "schema.alembic_version",
        "schema2": "schema2.alembic_version",
    }
    assert sorted(green(project)) == sorted([*table.values(), *versions.values()])


def test_a_function_that_raises_is_an_error(project: Project) -> None:
    shop_and_billing(project)
    path = project.write("configs.py", MAKES_A_CONFIG)
    named(project, "configs:broken")

    assert explained(project) == [
        "the migration scripts could not be read",
        f"  tried: configs.py:{line_of(path, 'no configuration today')}",
        "         RuntimeError: no configuration today",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_a_file_that_is_not_there_is_refused_at_once(project: Project) -> None:
    shop_and_billing(project)
    named(project, "shop/alembic.ini", "biling/alembic.ini")

    result = project.run()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.str().splitlines()[0] == (
        "ERROR: dbmigrate: dbmigrate_alembic cannot be used: "
        "there is no file or folder biling/alembic.ini"
    )


def test_environments_with_one_version_table_are_an_error(project: Project) -> None:
    shop_and_billing(project)
    for name in ("shop", "billing"):
        project.write(f"{name}/migrations/env.py", sync_env())

    assert explained(project) == [
        "two environments use the same version table, public.alembic_version",
        f"  tried: environment {project.path}/billing/alembic.ini",
        f"         the scripts of the other: {project.path}/shop/migrations",
        "  to do: give one of them its own: version_table in context.configure()",
    ]


def test_sections_may_share_scripts_and_their_version_table(project: Project) -> None:
    shop, _ = shop_and_billing(project)
    shop.revision("0002", create("offer"))
    project.write(
        "both.ini",
        """
        [first]
        script_location = %(here)s/shop/migrations
        [second]
        script_location = %(here)s/shop/migrations
        """,
    )
    project.ini(
        """
        dbmigrate_alembic =
            both.ini:first
            both.ini:second
        dbmigrate_target =
            0001
            0002
        """
    )

    assert green(project) == ["article", "offer", "shop_version"]


DRIFT_TODO = [
    (
        '  to do: if the models are right: alembic revision --autogenerate -m "...", '
        "and read what it wrote"
    ),
    "         if the migrations are right: change the models",
    "         to continue for now: --db-check=warn, or dbmigrate_check = warn",
]


def test_what_either_leaves_or_forgets_is_reported_once(project: Project) -> None:
    shop, billing = shop_and_billing(project)
    shop.models("article", "lost_by_shop")
    billing.models("invoice", "lost_by_billing")
    shop.revision("0002", create("left_by_shop"))
    billing.revision("0002", create("left_by_billing"))

    first, *rest = explained(project)

    assert first == "the migrated schema and the models have 4 differences"
    assert sorted(rest[:4]) == [
        "  - the migrations leave table left_by_billing; the models do not have it",
        "  - the migrations leave table left_by_shop; the models do not have it",
        "  - the models have table lost_by_billing; no migration adds it",
        "  - the models have table lost_by_shop; no migration adds it",
    ]
    assert rest[4:] == DRIFT_TODO


@pytest.mark.parametrize("silent", [0, pytest.param(1, marks=pytest.mark.matrix)])
def test_one_without_models_stands_beside_one_with_them(project: Project, silent: int) -> None:
    both = shop_and_billing(project)
    speaks = 1 - silent
    both[speaks].models(("article", "invoice")[speaks])

    result = project.run()

    result.assert_outcomes(passed=2)
    assert told(result)[-1].endswith(
        "; the schema matches the models (not compared: "
        f"{both[silent].path}/alembic.ini: env.py gives Alembic no target_metadata)"
    )
    both[speaks].models(("article", "invoice")[speaks], "lost")
    assert explained(project) == [
        "the models have table lost; no migration adds it",
        *DRIFT_TODO,
    ]


def test_that_none_has_models_is_reported_once(project: Project) -> None:
    shop_and_billing(project)

    assert told(project.run())[-1].endswith(
        "; not compared with the models: env.py gives Alembic no target_metadata"
    )


def test_a_model_may_point_at_a_table_of_the_other(project: Project) -> None:
    shop, billing = shop_and_billing(project)
    shop.models("article")
    billing.models("invoice")
    billing.revision("0002", 'op.execute("alter table article add invoice int")')

    assert explained(project) == [
        "the migrations leave column article.invoice; the models do not have it",
        *DRIFT_TODO,
    ]


def test_an_error_in_the_second_names_it(project: Project) -> None:
    _, billing = shop_and_billing(project)
    file = billing.revision("0002", 'op.execute("create tabel broken ()")')

    assert explained(project) == [
        "revision 0002 failed",
        f"  file: migrations/versions/0002.py:{line_of(file, 'tabel')}",
        "  sql: create tabel broken ()",
        "              ^",
        '  server: syntax error at or near "tabel"',
        "  left applied: up to 0001; 1 revision is not applied",
        f"  tried: environment {billing.path}/alembic.ini",
        "  to do: fix the revision and run the tests again",
    ]


def test_an_env_py_that_fails_when_all_is_applied_is_named(project: Project) -> None:
    """The first one's env.py is run again for its comparison."""
    shop, _ = shop_and_billing(project)
    shop.models("article")
    env = shop.path / "migrations/env.py"
    with env.open("a") as text:
        text.write(
            "\nimport os\nif os.environ.get('SECOND'):\n    raise RuntimeError('once is enough')\n"
            "os.environ['SECOND'] = 'yes'\n"
        )

    assert explained(project) == [
        "the migrations could not be run: env.py failed",
        f"  tried: environment {shop.path}/alembic.ini",
        f"         migrations/env.py:{line_of(env, 'raise')}",
        "         RuntimeError: once is enough",
        "  to do: fix what it reports, or see `alembic upgrade head`",
    ]


def test_workers_share_what_one_of_them_has_migrated(project: Project) -> None:
    both = shop_and_billing(project)
    both[0].models("article")
    both[1].models("invoice")
    project.tests(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(migrated_db, number):
            connection = migrated_db.connect()
            connection.execute("insert into article values (1)")
            connection.execute("insert into invoice values (1)")
            assert connection.execute("select count(*) from invoice").fetchone() == (1,)
        """
    )

    result = project.run("-n2", plugins=["xdist"])

    result.assert_outcomes(passed=6)
    assert output(result).count("fresh: 2 revisions applied") == 1


def test_there_is_a_line_of_targets_for_each(project: Project) -> None:
    shop, billing = shop_and_billing(project)
    for it in (shop, billing):
        it.revision("0002", create(f"more_{it.name}"))
    lines = "dbmigrate_alembic =\n    shop/alembic.ini\n    billing/alembic.ini\n"
    project.ini(lines + "dbmigrate_target =\n    0001\n    head\n")

    assert green(project) == ["article", "billing_version", "invoice", "more_billing",
                              "shop_version"]  # fmt: skip
    project.ini(lines + "dbmigrate_target =\n    head\n    0009\n")
    assert explained(project) == [
        "the migrations cannot be run to 0009: Can't locate revision identified by '0009'",
        f"  tried: environment {billing.path}/alembic.ini",
        "  to do: see `alembic history`; dbmigrate_target names another revision",
    ]
