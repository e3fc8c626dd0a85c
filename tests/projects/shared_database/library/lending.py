"""What the library does. Every function is a transaction of its own."""

from datetime import date

from sqlalchemy import func, select

from library.database import Session
from library.models import Base, Book, Loan, Member


class NotOnTheShelfError(Exception):
    """Somebody else has the book."""


def join(email: str) -> int:
    """Add a member; return the id."""
    with Session.begin() as session:
        member = Member(email=email)
        session.add(member)
        session.flush()
        return member.id


def acquire(isbn: str, title: str) -> int:
    """Add a book; return the id."""
    with Session.begin() as session:
        book = Book(isbn=isbn, title=title)
        session.add(book)
        session.flush()
        return book.id


def lend(book: int, member: int) -> int:
    """Lend a book to a member; return the loan's id."""
    with Session.begin() as session:
        session.get(Book, book, with_for_update=True)
        if session.scalar(select(Loan.id).filter_by(book_id=book, returned=None)):
            raise NotOnTheShelfError
        loan = Loan(book_id=book, member_id=member)
        session.add(loan)
        session.flush()
        return loan.id


def take_back(loan: int, day: date) -> None:
    """End a loan."""
    with Session.begin() as session:
        session.get_one(Loan, loan).returned = day


def count(model: type[Base]) -> int:
    """Return how many there are."""
    with Session() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def titles_lent_to(email: str) -> list[str]:
    """Return what a member has at home, in alphabetical order."""
    query = (
        select(Book.title)
        .join(Loan, Loan.book_id == Book.id)
        .join(Member, Member.id == Loan.member_id)
        .where(Member.email == email, Loan.returned.is_(None))
        .order_by(Book.title)
    )
    with Session() as session:
        return list(session.scalars(query))
