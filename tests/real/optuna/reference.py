"""optuna's one environment, configured as in its storages/_rdb/storage.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

import alone
from alembic.config import Config


def configurations(url: str) -> Iterator[Config]:
    import optuna.storages._rdb as package

    folder = Path(package.__file__).parent
    config = Config(str(folder / "alembic.ini"), stdout=sys.stderr)
    config.set_main_option("script_location", str(folder / "alembic"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    yield config


if __name__ == "__main__":
    alone.main(configurations)
