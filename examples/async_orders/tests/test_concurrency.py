"""Buyers at the same time, each with a connection of the pool."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from orders import service
from orders.models import Order

pytestmark = pytest.mark.usefixtures("migrated_db")


async def test_two_buyers_and_one_item() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=1)
    # Two connections are in the pool before the race: neither buyer loses by connecting.
    await asyncio.gather(service.stock_of("lamp"), service.stock_of("lamp"))

    outcomes = await asyncio.gather(
        service.place_order("ada", "lamp"),
        service.place_order("bob", "lamp"),
        return_exceptions=True,
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Order", "OutOfStock"]
    assert await service.count_orders() == 1
    assert await service.stock_of("lamp") == 0


async def test_more_buyers_than_connections() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=10)

    outcomes = await asyncio.gather(
        *(service.place_order(f"buyer-{number}", "lamp") for number in range(24)),
        return_exceptions=True,
    )

    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 10
    assert sum(isinstance(outcome, service.OutOfStock) for outcome in outcomes) == 14
    assert await service.stock_of("lamp") == 0


async def test_an_order_is_cancelled_once() -> None:
    assert await service.count_orders() == 0
    await service.add_product("lamp", Decimal("19.90"), in_stock=1)
    order = await service.place_order("ada", "lamp")

    outcomes = await asyncio.gather(
        *(service.cancel_order(order.id) for _ in range(3)), return_exceptions=True
    )

    assert sum(isinstance(outcome, Order) for outcome in outcomes) == 1
    assert await service.stock_of("lamp") == 1
