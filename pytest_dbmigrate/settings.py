"""What the user asked for: option > environment > ini > default, in one frozen value.

`SPECS` is the single list of settings. The command line, the ini keys, the
environment variables, the header and the options page of the docs are made from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_dbmigrate import lines, placeholders

if TYPE_CHECKING:
    from pytest_dbmigrate.dsn import Dsn
    from pytest_dbmigrate.envfiles import EnvFile

Source = Literal["option", "environment", "ini", "default"]
Kind = Literal["text", "flag", "lines"]

DEFAULT_IMAGE = "postgres:18"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True, eq=False, repr=False)  # what is not needed is not made at each start
class Spec:
    """One setting: its name is `--db-NAME`, `dbmigrate_NAME` and `DBMIGRATE_NAME`."""

    name: str
    default: Any
    help: str
    parse: Callable[[str], Any] = str
    kind: Kind = "text"
    metavar: str = ""
    has_option: bool = True
    place: Callable[[str, tuple[Path, ...]], str] | None = None
    has_ini: bool = True
    must_exist: bool = True  # a FILE: if not, a run can write it
    spelled: str = ""  # the option, where it is not made from the name

    @property
    def option(self) -> str:
        """The command line's spelling."""
        return self.spelled or "--db-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        """The ini file's spelling."""
        return "dbmigrate_" + self.name

    @property
    def environment(self) -> str:
        """The environment's spelling."""
        return "DBMIGRATE_" + self.name.upper()


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"it is one of {', '.join(words)}")
        return text

    return parse


def _server(text: str) -> str:
    if text in ("auto", "docker", "embedded"):
        return text
    from pytest_dbmigrate.dsn import Dsn, SecretAddress

    if "://" not in text:
        raise ValueError("it is auto, docker, embedded or a postgresql:// URL")
    if not Dsn.parse(text).host:
        raise ValueError("the URL names no host")
    return SecretAddress(text)


def _flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("it is true or false")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", text) or float(text) <= 0:
        raise ValueError("it is a number of seconds above zero")
    return float(text)


def _word(text: str) -> str:
    if not text.strip() or text.startswith("-") or re.search(r"\s", text):
        raise ValueError("it is one word")
    return text


_SUITE = r"[A-Za-z][A-Za-z0-9_-]*"


def _suite_line(text: str) -> str:
    if not re.fullmatch(rf"auto|{_SUITE}\s*:.*", text.strip()):
        raise ValueError(f"{text.strip()!r} is not NAME: FOLDER ..., NAME: -m EXPRESSION, or auto")
    return text.strip()


def _names(text: str) -> str:
    if not re.fullmatch(rf"{_SUITE}(\s*,\s*{_SUITE})*", text.strip()):
        raise ValueError("it is a name, or several with commas between them")
    return text.strip()


_ENV_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:=(.*))?")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]*))?\}")


@dataclass(frozen=True)
class EnvVariable:
    """An environment variable that carries the database's address: `NAME=template`."""

    name: str
    template: str

    @classmethod
    def parse(cls, line: str) -> EnvVariable:
        """Return the variable of one `dbmigrate_env` line; raises `ValueError`."""
        match = _ENV_LINE.fullmatch(line.strip())
        if not match:
            raise ValueError(f"{line!r} is not NAME or NAME=template")
        name, template = match[1], "{url}" if match[2] is None else match[2]
        found = list(_PLACEHOLDER.finditer(template))
        if not found:
            raise ValueError(f"{line!r} names no part of the address: {placeholders.names()}")
        for part, scheme in (match.groups() for match in found):
            if part not in placeholders.PARTS or (scheme is not None and part != "url"):
                raise ValueError(f"{line!r} has an unknown part; there are {placeholders.names()}")
            if scheme is not None and not re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme):
                raise ValueError(f"{line!r} has a scheme that is not postgresql or postgresql+...")
        return cls(name, template)

    def value(self, dsn: Dsn, usual: str = "") -> str:
        """Return the variable's value for a database; `usual` is the driver of `{url}`."""
        return placeholders.fill(self.template, dsn, usual)


