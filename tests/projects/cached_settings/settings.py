"""The application's settings, read when they are imported, as pydantic's are."""

import os


class Settings:
    def __init__(self) -> None:
        self.database_url = os.environ["DATABASE_URL"]


settings = Settings()
