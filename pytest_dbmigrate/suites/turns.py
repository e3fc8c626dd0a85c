"""Turns of the suites: when each begins, and how many workers it has. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_CHUNKS = 4  # for each worker, so that tests are left for workers that are still starting


@dataclass(frozen=True)
class Turns:
    """The suites' turns: one after another, or side by side with a share of the workers each.

    `at_once` is how many tests may run at the same time, None if the user has set no limit.
    """

    names: Sequence[str]
    at_once: int | None
    is_concurrent: bool

    @property
    def limit(self) -> int:
        """The number of workers that may run tests at the same time."""
        return self.at_once or (len(self.names) if self.is_concurrent else 1)

    def at_start(self, name: str) -> int:
        """Return how many workers a suite gets when the run begins, to collect its tests.

        One after another, the first suite gets its whole share at once, and every other suite
        a single worker, which waits for the suite's turn.
        """
        if self.is_concurrent or name == self.names[0]:
            return self.share(name)
        return 1

    def share(self, name: str) -> int:
        """Return how many workers a suite may have in its turn."""
        # Side by side, the remainder of the division goes to the first suites, one worker each.
        if not self.is_concurrent:
            return self.limit
        each, more = divmod(self.limit, len(self.names))
        return max(1, each + (list(self.names).index(name) < more))

    def may_begin(self, name: str, running: Collection[str]) -> bool:
        """Return whether the next suite may begin while the given ones are still running."""
        if not self.is_concurrent:
            return not running
        return sum(map(self.share, running)) + self.share(name) <= self.limit

    def missing(self, name: str, workers: int, tests: int) -> int:
        """Return how many more workers to start when the turn of a suite with `workers` comes."""
        return max(0, min(self.share(name), tests) - workers)

    def chunk(self, name: str, tests: int) -> int:
        """Return how many tests to send a worker at a time, so that some are left for late ones."""
        return max(1, tests // (_CHUNKS * self.share(name)))
