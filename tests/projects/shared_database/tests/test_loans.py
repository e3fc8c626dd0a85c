"""Loans."""

from datetime import date

import pytest
from library import lending
from library.models import Loan


def test_a_loan_is_one_more():
    before = lending.count(Loan)
    lending.lend(lending.acquire("978-1-01", "Kim"), lending.join("ida@library.example"))
    assert lending.count(Loan) == before + 1


def test_the_librarian_may_borrow(librarian):
    lending.lend(lending.acquire("978-1-02", "Nostromo"), librarian)
    assert "Nostromo" in lending.titles_lent_to("librarian@library.example")


def test_a_book_is_lent_to_one_member_at_a_time(librarian):
    book = lending.acquire("978-1-03", "Ulysses")
    lending.lend(book, lending.join("joe@library.example"))
    before = lending.count(Loan)
    with pytest.raises(lending.NotOnTheShelfError):
        lending.lend(book, librarian)
    assert lending.count(Loan) == before


def test_a_book_that_is_back_may_be_lent_again(librarian):
    book = lending.acquire("978-1-04", "Middlemarch")
    first = lending.lend(book, lending.join("kay@library.example"))
    lending.take_back(first, date(2024, 5, 1))
    lending.lend(book, librarian)
    assert lending.titles_lent_to("kay@library.example") == []


def test_a_member_may_have_several_books():
    member = lending.join("lou@library.example")
    for number, title in enumerate(["Silas Marner", "Adam Bede"]):
        lending.lend(lending.acquire(f"978-1-05-{number}", title), member)
    assert lending.titles_lent_to("lou@library.example") == ["Adam Bede", "Silas Marner"]


def test_a_reader_of_everything():
    before = lending.count(Loan)
    member = lending.join("max@library.example")
    for number in range(5):
        lending.lend(lending.acquire(f"978-1-06-{number}", f"Part {number}"), member)
    assert lending.count(Loan) == before + 5
    assert len(lending.titles_lent_to("max@library.example")) == 5
