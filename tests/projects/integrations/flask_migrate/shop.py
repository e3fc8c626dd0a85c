"""A Flask application that reads its URL when it is made."""

import os

from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Article(db.Model):  # type: ignore[name-defined]
    name: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    Migrate(app, db)

    @app.post("/articles/<name>")
    def add(name: str) -> str:
        db.session.add(Article(name=name, stock=1))
        db.session.commit()
        return "added"

    @app.get("/articles")
    def names() -> list[str]:
        return list(db.session.scalars(db.select(Article.name)))

    return app


app = create_app()
