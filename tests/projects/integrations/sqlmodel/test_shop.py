from shop import Article
from sqlmodel import Session, select


def test_an_article(session: Session) -> None:
    session.add(Article(name="pen"))
    session.commit()
    assert session.exec(select(Article.name)).all() == ["pen"]
