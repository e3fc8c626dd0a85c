"""How many workers each suite has, and when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

_CHUNKS = 4  # for each worker: what the others are given while some are only being started


@dataclass(frozen=True)
class Turns:
    """The suites' turns: one after another, or side by side with a share of the workers each.

    `at_once` is how many tests may run at the same time, None if the user has not said.
    """

    names: Sequence[str]
    at_once: int | None
    is_concurrent: bool

    @property
    def limit(self) -> int:
        """How many workers may run tests at the same time."""
        return self.at_once or (len(self.names) if self.is_concurrent else 1)

    def at_start(self, name: str) -> int:
        """Return how many workers a suite gets when the run begins; they collect its tests.

        In turns, the first suite gets all of its own and the others one each, which waits.
        """
        if self.is_concurrent or name == self.names[0]:
            return self.share(name)
        return 1

    def share(self, name: str) -> int:
        """Return how many workers a suite may have in its turn."""
        if not self.is_concurrent:
            return self.limit
        each, more = divmod(self.limit, len(self.names))
        return max(1, each + (list(self.names).index(name) < more))

    def may_begin(self, name: str, running: Collection[str]) -> bool:
        """Return whether the next suite may begin while these are not over."""
        if not self.is_concurrent:
            return not running
        return sum(map(self.share, running)) + self.share(name) <= self.limit

    def missing(self, name: str, workers: int, tests: int) -> int:
        """Return how many workers to start when a suite's turn comes and it has so many."""
        return max(0, min(self.share(name), tests) - workers)

    def chunk(self, name: str, tests: int) -> int:
        """Return how many tests to give out at a time, so that late workers find some left."""
        return max(1, tests // (_CHUNKS * self.share(name)))
