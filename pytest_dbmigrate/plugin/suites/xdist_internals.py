"""Internals of pytest-xdist: all that we use beyond its hooks, in this one module.

`trouble` checks that they are as we know them; if not, suites run in the foreground.

What is relied on, with the place in xdist 3.6 to 3.8:

- `DSession` (`dsession.py`) is one loop over `queue`, into which the workers' threads put messages;
  `loop_once` deals with one. `shouldstop` ends it with its reason, `shuttingdown` says that the
  workers were told to end, `_active_nodes` are those that have not ended yet.
- `DSession.worker_errordown` calls `_clone_node` for a dead worker unless more than
  `_max_worker_restart` have died; the replacement is put into `_active_nodes`.
- `NodeManager` (`workermanage.py`) makes a gateway for each spec, one after another, with
  `group.makegateway`; `setup_node` makes the gateway of one more worker and starts it.
- `TerminalDistReporter` (`dsession.py`) writes what `getstatus` returns while workers start.
- `workermanage.unserialize_warning_message` imports the module of a warning's class.
"""

from __future__ import annotations

import contextlib
import copy
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_KNOWN_MAJOR = "3"
_SESSION = (
    "shouldstop",
    "shuttingdown",
    "queue",
    "nodemanager",
    "_active_nodes",
    "_max_worker_restart",
    "sched",
    "triggershutdown",
)
_SCHEDULERS = {
    "load": "LoadScheduling",
    "loadscope": "LoadScopeScheduling",
    "loadfile": "LoadFileScheduling",
    "loadgroup": "LoadGroupScheduling",
    "worksteal": "WorkStealingScheduling",
}


def trouble(config: pytest.Config) -> str | None:
    """Return why pytest-xdist cannot run the suites, or None."""
    if not config.pluginmanager.hasplugin("xdist"):
        from importlib.util import find_spec

        if find_spec("xdist"):
            return "pytest-xdist is switched off"
        return "pytest-xdist is not installed (it comes with pytest-dbmigrate[xdist])"
    from xdist import __version__

    if __version__.split(".")[0] != _KNOWN_MAJOR or not _is_as_known():
        return f"pytest-xdist {__version__} is not known to this version of pytest-dbmigrate"
    return None


def _is_as_known() -> bool:
    try:
        from xdist import dsession, scheduler, workermanage

        methods = vars(dsession.DSession)
        used = {
            name
            for method in methods.values()
            for name in getattr(getattr(method, "__code__", None), "co_names", ())
        }
        return (
            used.issuperset(_SESSION)
            and {"_clone_node", "worker_errordown", "loop_once"} <= set(methods)
            and callable(dsession.TerminalDistReporter.getstatus)
            and callable(workermanage.unserialize_warning_message)
            and issubclass(dsession.Interrupted, KeyboardInterrupt)
            and all(hasattr(scheduler, name) for name in _SCHEDULERS.values())
        )
    except (ImportError, AttributeError):
        return False


def distribute(config: pytest.Config) -> None:
    """Make the run look distributed to other plugins: pytest-cov decides by it early."""
    config.known_args_namespace.dist = "load"


def at_once(config: pytest.Config) -> int | None:
    """Return the number of workers that `-n` asks for, None if it was not given.

    Raises `pytest.UsageError` for ways of distribution that suites cannot use.
    """
    option = config.option
    if option.dist == "each":
        raise pytest.UsageError(
            "dbmigrate: --dist=each runs each test in every worker, which suites cannot: "
            "leave it out, or say --db-suites=off"
        )
    if not option.numprocesses:
        if option.tx:
            raise pytest.UsageError(
                "dbmigrate: --tx names workers, and suites have workers of their own: "
                "leave it out, or say --db-suites=off"
            )
        return None
    return len(option.tx)


