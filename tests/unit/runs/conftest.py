"""The fixtures of runs that other processes own."""

from tests.unit.owners import start_owner

__all__ = ["start_owner"]
