"""Suites under pytest: which process this is, and what it does with them."""
