"""The service, through the application's own engine, committing in every test."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pytest_dbmigrate import MigratedDatabase
from sqlalchemy.exc import IntegrityError

from orders import service


@pytest.fixture(autouse=True)
def _database(migrated_db: MigratedDatabase) -> None:
    """Every test of this module has a database of its own, without naming it."""


async def test_an_order_takes_from_the_stock() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=5)

    order = await service.place_order("ada", "lamp", 2)

    assert order.total == Decimal("39.80")
    assert await service.stock_of("lamp") == 3
    assert [found.id for found in await service.orders_of("ada")] == [order.id]


async def test_what_is_not_in_stock_is_not_sold() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=1)

    with pytest.raises(service.OutOfStock):
        await service.place_order("ada", "lamp", 2)

    assert await service.stock_of("lamp") == 1
    assert await service.count_orders() == 0


async def test_a_cancelled_order_gives_its_stock_back() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=1)
    order = await service.place_order("ada", "lamp")

    cancelled = await service.cancel_order(order.id)

    assert cancelled.cancelled_at is not None
    assert cancelled.cancelled_at > order.placed_at
    assert await service.stock_of("lamp") == 1
    assert await service.orders_of("ada") == []
    with pytest.raises(service.AlreadyCancelled):
        await service.cancel_order(order.id)


async def test_the_newest_order_comes_first() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=9)
    placed = [await service.place_order("ada", "lamp") for _ in range(3)]
    await service.place_order("bob", "lamp")

    found = await service.orders_of("ada")

    assert [order.id for order in found] == [order.id for order in reversed(placed)]


async def test_what_does_not_exist_is_refused() -> None:
    assert await service.count_orders() == 0
    with pytest.raises(service.UnknownProduct):
        await service.place_order("ada", "unicorn")
    with pytest.raises(service.UnknownOrder):
        await service.cancel_order(1)


async def test_a_product_is_added_once() -> None:
    await service.add_product("lamp", Decimal("19.90"))

    with pytest.raises(IntegrityError, match="uq_products_sku"):
        await service.add_product("lamp", Decimal("24.50"))


@pytest.mark.parametrize("quantity", [0, -1])
async def test_an_order_is_for_something(quantity: int) -> None:
    await service.add_product("lamp", Decimal("19.90"), in_stock=1)

    with pytest.raises(IntegrityError, match="ck_orders_quantity_positive"):
        await service.place_order("ada", "lamp", quantity)

    assert await service.stock_of("lamp") == 1