class Engine:
    """The session of xdist, with what a run of suites changes in it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._session = config.pluginmanager.getplugin("dsession")
        self._dist: str = config.option.dist

    def take_over(
        self, replace: Callable[[Any], None], status: Callable[[], str], *, one_by_one: bool
    ) -> None:
        """Call `replace` for each dead worker, and `status` for the line while workers start.

        If tests run one by one, the terminal shows them file by file, as without workers.
        """
        self._session._max_worker_restart = None  # no limit: ours is counted for each suite
        self._session._clone_node = replace
        manager = self._config.pluginmanager
        workers, terminal = (
            manager.getplugin(name) for name in ("terminaldistreporter", "terminalreporter")
        )
        if workers is not None:  # attributes of the instances hide xdist's methods
            workers.getstatus = status
            if self._config.get_verbosity() < 0:
                workers.ensure_show_status = lambda: None
        if terminal is not None and one_by_one:
            terminal.showfspath = self._config.get_verbosity() == 0

    def start_together(self, specs: list[Any]) -> None:
        """Start the interpreters of the first workers in parallel; xdist would start one by one."""
        group = self._session.nodemanager.group
        make, made, failed = group.makegateway, {}, {}

        def start(spec: Any) -> None:
            try:
                made[spec.id] = make(spec)
            except Exception as error:  # noqa: BLE001  # raised where xdist asks for it
                failed[spec.id] = error

        def take(spec: Any) -> Any:
            if spec.id in failed:
                raise failed.pop(spec.id)
            return made.pop(spec.id, None) or make(spec)

        threads = [threading.Thread(target=start, args=(it,), daemon=True) for it in specs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        group.makegateway = take  # `setup_nodes` calls it for each spec next

    def specs(self) -> list[Any]:
        """Return the specs of the first workers."""
        return list(self._session.nodemanager.specs)

    def start(self, like: Any, name: str) -> None:
        """Start one more worker."""
        spec = copy.copy(like)
        spec.id = name
        node = self._session.nodemanager.setup_node(spec, self._session.queue.put)
        self._session._active_nodes.add(node)

    def after_each_event(self, call: Callable[[], None]) -> None:
        """Call `call` whenever xdist has handled a message of a worker.

        `DSession.pytest_runtestloop` calls `self.loop_once()` until all is done, and each call
        handles one message, so an attribute of the instance that wraps the method is enough.
        """
        loop_once = self._session.loop_once

        def loop_once_and_call() -> None:
            loop_once()
            call()
            if self._session.sched.tests_finished:  # xdist looked before `call`
                self._session.triggershutdown()

        self._session.loop_once = loop_once_and_call

    @property
    def is_stopping(self) -> bool:
        """Whether the run is about to end, for whatever reason."""
        return bool(self._session.shouldstop or self._session.shuttingdown)

    @property
    def must_not_replace(self) -> bool:
        """Whether the run is being stopped, so that a dead worker needs no replacement."""
        return bool(self._session.shouldstop)

    def stop(self, why: str) -> None:
        """Stop the run; of several reasons, the first one counts."""
        self._session.shouldstop = self._session.shouldstop or why

    def scheduler(self, dist: str, log: Any, workers: int) -> Any:
        """Return a new scheduler of xdist's own for this number of workers."""
        from xdist import scheduler

        # with one worker all give the same order, but some wait for ever after a crash
        made = getattr(scheduler, _SCHEDULERS[dist if workers > 1 else "load"])(self._config, log)
        made.numnodes = workers
        return made


@contextlib.contextmanager
def interruption() -> Iterator[None]:
    """Turn xdist's exception for a stopped run, a `KeyboardInterrupt`, into a `StopRun`."""
    from xdist.dsession import Interrupted

    try:
        yield
    except Interrupted as error:
        raise StopRun(str(error)) from None


class StopRun(Exception):  # noqa: N818  # no error
    """The run was stopped, for this reason."""


def import_no_warnings() -> Callable[[], None]:
    """Keep xdist from importing the modules of warnings' classes; return a function to undo it.

    They may be modules of the application or of tests, which this process must not import.
    """
    from xdist import workermanage

    before = workermanage.unserialize_warning_message
    workermanage.unserialize_warning_message = _warning

    def undo() -> None:
        workermanage.unserialize_warning_message = before

    return undo


def _warning(data: dict[str, Any]) -> warnings.WarningMessage:
    category, message = None, data["message_str"]
    if data["category_module"]:
        category = _warning_class(data["category_module"], data["category_class_name"])
    if data["message_module"]:
        kind = type(data["message_class_name"] or "Warning", (Warning,), {})
        message = kind(message)
    details = {
        name: data[name]
        for name in warnings.WarningMessage._WARNING_DETAILS  # type: ignore[attr-defined]
        if name not in ("message", "category")
    }
    return warnings.WarningMessage(message=message, category=category, **details)  # type: ignore[arg-type]


def _warning_class(module: str, name: str | None) -> type[Warning]:
    known = getattr(sys.modules.get(module), name or "", None)
    if isinstance(known, type) and issubclass(known, Warning):
        return known
    return type(name or "Warning", (Warning,), {"__module__": module})
