"""What the application logs; `connection` comes from naive.py or ours.py."""

import logging
from typing import Any

import psycopg
import pytest
import shop


def test_an_article_that_is_sold_out_is_logged(
    connection: psycopg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert not shop.order(connection, "pen")
    assert caplog.messages == ["pen is sold out"]


def test_a_logger_logs_without_a_database(caplog: pytest.LogCaptureFixture) -> None:
    shop.log.warning("all is well")
    assert caplog.messages == ["all is well"]


def test_the_root_logger_is_as_it_was(connection: psycopg.Connection[Any]) -> None:
    kinds = {type(handler) for handler in logging.getLogger().handlers}
    assert logging.StreamHandler not in kinds
