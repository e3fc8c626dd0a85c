"""Start of the migration child: what it imports ahead of its job, as fast as possible."""

from __future__ import annotations

import gc
import sys


def boot(path: list[str], results: int) -> None:
    """Import what a job needs, and wait for one with the import path of the parent.

    `results` is the file descriptor for the answers.
    """
    # the imports make many objects and no garbage: collecting it takes a fifth longer
    gc.disable()
    from pytest_dbmigrate.child.main import main

    gc.freeze()
    gc.enable()
    sys.path[:] = path  # only now: until here this interpreter's own entries came first
    main(results)
