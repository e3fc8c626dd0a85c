"""What every test of the library begins with."""

import pytest
from library import lending


@pytest.fixture(scope="session", autouse=True)
def librarian() -> int:
    """The member who is always there."""
    return lending.join("librarian@library.example")
