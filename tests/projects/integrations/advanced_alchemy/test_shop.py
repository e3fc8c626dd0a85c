import asyncio

import pytest
from shop import Article, alchemy
from sqlalchemy import select


@pytest.mark.parametrize("name", ["pen", "ink"])
@pytest.mark.usefixtures("migrated_db")
def test_an_article(name: str) -> None:
    async def add_and_look() -> list[str]:
        async with alchemy.get_session() as session:
            session.add(Article(name=name))
            await session.commit()
            return list(await session.scalars(select(Article.name)))

    assert asyncio.run(add_and_look()) == [name]
