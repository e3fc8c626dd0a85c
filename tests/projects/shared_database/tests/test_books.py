"""Books."""

import pytest
from library import lending
from library.models import Book, Loan
from sqlalchemy.exc import IntegrityError


def test_a_new_book_is_one_more():
    before = lending.count(Book)
    lending.acquire("978-0-01", "Emma")
    assert lending.count(Book) == before + 1


def test_a_shelf_of_books_is_as_many_more():
    before = lending.count(Book)
    for number in range(10):
        lending.acquire(f"978-0-10-{number}", f"Collected works, volume {number}")
    assert lending.count(Book) == before + 10


def test_a_number_stands_for_one_book():
    lending.acquire("978-0-02", "Persuasion")
    with pytest.raises(IntegrityError):
        lending.acquire("978-0-02", "Another one")


def test_a_new_book_is_lent_to_nobody():
    before = lending.count(Loan)
    lending.acquire("978-0-03", "Sanditon")
    assert lending.count(Loan) == before