def _env_file(line: str) -> EnvFile:
    from pytest_dbmigrate.envfiles import EnvFile

    return EnvFile.parse(line)


SPECS: tuple[Spec, ...] = (
    Spec(
        "server",
        "auto",
        "where Postgres comes from: auto (Docker if an engine answers, else embedded), "
        "docker, embedded, or the postgresql:// URL of a server that runs already",
        _server,
        metavar="auto|docker|embedded|URL",
    ),
    Spec(
        "allow_remote",
        False,
        "let --db-server name a server that is not on this machine",
        _flag,
        kind="flag",
    ),
    Spec(
        "fresh",
        False,
        "discard what earlier runs of this project have kept, and start from nothing",
        _flag,
        kind="flag",
    ),
    Spec(
        "resume",
        False,
        "keep the server and its state when the run ends, and go on from there in the next run",
        _flag,
        kind="flag",
    ),
    Spec(
        "keep",
        "never",
        "which tests' databases to keep for a look with psql: never, failed or always",
        _one_of("never", "failed", "always"),
        metavar="never|failed|always",
    ),
    Spec(
        "shared",
        False,
        "one migrated database for all tests of a process (of each xdist worker), whether they "
        "ask for it or not, and not renewed between them",
        _flag,
        kind="flag",
    ),
    Spec(
        "check",
        "error",
        "what a difference between the migrated schema and the models is: error, warn or off",
        _one_of("error", "warn", "off"),
        metavar="error|warn|off",
    ),
    Spec(
        "alembic",
        (),
        "the Alembic environments, a line each, applied in this order: an .ini file or a "
        "pyproject.toml, file.ini:section, a folder of scripts (or package:folder), or "
        "module:function that returns a Config (found beside the tests' root if not given)",
        kind="lines",
        metavar="ENVIRONMENT",
        place=lines.environment,
    ),
    Spec(
        "target",
        (("head",),),
        "the revisions to migrate to: head, heads, main@head or ids, with spaces between "
        "several; one line for all environments, or a line for each",
        lines.targets,
        kind="lines",
        metavar="REVISIONS",
    ),
    Spec(
        "x",
        (),
        "arguments that env.py finds with context.get_x_argument(), a line each: name=value",
        lines.x_argument,
        kind="lines",
        metavar="NAME=VALUE",
    ),
    Spec(
        "attributes",
        (),
        "what env.py finds in config.attributes, a line each: connection = {connection}, "
        "engine = {engine}, true, false, or a text",
        lines.attribute,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "driver",
        "",
        "the driver in sqlalchemy.url and in {url}: psycopg, psycopg2, asyncpg ... "
        "(the one that the Alembic configuration names if not given)",
        _word,
        metavar="NAME",
    ),
    Spec(
        "before",
        (),
        "what is run before the first revision, a line each: an .sql file, an SQL statement, "
        "or module:function, which is called with a Connection of SQLAlchemy",
        kind="lines",
        has_option=False,
        place=lines.step,
    ),
    Spec(
        "within",
        "",
        "module:function that the migrations are run within: one that returns a context "
        "manager (app.app_context()), or one that is given the work to call",
        lines.reference,
        metavar="MODULE:FUNCTION",
    ),
    Spec(
        "image",
        DEFAULT_IMAGE,
        "the Docker image, any with the official postgres image's contract",
        _word,
        metavar="IMAGE",
    ),
    Spec(
        "compose_file",
        "",
        "the project's own compose file to take the server from",
        metavar="FILE",
    ),
    Spec(
        "compose_service",
        "",
        "the compose file's service that is Postgres (needed if it has several services)",
        _word,
        metavar="NAME",
    ),
    Spec(
        "pg_bin",
        "",
        "the folder of the embedded server's programs (initdb, postgres)",
        metavar="FOLDER",
    ),
    Spec(
        "timeout",
        60.0,
        "seconds a server may take to accept queries",
        _seconds,
        metavar="SECONDS",
    ),
    Spec(
        "wait",
        600.0,
        "seconds to wait for another run of this project that is applying migrations",
        _seconds,
        metavar="SECONDS",
    ),
    Spec(
        "env",
        (),
        "environment variables that carry the database's address, a line each: DATABASE_URL, "
        "APP_DB={url:postgresql+asyncpg}, DB_HOST={host} "
        "(also {port}, {user}, {password}, {database})",
        EnvVariable.parse,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "baseline",
        "",
        "the file of accepted differences between the migrated schema and the models: "
        "only others are errors",
        metavar="FILE",
        must_exist=False,
    ),
    Spec(
        "accept_drift",
        False,
        "write the differences of this run to the baseline: they are accepted from now on",
        _flag,
        kind="flag",
        has_ini=False,
    ),
    Spec(
        "env_file",
        (),
        "files that carry the database's address, a line each: APP_CONFIG=config.yaml.template "
        "for a variable that holds the path of a private file, config.yaml=config.yaml.template "
        "for a path of its own; the template has {url}, {host} and so on in it, as dbmigrate_env",
        _env_file,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "suites",
        (),
        "the suites that run in processes of their own, a line each: unit: tests/unit, "
        "slow: -m slow, or auto (tests with a database, and all others)",
        _suite_line,
        kind="lines",
        has_option=False,
    ),
    Spec(
        "suites_mode",
        "on",
        "how suites run: on (one after another), concurrent (side by side), or off "
        "(all in one process, as without this plugin)",
        _one_of("on", "off", "concurrent"),
        metavar="on|off|concurrent",
        spelled="--db-suites",
    ),
    Spec(
        "suite",
        "",
        "run only this suite, or several with commas between their names",
        _names,
        metavar="NAME",
    ),
)
_BY_NAME = {spec.name: spec for spec in SPECS}


