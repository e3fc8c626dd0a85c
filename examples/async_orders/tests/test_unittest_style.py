"""Classes of the standard library's unittest get their databases by the same fixture."""

from __future__ import annotations

import asyncio
import unittest
from decimal import Decimal

import pytest

from orders import service


@pytest.mark.usefixtures("migrated_db")
class StockTest(unittest.TestCase):
    def test_a_product_starts_without_stock(self) -> None:
        async def scenario() -> int:
            await service.add_product("lamp", Decimal("19.90"))
            return await service.stock_of("lamp")

        self.assertEqual(asyncio.run(scenario()), 0)

    def test_an_empty_shop_has_no_orders(self) -> None:
        self.assertEqual(asyncio.run(service.count_orders()), 0)


@pytest.mark.usefixtures("migrated_db")
class OrderTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.assertEqual(await service.count_orders(), 0)
        await service.add_product("lamp", Decimal("19.90"), in_stock=2)

    async def test_orders_of_two_customers(self) -> None:
        await service.place_order("ada", "lamp")
        await service.place_order("bob", "lamp")

        self.assertEqual(len(await service.orders_of("ada")), 1)
        self.assertEqual(await service.stock_of("lamp"), 0)

    async def test_the_stock_is_back_as_it_was(self) -> None:
        order = await service.place_order("ada", "lamp", 2)
        await service.cancel_order(order.id)

        self.assertEqual(await service.stock_of("lamp"), 2)
