"""Surroundings of the migrations (`dbmigrate_within`): an application context, a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pytest_dbmigrate.child import references
from pytest_dbmigrate.errors import MigrationError

T = TypeVar("T")


def run(reference: str, work: Callable[[], T]) -> T:
    """Return the result of `work`, called in the surroundings that the reference names, if any.

    A function without a parameter returns a context manager; one with a parameter is given
    `work`, and calls it. Raises `MigrationError` if it does neither. What `work` raises is
    raised here, even if the project's code has caught it.
    """
    if not reference:
        return work()
    done: list[T] = []
    raised: list[BaseException] = []

    def once() -> None:
        try:
            done.append(work())
        except BaseException as error:
            raised.append(error)
            raise

    try:
        _around(once, reference)
    except BaseException:
        if not raised:
            raise
    if raised:
        raise raised[0]  # even if it was swallowed, wrapped, or stayed in a thread
    if not done:
        raise MigrationError(
            f"dbmigrate_within names {reference}, which did not do the work it was given",
            todo=("let it call its argument, and wait until that returns",),
        )
    return done[0]


def _around(work: Callable[[], None], reference: str) -> None:
    named = references.load(reference, "dbmigrate_within")
    is_manager = hasattr(type(named), "__enter__")  # some can be called as well
    if not is_manager and callable(named) and references.needs_argument(named):
        named(work)
        return
    manager = named() if callable(named) and not is_manager else named
    if not hasattr(type(manager), "__enter__"):
        what = f"{'returns' if callable(named) else 'is'} a {type(manager).__name__}"
        raise MigrationError(
            f"dbmigrate_within names {reference}, which cannot be used: it {what}",
            todo=(
                "let it return a context manager,",
                "or take one argument, the work to be done, and call it",
            ),
        )
    with manager:
        work()
