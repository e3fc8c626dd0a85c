"""Small projects, each with something real ones have: the naive way fails there, ours does not.

What it is, the projects tell themselves, in `tests/projects`.
"""

from __future__ import annotations

import re

import pytest

from tests.plugin.projects import Project, block, output, told

MATCHES = "the schema matches the models"
NO_MODELS = "not compared with the models: env.py gives Alembic no target_metadata"


Trap = tuple[str, dict[str, int], list[str]]
TRAPS: list[Trap] = [
    # the migrations ran, and nobody complained: only a test finds out
    ("cached_settings", {"passed": 1, "failed": 1}, ['relation "article" does not exist']),
    ("connection_attribute", {"errors": 1}, ["KeyError: 'connection'"]),
]
# They say nothing of us, but what Alembic itself does there.
MORE_TRAPS: list[Trap] = [
    (
        "engine_attribute",
        {"errors": 2},
        [
            "KeyError: 'connection'",
            "AttributeError: 'Connection' object has no attribute 'connect'",
        ],
    ),
    ("directives", {"errors": 1}, ["('remove_table', 'reading_2024')"]),
    ("check_refuses", {"errors": 1}, ["revision_context.generated_revisions[-1]"]),
    ("own_version_locations", {"failed": 1}, ['relation "member" does not exist']),
    ("autocommit", {"errors": 1}, ["assert self._transaction is not None"]),
    ("offline", {"errors": 1}, ["'MockConnection' object has no attribute 'exec_driver_sql'"]),
    ("two_services", {"failed": 1}, ['relation "invoice" does not exist']),
]


@pytest.mark.parametrize(
    ("name", "outcomes", "reasons"),
    [*TRAPS, *(pytest.param(*it, marks=pytest.mark.matrix) for it in MORE_TRAPS)],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_naive_way_fails(
    project: Project, name: str, outcomes: dict[str, int], reasons: list[str]
) -> None:
    project.copy(name)

    result = project.run_naive("-vv")

    result.assert_outcomes(**outcomes)
    assert [it for it in reasons if it not in output(result)] == []


@pytest.mark.parametrize(
    ("name", "passed", "revisions", "compared"),
    [
        ("cached_settings", 2, 1, NO_MODELS),
        ("connection_attribute", 1, 1, NO_MODELS),
        ("engine_attribute", 1, 1, NO_MODELS),
        ("directives", 1, 1, MATCHES),
        ("check_refuses", 1, 1, MATCHES),
        ("own_version_locations", 1, 2, NO_MODELS),
        ("autocommit", 1, 2, NO_MODELS),
        ("offline", 1, 2, NO_MODELS),
        ("two_services", 1, 2, MATCHES),
        ("baseline", 1, 1, "2 differences to the models, all in the baseline"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_ours_does_not(
    project: Project, name: str, passed: int, revisions: int, compared: str
) -> None:
    project.copy(name)

    result = project.run(plugins=["ours"])

    result.assert_outcomes(passed=passed)
    said = re.sub(r"[\d.]+ s;", "... s;", told(result)[-1])
    plural = "" if revisions == 1 else "s"
    assert said == f"fresh: {revisions} revision{plural} applied in ... s; {compared}"


def test_what_the_directives_keep_is_still_compared(project: Project) -> None:
    project.copy("directives")
    models = project.path / "models.py"
    models.write_text(models.read_text().replace('"degrees"', '"fahrenheit"'))

    result = project.run(plugins=["ours"])

    result.assert_outcomes(errors=1)
    assert block(result, "dbmigrate: no database").splitlines()[:3] == [
        "the migrated schema and the models have 2 differences",
        "  - the models have column reading.fahrenheit; no migration adds it",
        "  - the migrations leave column reading.degrees; the models do not have it",
    ]


def test_real_drift_is_an_error_without_a_baseline(project: Project) -> None:
    project.copy("baseline")
    project.ini()

    result = project.run(plugins=["ours"])

    result.assert_outcomes(errors=1)
    assert block(result, "dbmigrate: no database").splitlines()[:3] == [
        "the migrated schema and the models have 2 differences",
        (
            "  - column article.price is nullable after the migrations, "
            "and not nullable in the models"
        ),
        (
            "  - the migrations leave index article_price on article (price); "
            "the models do not have it"
        ),
    ]
