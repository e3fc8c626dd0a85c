"""What the project wants its migrations to be run within: an application context, a thread.

Lives in the migration child only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from pytest_dbmigrate.errors import MigrationError
from pytest_dbmigrate.migrations import references

T = TypeVar("T")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def run(reference: str, work: Callable[[], T]) -> T:
    """Return what the work returns, done within what a reference names, or as it is for "".

    A function without a parameter returns a context manager; one with a parameter is given
    the work, and calls it. Raises `MigrationError` if it does neither.
    """
    if not reference:
        return work()
    named = references.load(reference, "dbmigrate_within")
    if callable(named) and _takes_one(named):
        return _given(named, work, reference)
    manager = named() if callable(named) else named
    if not hasattr(manager, "__enter__"):
        raise MigrationError(
            f"dbmigrate_within names {reference}, which is of no use: "
            f"it returns a {type(manager).__name__}",
            todo=(
                "let it return a context manager,",
                "or take one argument, the work to be done, and call it",
            ),
        )
    with manager:
        return work()


def _given(named: Callable[..., Any], work: Callable[[], T], reference: str) -> T:
    done: list[T] = []
    raised: list[BaseException] = []

    def once() -> None:
        try:
            done.append(work())
        except BaseException as error:
            raised.append(error)
            raise

    named(once)
    if raised:
        raise raised[0]  # and it was swallowed, or it stayed in a thread
    if not done:
        raise MigrationError(
            f"dbmigrate_within names {reference}, which did not do the work it was given",
            todo=("let it call its argument, and wait until that returns",),
        )
    return done[0]


def _takes_one(named: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(named).parameters.values()
    except ValueError:  # written in C, and says nothing of itself
        return False
    return any(it.default is it.empty and it.kind in _POSITIONAL for it in parameters)
