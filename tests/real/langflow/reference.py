"""langflow's one async environment, configured as in its services/database/service.py."""

import sys
from collections.abc import Iterator
from pathlib import Path

import alone
from alembic.config import Config


def configurations(url: str) -> Iterator[Config]:
    import langflow

    url = url.replace("postgresql://", "postgresql+psycopg://")
    config = Config(stdout=sys.stderr)  # no ini file, so env.py does not configure the logging
    config.set_main_option("script_location", str(Path(langflow.__file__).parent / "alembic"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    yield config


if __name__ == "__main__":
    alone.main(configurations)
