"""airflow's core and its FAB provider, with the configurations that airflow itself makes."""

import os
from collections.abc import Iterator

import alone
from alembic.config import Config


def configurations(url: str) -> Iterator[Config]:
    # before the first import of airflow, whose settings make an engine of it
    address = url.replace("postgresql://", "postgresql+psycopg2://")
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = address

    from airflow.utils.db import _get_alembic_config

    yield _get_alembic_config()

    from airflow.providers.fab.auth_manager.models.db import FABDBManager

    yield FABDBManager(session=None).get_alembic_config()


if __name__ == "__main__":
    alone.main(configurations)
