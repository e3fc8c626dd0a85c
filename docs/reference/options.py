"""Write docs/reference/options.md from the plugin's own lists of settings and actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_dbmigrate.plugin.options import ACTIONS
from pytest_dbmigrate.settings.kinds import Flag, Spec
from pytest_dbmigrate.settings.specs import every_spec

PAGE = Path(__file__).with_name("options.md")
_HEAD = """\
# Options

<!-- Written by `make docs-options` from pytest_dbmigrate/settings/specs.py: change it there. -->

A setting can be given in three places. The first of these wins:

1. an option on the command line, or in `addopts` or `PYTEST_ADDOPTS`;
2. an environment variable;
3. a key in pytest's configuration file.

The header of a run shows each setting that is not the default, and where it came from. An
unknown `dbmigrate_` key or `DBMIGRATE_` variable, or a value that cannot be used, ends the run
with a message. Where there is no default, an empty option (`--db-alembic=`) means none, whatever
the configuration file says. Relative paths start at the folder of the configuration file, or for
options and variables at the working folder.

## Two spellings of an option

Each option has a short spelling, `--db-NAME`, which this documentation uses, and a long one,
`--dbmigrate-NAME`. They mean the same. The short one gives way where another plugin, or a
`conftest.py` file, adds an option of that name; the header of the run then names it and the long
one to use instead. `config.option` has the value under the long name: `dbmigrate_NAME`.

## Two kinds of configuration file

In `pytest.ini`, `tox.ini`, `setup.cfg`, and the table `[tool.pytest.ini_options]` of
`pyproject.toml`, every value is text, and lists have a line for each item:

```ini
[pytest]
dbmigrate_resume = true
dbmigrate_timeout = 90
dbmigrate_env =
    DATABASE_URL
    DB_HOST={host}
```

From pytest 9 on, the native table `[tool.pytest]` of `pyproject.toml` (in `pytest.toml` it is
`[pytest]`) has flags, numbers and lists as TOML has them:

```toml
[tool.pytest]
dbmigrate_resume = true
dbmigrate_timeout = 90
dbmigrate_env = ["DATABASE_URL", "DB_HOST={host}"]
```

Text is accepted there, too, for every setting.
"""
_ACTIONS = """\
## Actions

These options run no test, and are no settings: they cannot be given in another place. See
[Resuming](resuming.md).

| option | what it does |
|---|---|
"""


def page() -> str:
    """Return the page's text."""
    rows = "".join(
        f"| `--db-{name}`, `--dbmigrate-{name}` | {text} |\n" for name, text in ACTIONS.items()
    )
    return "\n".join([_HEAD, *(_section(spec) for spec in every_spec()), _ACTIONS + rows])


def _section(spec: Spec[Any]) -> str:
    return f"""\
## {spec.name}

{spec.help[0].upper()}{spec.help[1:]}.

| option | environment | configuration file | default |
|---|---|---|---|
| {_option(spec)} | `{spec.environment}` | {_ini(spec)} | {_default(spec)} |
"""


def _option(spec: Spec[Any]) -> str:
    if not spec.has_option:
        return "none"
    spellings = [spec.option, spec.long_option]
    if isinstance(spec, Flag):
        return ", ".join(f"`{it}`, `--no-{it[2:]}`" for it in spellings)
    return ", ".join(f"`{it}={spec.metavar}`" for it in spellings).replace("|", "\\|")


def _ini(spec: Spec[Any]) -> str:
    return f"`{spec.ini}`" if spec.has_ini else "none"


def _default(spec: Spec[Any]) -> str:
    default = spec.default_text()
    return f"`{default}`" if default else "none"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
