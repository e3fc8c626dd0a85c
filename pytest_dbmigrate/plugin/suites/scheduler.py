"""Scheduler for a run of suites: gives each suite one of xdist's own schedulers, in its turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import pytest

from pytest_dbmigrate.plugin.suites.xdist_internals import Engine
from pytest_dbmigrate.suites.turns import Turns


class Listener(Protocol):
    """The controller of the run, as the scheduler sees it."""

    def suite_of(self, node: Any) -> str:
        """Return the name of a worker's suite."""

    def begins(self, suite: str, tests: int) -> None:
        """Note that a suite's turn has come."""

    def needs_workers(self, suite: str, number: int) -> None:
        """Start this many more workers for a suite."""


class Group:
    """The workers of one suite: they wait for its turn, and then a scheduler feeds them."""

    def __init__(self, name: str, expected: int) -> None:
        self.name = name
        self.scheduler: Any = None  # None before its turn
        self.tests: Sequence[str] | None = None  # None before they are collected
        self.is_given_up = False
        self._expected = expected
        self._waiting: dict[Any, Sequence[str] | None] = {}

    @property
    def nodes(self) -> list[Any]:
        """Its living workers."""
        return list(self._waiting if self.scheduler is None else self.scheduler.nodes)

    @property
    def is_collected(self) -> bool:
        """Whether all its first workers have collected its tests."""
        known = sum(ids is not None for ids in self._waiting.values())
        return self.is_given_up or self.scheduler is not None or known >= self._expected

    @property
    def is_over(self) -> bool:
        """Whether no test is left to give out; the last ones may still be running."""
        return self.is_given_up or (
            self.scheduler is not None and (not self.tests or self.scheduler.tests_finished)
        )

    @property
    def is_drained(self) -> bool:
        """Whether no test is running or waiting to run."""
        return self.is_over and (not self.tests or not self.scheduler.has_pending)

    def begin(self, make: Callable[[int], Any], chunk: int | None) -> None:
        """Create the suite's scheduler, which gives tests to the workers from now on.

        It is told what xdist has told us while the suite waited: its workers and their tests.
        """
        waiting, self._waiting = self._waiting, {}
        self.scheduler = make(sum(ids is not None for ids in waiting.values()))
        if chunk is not None and getattr(self.scheduler, "maxschedchunk", 0) is None:
            self.scheduler.maxschedchunk = chunk
        for node, ids in waiting.items():
            self.scheduler.add_node(node)
            if ids is not None:
                self.scheduler.add_node_collection(node, ids)
        self.scheduler.schedule()

    def add(self, node: Any) -> None:
        """Add a worker that has just started."""
        if self.scheduler is None:
            self._waiting[node] = None
        else:
            self.scheduler.add_node(node)

    def collected(self, node: Any, ids: Sequence[str]) -> None:
        """Note what a worker has collected."""
        if self.scheduler is None:
            self._waiting[node] = ids
            self.tests = ids
        elif self.tests:
            self.scheduler.add_node_collection(node, ids)

    def feed(self) -> None:
        """Give work to workers that have started meanwhile."""
        if self.scheduler is not None and self.tests:
            self.scheduler.schedule()

    def remove(self, node: Any) -> Any:
        """Forget a worker; return the test it was running, or None."""
        if self.scheduler is None:
            del self._waiting[node]
            return None
        return self.scheduler.remove_node(node)

    def dismiss(self) -> None:
        """Let its workers end once they have run the tests that they have."""
        for node in self.nodes:
            if not node.shutting_down:
                node.shutdown()


