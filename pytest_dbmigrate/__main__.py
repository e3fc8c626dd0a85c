"""Entry point of `python -m pytest_dbmigrate`, the same program as `pytest-dbmigrate`."""

from pytest_dbmigrate.cli import main

raise SystemExit(main())
