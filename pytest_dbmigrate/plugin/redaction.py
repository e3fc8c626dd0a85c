"""Redaction: passwords are taken out of reports, their tracebacks, locals and captured output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_dbmigrate.addresses.dsn import redact


def redact_report(
    report: pytest.TestReport | pytest.CollectReport, passwords: Iterable[str]
) -> None:
    """Redact everything of a report that is shown or written somewhere."""
    secrets = tuple(passwords)
    report.sections = [(title, redact(content, *secrets)) for title, content in report.sections]
    if report.longrepr is not None:
        report.longrepr = _redacted(report.longrepr, secrets)


def redact_error(error: BaseException | None, passwords: Iterable[str]) -> None:
    """Redact the message of an error, and of the one that pytest has wrapped in it."""
    if error is not None:
        error.args = _redacted(error.args, tuple(passwords))
        redact_error(getattr(error, "cause", None), passwords)


def _redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    """Return the value with every string in it redacted; pytest's own objects in place."""
    if isinstance(value, str):
        return redact(value, *secrets)
    if type(value) in (list, tuple):
        return type(value)(_redacted(item, secrets) for item in value)
    if type(value).__module__.startswith(("_pytest._code", "_pytest.reports")):
        for name, item in vars(value).items():
            object.__setattr__(value, name, _redacted(item, secrets))
    return value
