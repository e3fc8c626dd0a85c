"""The one engine of the application, made when it is imported."""

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from library.settings import DATABASE_URL

engine = create_engine(DATABASE_URL)
Session = sessionmaker(engine)