class SuiteScheduling:
    """The scheduler that xdist sees; it passes everything on to the schedulers of the suites."""

    def __init__(
        self, config: pytest.Config, engine: Engine, turns: Turns, log: Any, listener: Listener
    ) -> None:
        self.config = config  # other plugins look for it, as in xdist's own
        self._session = config.pluginmanager.getplugin("session")
        self._engine = engine
        self._turns = turns
        self._log = log
        self._dist: str = config.option.dist
        self._listener = listener
        self.groups = {name: Group(name, turns.at_start(name)) for name in turns.names}
        self._groups_begun: list[Group] = []

    @property
    def nodes(self) -> list[Any]:
        """All living workers."""
        return [node for group in self.groups.values() for node in group.nodes]

    @property
    def collection_is_completed(self) -> bool:
        """Whether the tests of all suites are known."""
        return all(group.is_collected for group in self.groups.values())

    @property
    def tests_finished(self) -> bool:
        """Whether all tests are done. xdist reads this after each message of a worker."""
        return len(self._groups_begun) == len(self.groups) and all(
            group.is_over for group in self._groups_begun
        )

    @property
    def has_pending(self) -> bool:
        """Whether tests have begun to run."""
        return bool(self._groups_begun)

    def add_node(self, node: Any) -> None:
        """Add a worker that has just started."""
        self._group(node).add(node)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Note what a worker has collected, and update the total of all suites."""
        self._group(node).collected(node, collection)
        self._session.testscollected = sum(len(group.tests or ()) for group in self.groups.values())

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Let the suite's scheduler give the worker more."""
        self._group(node).scheduler.mark_test_complete(node, item_index, duration)

    def mark_test_pending(self, item: str) -> None:
        """Let a test run once more, as pytest-rerunfailures wants after a crash."""
        for group in self._groups_begun:
            if item in (group.tests or ()):
                group.scheduler.mark_test_pending(item)

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Take back tests that were given to a worker."""
        self._group(node).scheduler.remove_pending_tests_from_node(node, indices)

    def remove_node(self, node: Any) -> Any:
        """Forget a worker; return the test it was running, or None. Raises `KeyError`."""
        return self._group(node).remove(node)

    def schedule(self) -> None:
        """Stop if some tests could not be collected, as pytest does; called when all are known."""
        given_up = sum(group.is_given_up for group in self.groups.values())
        failed = (
            self._session.testsfailed - given_up
        )  # a suite that was given up does not end the others
        if (
            not self._groups_begun
            and failed
            and not self.config.option.continue_on_collection_errors
        ):
            self._engine.stop(f"{failed} error{'s' if failed > 1 else ''} during collection")
        for group in self._groups_begun:
            group.feed()

    def begin_next(self) -> None:
        """Begin each suite whose turn has come; called after each message of a worker.

        This is the one place where a suite begins: when the tests of all are known, or a test
        or a worker of an earlier suite has ended.
        """
        if not self.collection_is_completed or self._engine.is_stopping:
            return
        for group in list(self.groups.values())[len(self._groups_begun) :]:
            if not self._turns.may_begin(group.name, self._running()):
                return
            self._begin(group)

    def _group(self, node: Any) -> Group:
        return self.groups[self._listener.suite_of(node)]

    def _running(self) -> list[str]:
        """Return the suites that are not over, after dismissing the workers of those that are."""
        for group in self._groups_begun:
            if group.is_over:
                group.dismiss()
        return [group.name for group in self._groups_begun if not group.is_over or group.nodes]

    def _begin(self, group: Group) -> None:
        self._groups_begun.append(group)
        if group.is_given_up:
            return
        tests = len(group.tests or ())
        self._listener.begins(group.name, tests)
        more = self._turns.missing(group.name, len(group.nodes), tests)
        # leaves tests for the workers that are still starting
        chunk = self._turns.chunk(group.name, tests) if more else None
        workers = len(group.nodes) + more
        group.begin(lambda present: self._scheduler(workers, present), chunk)
        if not tests:
            group.dismiss()
        if more:
            self._listener.needs_workers(group.name, more)

    def _scheduler(self, workers: int, present: int) -> Any:
        """Return a scheduler for the suite's workers, that begins with those `present`."""
        scheduler = self._engine.scheduler(self._dist, self._log, workers)
        scheduler.numnodes = present  # it waits for the tests of so many before it begins
        return scheduler
