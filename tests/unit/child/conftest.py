"""The fixtures of Alembic environments."""

from tests.unit.jobs import job_project
from tests.unit.projects import driven_project, history, project

__all__ = ["driven_project", "history", "job_project", "project"]
