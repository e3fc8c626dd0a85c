"""Server request: one value for each way to ask for a server."""

from __future__ import annotations

import pytest

from pytest_dbmigrate.addresses.dsn import Dsn, Secret
from pytest_dbmigrate.settings.server_request import ServerRequest

URL = "postgresql+psycopg://ann:s3cret@127.0.0.1:5433/shop"


@pytest.mark.parametrize("kind", ["auto", "docker", "embedded"])
def test_a_word_asks_for_a_kind_of_server(kind: str) -> None:
    request = ServerRequest.parse(kind)
    assert request == ServerRequest.named(kind)
    assert (request.kind, request.address, str(request)) == (kind, None, kind)
    assert not request.is_given


def test_without_a_word_the_request_is_for_the_first_kind_that_can_be_had() -> None:
    assert ServerRequest() == ServerRequest.parse("auto")


def test_a_url_asks_for_the_server_at_its_address() -> None:
    request = ServerRequest.parse(URL)
    assert request == ServerRequest.given(URL)
    assert request.is_given
    assert request.address == Dsn("127.0.0.1", 5433, "ann", Secret("s3cret"), "shop")
    assert request.text == URL


def test_a_request_is_shown_as_it_was_written_but_for_its_password() -> None:
    request = ServerRequest.given(URL)
    assert str(request) == "postgresql+psycopg://ann:***@127.0.0.1:5433/shop"
    assert "s3cret" not in repr(request)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("oracle", "it is auto, docker, embedded or a postgresql:// URL"),
        ("mysql://localhost/", "a server's URL starts with postgresql://"),
        ("postgresql:///shop", "the URL names no host"),
    ],
)
def test_a_text_that_asks_for_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        ServerRequest.parse(text)