@dataclass(frozen=True, eq=False, repr=False)
class Settings:
    """Every setting's value, and where each came from. Paths are absolute."""

    root: Path
    server: str
    allow_remote: bool
    fresh: bool
    resume: bool
    keep: str
    shared: bool
    check: str
    alembic: tuple[str, ...]
    target: tuple[tuple[str, ...], ...]
    x: tuple[str, ...]
    attributes: tuple[lines.Attribute, ...]
    driver: str
    before: tuple[str, ...]
    within: str
    image: str
    compose_file: str
    compose_service: str
    pg_bin: str
    timeout: float
    wait: float
    env: tuple[EnvVariable, ...]
    baseline: str
    accept_drift: bool
    env_file: tuple[EnvFile, ...]
    suites: tuple[str, ...]
    suites_mode: str
    suite: str
    sources: Mapping[str, Source] = field(default_factory=dict)

    def changed(self) -> list[str]:
        """Return `name=value (source)` for each setting that is not a default."""
        return [
            f"{name}={_shown(getattr(self, name))} ({source})"
            for name, source in self.sources.items()
            if source != "default"
        ]

    def environ_for(self, dsn: Dsn) -> dict[str, str]:
        """Return the environment variables that carry the address of a database."""
        return {variable.name: variable.value(dsn, self.driver) for variable in self.env}


def resolve(
    root: Path,
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    ini: Mapping[str, Any],
    ini_folder: Path | None = None,
    start: Path | None = None,
) -> Settings:
    """Return the settings; raises `SettingError` that names the first unusable value.

    `options` and `ini` hold None, or nothing, where the user said nothing. Relative
    paths are taken from `start` (options, environment) or `ini_folder` (ini).
    """
    _refuse_unknown(environ, (spec.environment for spec in SPECS), "environment variable")
    _refuse_lasting(ini)
    _refuse_unknown(ini, (spec.ini for spec in SPECS if spec.has_ini), "ini key")
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for spec in SPECS:
        said = (
            ("option", spec.option, options.get(spec.name), start),
            ("environment", spec.environment, environ.get(spec.environment), start),
            ("ini", spec.ini, ini.get(spec.ini), ini_folder),
            ("default", "", spec.default, None),
        )
        source, spelled, given, folder = next(item for item in said if item[2] is not None)
        sources[spec.name] = source  # type: ignore[assignment]  # the literals above
        base = folder or root
        value = given if source == "default" else _parsed(spec, spelled, given, (base, root))
        if spec.metavar in ("FILE", "FOLDER") and value:
            path = base / value
            value = _existing(spec, spelled, path) if spec.must_exist else os.path.realpath(path)
        values[spec.name] = value
    settings = Settings(root=root, **values, sources=sources)
    _refuse_contradictions(settings)
    if settings.baseline or settings.accept_drift:
        _refuse_baseline(settings)
    return settings


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    names = list(known)
    prefix = names[0][: len("dbmigrate_")]
    for name in given:
        if name.startswith(prefix) and name not in names:
            import difflib  # two milliseconds that every run would pay for

            from pytest_dbmigrate.errors import SettingError

            words = [known_name[len(prefix) :] for known_name in names]
            near = difflib.get_close_matches(name[len(prefix) :], words, 1)
            raise SettingError(
                f"{name} is no {what} of pytest-dbmigrate",
                todo=(
                    f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(names)}",
                ),
            )


