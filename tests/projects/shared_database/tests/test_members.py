"""Members."""

import pytest
from library import lending
from library.models import Member
from sqlalchemy.exc import IntegrityError


def test_who_joins_is_a_member():
    before = lending.count(Member)
    lending.join("ada@library.example")
    assert lending.count(Member) == before + 1


def test_two_may_join():
    before = lending.count(Member)
    lending.join("bob@library.example")
    lending.join("cyd@library.example")
    assert lending.count(Member) == before + 2


def test_an_address_joins_once():
    lending.join("dan@library.example")
    before = lending.count(Member)
    with pytest.raises(IntegrityError):
        lending.join("dan@library.example")
    assert lending.count(Member) == before


def test_the_librarian_is_a_member_already():
    with pytest.raises(IntegrityError):
        lending.join("librarian@library.example")


@pytest.mark.parametrize("name", ["eve", "fay", "gus", "hal"])
def test_everybody_has_a_number_of_their_own(name):
    first = lending.join(f"{name}@library.example")
    assert lending.join(f"{name}.again@library.example") > first
