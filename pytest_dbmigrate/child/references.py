"""References to the project's code: what `module:function` and `package:folder` stand for.

They are resolved in the migration child, where importing the project does no harm.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pytest_dbmigrate.errors import MigrationError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def load(reference: str, setting: str) -> Any:
    """Return what `module:name.name` stands for. Raises `MigrationError`.

    What the module itself raises while it is imported comes through.
    """
    module, _, path = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # something that the module needs, and not the module
        raise MigrationError(
            f"{setting} names {reference}, and there is no module {error.name}",
            tried=("importing it with this path:", *(f"  {entry}" for entry in sys.path)),
            todo=("correct the name, or add its folder to pytest's setting pythonpath",),
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise MigrationError(
                f"{setting} names {reference}, and {module} has no {path}",
                tried=(f"importing {module}, from {getattr(found, '__file__', None) or module}",)
                if path == name
                else (),
                todo=("correct the name",),
            )
        found = getattr(found, name)
    return found


def needs_argument(function: Callable[..., Any]) -> bool:
    """Return whether the function cannot be called without an argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a signature
        return False
    return any(it.default is it.empty and it.kind in _POSITIONAL for it in parameters)


def in_package(package: str, path: str) -> Path | None:
    """Return a file or folder of a package, which is not imported; None if it has none."""
    places: Any = None  # the import path, to begin with
    name = ""
    for part in package.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None or spec.submodule_search_locations is None:
            return None
        places = spec.submodule_search_locations
    found = [Path(place) / path for place in places]
    return next((place for place in found if place.exists()), None)