def _refuse_lasting(ini: Mapping[str, Any]) -> None:
    for spec in SPECS:
        if not spec.has_ini and spec.ini in ini:
            from pytest_dbmigrate.errors import SettingError

            raise SettingError(
                f"{spec.option} is for one run, and cannot stand in an ini file",
                todo=(f"say {spec.option} on the command line",),
            )


def _parsed(spec: Spec, spelled: str, given: Any, folders: tuple[Path, ...]) -> Any:
    try:
        if spec.kind == "lines":
            return _parsed_lines(spec, given, folders)
        if not isinstance(given, str):
            given = str(given)
        if spec.kind == "text" and not given.strip() and not spec.default:
            return ""  # an empty option overrides the ini
        return spec.parse(given)
    except ValueError as error:
        from pytest_dbmigrate.errors import SettingError

        shown = "" if spec.kind == "lines" else f"={_shown(given)}"
        if spec.name == "server" and shown == f"={given}":  # no URL of ours: hide more than enough
            shown = re.sub(r":.*@", ":***@", shown)
        raise SettingError(
            f"{spelled}{shown} cannot be used: {error}",
            todo=(f"{spec.help}",),
        ) from None


def _parsed_lines(spec: Spec, given: Any, folders: tuple[Path, ...]) -> tuple[Any, ...]:
    texts = given.splitlines() if isinstance(given, str) else given
    texts = [text.strip() for text in texts if text.strip()]
    if spec.place is not None:
        return tuple(spec.place(text, folders) for text in texts)
    if spec.default and not texts:
        spec.parse("")
    values = [spec.parse(text) for text in texts]
    if spec.name == "env_file":
        values = [file.located(folders[0]) for file in values]
    return tuple(values)


def _existing(spec: Spec, spelled: str, path: Path) -> str:
    wanted = path.is_dir() if spec.metavar == "FOLDER" else path.is_file()
    if not wanted:
        from pytest_dbmigrate.errors import SettingError

        raise SettingError(
            f"{spelled}={path} cannot be used: there is no such {spec.metavar.lower()}",
            todo=(f"{spec.help}",),
        )
    return str(path.resolve())


def _refuse_contradictions(settings: Settings) -> None:
    _refuse_odd_environments(settings)
    if settings.env_file:
        _refuse_doubles(settings)
    _refuse_odd_suites(settings)
    if not (settings.env or settings.compose_service or "://" in settings.server):
        return
    from pytest_dbmigrate.dsn import Dsn
    from pytest_dbmigrate.errors import SettingError

    names = [variable.name for variable in settings.env]
    for name in names:
        if names.count(name) > 1:
            raise SettingError(f"dbmigrate_env names {name} twice", todo=("keep one of the lines",))
    if settings.compose_service and not settings.compose_file:
        raise SettingError(
            f"dbmigrate_compose_service={settings.compose_service} needs a compose file",
            todo=("set dbmigrate_compose_file as well, or neither",),
        )
    if "://" in settings.server and not settings.allow_remote:
        dsn = Dsn.parse(settings.server)
        if not dsn.is_loopback:
            raise SettingError(
                f"the server at {dsn.host} is not on this machine",
                tried=(f"{dsn}, from the {settings.sources['server']}",),
                todo=(
                    "name a server on this machine,",
                    "or say --db-allow-remote if databases may be created and dropped there",
                ),
            )


