"""A small shop: products in stock, and the orders placed for them."""
