"""mlflow's tracking store and auth server, configured as in their db/utils.py."""

from collections.abc import Iterator

import alone
from alembic.config import Config
from sqlalchemy import create_engine


def configurations(url: str) -> Iterator[Config]:
    from mlflow.store.db import utils as tracking

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    # as its _initialize_tables: the first revision alters tables that no revision creates
    tracking.InitialBase.metadata.create_all(engine)
    engine.dispose()
    yield tracking._get_alembic_config(url)

    from mlflow.server.auth.db import utils as auth

    yield auth._get_alembic_config(url)


if __name__ == "__main__":
    alone.main(configurations)
