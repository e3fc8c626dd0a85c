"""The tables, as the application sees them."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Enum,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    String,
    Text,
    func,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )


class IssuerStatus(enum.Enum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class IssuerProfile(Base):
    """A party whose tokens are accepted, and the key its signatures are checked with."""

    __tablename__ = "issuer_profiles"
    __table_args__ = (CheckConstraint("name ~ '^[a-z][a-z0-9-]*$'", name="name_is_a_slug"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    status: Mapped[IssuerStatus] = mapped_column(
        Enum(
            IssuerStatus,
            name="issuer_status",
            values_callable=lambda members: [member.value for member in members],
        ),
        server_default=IssuerStatus.ACTIVE.value,
    )
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    # Kept by a trigger, so that it is right whoever writes the row.
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), server_onupdate=FetchedValue()
    )
    signing_public_key: Mapped[str] = mapped_column(Text)

    tokens: Mapped[list[IssuedToken]] = relationship(
        back_populates="issuer", passive_deletes=True, order_by="IssuedToken.issued_at"
    )


class IssuedToken(Base):
    """A token handed out: what was signed, and the signature."""

    __tablename__ = "issued_tokens"
    __table_args__ = (
        CheckConstraint("expires_at > issued_at", name="expires_after_issue"),
        Index("ix_issued_tokens_issuer_id_expires_at", "issuer_id", "expires_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("issuer_profiles.id", ondelete="CASCADE"))
    subject: Mapped[str] = mapped_column(String(255))
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    signature: Mapped[str] = mapped_column(Text)

    issuer: Mapped[IssuerProfile] = relationship(back_populates="tokens")
