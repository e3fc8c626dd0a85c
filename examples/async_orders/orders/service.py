"""What the shop does. Each function has its own transaction and commits it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from .db import sessions
from .models import Order, Product


class OrderError(Exception):
    """A request that the shop refuses."""


class UnknownProduct(OrderError):
    pass


class OutOfStock(OrderError):
    pass


class UnknownOrder(OrderError):
    pass


class AlreadyCancelled(OrderError):
    pass


async def add_product(sku: str, price: Decimal, in_stock: int = 0) -> Product:
    async with sessions.begin() as session:
        product = Product(sku=sku, price=price, in_stock=in_stock)
        session.add(product)
    return product


async def place_order(customer: str, sku: str, quantity: int = 1) -> Order:
    """Take the quantity out of the stock and record the order, both or neither."""
    async with sessions.begin() as session:
        product = await _reserve_stock(session, sku, quantity)
        order = Order(
            product_id=product.id,
            customer=customer,
            quantity=quantity,
            total=product.price * quantity,
        )
        session.add(order)
    return order


async def cancel_order(order_id: int) -> Order:
    """Put what was ordered back into the stock."""
    async with sessions.begin() as session:
        order = await session.scalar(select(Order).where(Order.id == order_id).with_for_update())
        if order is None:
            raise UnknownOrder(order_id)
        if order.cancelled_at is not None:
            raise AlreadyCancelled(order_id)
        products = await session.scalars(
            select(Product).where(Product.id == order.product_id).with_for_update()
        )
        products.one().in_stock += order.quantity
        order.cancelled_at = await session.scalar(select(func.now()))
    return order


async def stock_of(sku: str) -> int:
    async with sessions() as session:
        in_stock = await session.scalar(select(Product.in_stock).where(Product.sku == sku))
    if in_stock is None:
        raise UnknownProduct(sku)
    return in_stock


async def orders_of(customer: str) -> Sequence[Order]:
    """The customer's orders that are not cancelled, the newest first."""
    async with sessions() as session:
        found = await session.scalars(
            select(Order)
            .where(Order.customer == customer, Order.cancelled_at.is_(None))
            .order_by(Order.placed_at.desc(), Order.id.desc())
        )
        return found.all()


async def count_orders() -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(Order)) or 0


async def _reserve_stock(session: AsyncSession, sku: str, quantity: int) -> Product:
    # SELECT ... FOR UPDATE: of two buyers of the last item, the second waits here and then
    # reads what the first has left.
    product = await session.scalar(select(Product).where(Product.sku == sku).with_for_update())
    if product is None:
        raise UnknownProduct(sku)
    if product.in_stock < quantity:
        raise OutOfStock(sku)
    product.in_stock -= quantity
    return product
