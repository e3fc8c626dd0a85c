from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shop.db import engine
from shop.models import User


def add_user(name):
    with Session(engine) as session:
        session.add(User(name=name))
        session.commit()


def count_users():
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(User))
