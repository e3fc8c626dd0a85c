"""Write docs/reference/options.md from the plugin's own lists of settings and actions."""

from __future__ import annotations

from pathlib import Path

from pytest_dbmigrate.plugin.options import ACTIONS
from pytest_dbmigrate.settings.specs import SPECS, Spec

PAGE = Path(__file__).with_name("options.md")
_HEAD = """\
# Options

<!-- Written by `make docs-options` from pytest_dbmigrate/settings/specs.py: change it there. -->

Each setting has three spellings, and the first of these that says something wins: the
option on the command line, the environment variable, the key in pytest's ini file
(`pytest.ini`, `tox.ini`, or `[tool.pytest.ini_options]` of `pyproject.toml`), the default.
The header of a run shows each setting that is not a default, and where it came from.

An unknown `dbmigrate_` key or `DBMIGRATE_` variable, or a value that cannot be used, ends
the run with a message. Where the default is none, an empty option (`--db-alembic=`) means
none, whatever the ini file says. Relative paths start at the folder of the ini file, or for
options and variables at the working folder.
"""
_ACTIONS = """\
## Options that are no settings

They run no test, and have no other spelling. See [Resuming](resuming.md).

| option | what it does |
|---|---|
"""


def page() -> str:
    """Return the page's text."""
    rows = "".join(f"| `--db-{name}` | {text} |\n" for name, text in ACTIONS.items())
    return "\n".join([_HEAD, *(_section(spec) for spec in SPECS), _ACTIONS + rows])


def _section(spec: Spec) -> str:
    return f"""\
## {spec.name}

{spec.help[0].upper()}{spec.help[1:]}.

| option | environment | ini | default |
|---|---|---|---|
| {_option(spec)} | `{spec.environment}` | {_ini(spec)} | {_default(spec)} |
"""


def _option(spec: Spec) -> str:
    if not spec.has_option:
        return "none"
    if spec.kind == "flag":
        return f"`{spec.option}`, `--no-{spec.option[2:]}`"
    return f"`{spec.option}={spec.metavar}`".replace("|", "\\|")


def _ini(spec: Spec) -> str:
    return f"`{spec.ini}`" if spec.has_ini else "none"


def _default(spec: Spec) -> str:
    if spec.kind == "flag":
        return "true" if spec.default else "false"
    default = f"{spec.default:g}" if isinstance(spec.default, float) else spec.default
    if spec.kind == "lines":
        default = "\n".join(" ".join(line) for line in spec.default)
    return f"`{default}`" if default else "none"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
