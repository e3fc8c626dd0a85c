"""`python -m pytest_dbmigrate`."""

from pytest_dbmigrate.cli import main

raise SystemExit(main())