def _refuse_odd_suites(settings: Settings) -> None:
    if settings.suite and settings.suites_mode == "off":
        from pytest_dbmigrate.errors import SettingError

        raise SettingError(
            f"--db-suite={settings.suite} selects a suite, and suites are off",
            tried=(f"--db-suites=off, from the {settings.sources['suites_mode']}",),
            todo=("leave out one of the two",),
        )
    if settings.shared and "auto" in settings.suites:
        from pytest_dbmigrate.errors import SettingError

        raise SettingError(
            "dbmigrate_suites = auto tells tests by the fixtures they name, and with "
            "dbmigrate_shared a test has its database without naming one",
            tried=(f"dbmigrate_shared, from the {settings.sources['shared']}",),
            todo=("say which tests are a suite: NAME: FOLDER ..., or NAME: -m EXPRESSION",),
        )


def _refuse_odd_environments(settings: Settings) -> None:
    for line in settings.alembic:
        if settings.alembic.count(line) > 1:
            from pytest_dbmigrate.errors import SettingError

            raise SettingError(
                f"dbmigrate_alembic names {line} twice", todo=("keep one of the lines",)
            )
    count, environments = len(settings.target), len(settings.alembic) or 1
    if count not in (1, environments):
        from pytest_dbmigrate.errors import SettingError

        raise SettingError(
            f"dbmigrate_target has {count} lines for "
            f"{environments} {'environment' if environments == 1 else 'environments'}",
            todo=("give one line for all of them, or a line for each line of dbmigrate_alembic",),
        )


def _refuse_baseline(settings: Settings) -> None:
    from pytest_dbmigrate.errors import SettingError

    if settings.check == "off":  # the file is not looked at
        if not settings.accept_drift:
            return
        raise SettingError(
            f"{_spelled(settings, 'accept_drift')} has nothing to accept with "
            f"{_spelled(settings, 'check')}=off",
            todo=("leave one of the two out",),
        )
    if not settings.baseline:
        raise SettingError(
            f"{_spelled(settings, 'accept_drift')} needs a file to write to",
            todo=("name it: dbmigrate_baseline = FILE in the ini file, or --db-baseline=FILE",),
        )
    path, why, todo = Path(settings.baseline), "", ""
    if not path.parent.is_dir():
        why, todo = f"there is no folder {path.parent}", "make the folder, or name another file"
    elif path.exists() and not path.is_file():
        why, todo = "it is no file", "name another one"
    elif not path.exists() and not settings.accept_drift:
        why = "there is no such file"
        todo = "write it with the differences there are: run once with --db-accept-drift"
    if why:
        said = f"{_spelled(settings, 'baseline')}={path}"
        raise SettingError(f"{said} cannot be used: {why}", todo=(todo,))


def _spelled(settings: Settings, name: str) -> str:
    """Return a setting's name as it was said."""
    spec, source = _BY_NAME[name], settings.sources[name]
    return {"option": spec.option, "environment": spec.environment}.get(source, spec.ini)


def _refuse_doubles(settings: Settings) -> None:
    """Refuse two files for one name or path, and a variable that also carries the address."""
    from pytest_dbmigrate.errors import SettingError

    known = {variable.name for variable in settings.env}
    seen: set[str] = set()
    for file in settings.env_file:
        if file.name in known:
            raise SettingError(
                f"dbmigrate_env and dbmigrate_env_file both name {file.name}",
                todo=("let it hold the address, or the path of a file with it",),
            )
        place = file.target or file.name
        if place in seen:
            raise SettingError(
                f"dbmigrate_env_file names {file.name} twice", todo=("keep one of the lines",)
            )
        seen.add(place)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_named(item) for item in value)
    text = str(value)
    if "@" not in text and "=" not in text:
        return text
    from pytest_dbmigrate.dsn import redact

    return redact(text)


def _named(line: Any) -> str:
    """Return a line of a setting in short."""
    if isinstance(line, tuple):
        return " ".join(line)
    if not isinstance(line, str):
        return str(line.name)
    words = _shown(line).split()
    return " ".join(words[:2]) + (" ..." if len(words) > 2 else "")  # of an SQL statement
