"""Drift: each difference between schema and models is accepted, a warning, or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_dbmigrate.runs.notes import BaselineStale, BaselineWritten, TemplateReady
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.schema import baseline, baseline_file, sentences
from pytest_dbmigrate.schema.baseline import Baseline, Split
from pytest_dbmigrate.schema.difference import Difference
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template.facts import TemplateFacts


def judge(
    settings: Settings,
    run: Run,
    facts: TemplateFacts,
    change: Callable[[list[Difference]], None],
) -> None:
    """Report the differences, and write the baseline if the run is to accept them.

    `change` is called with their list first, and may add some or remove some. Raises
    `DriftError` for differences that nothing accepts, `SettingError` for a baseline that cannot
    be read or written.
    """
    unchecked = "dbmigrate_check is off" if settings.check == "off" else facts.comparison.unchecked
    found: list[Difference] = []
    if not unchecked:
        found += facts.comparison.differences
        change(found)
    has_baseline = bool(settings.baseline and not unchecked)
    before = baseline_file.read(Path(settings.baseline)) if has_baseline else Baseline()
    sides = baseline.split(map(sentences.sentence, found), before)
    summary = ""
    if has_baseline and settings.accept_drift:
        summary = _accept(settings, sides, before)
        sides = Split(sides.known + sides.new, (), ())
    elif sides.stale:
        run.journal.write(BaselineStale(_display_path(settings), tuple(sides.stale)))
    new = [it for it in found if baseline.line(sentences.sentence(it)) in sides.new]
    known = len(found) - len(new)
    if new and settings.check == "error":
        raise sentences.drift(new, _display_path(settings) if has_baseline else "", known)
    run.journal.write(
        TemplateReady(
            how=facts.how,
            reason=facts.reason,
            unfinished=facts.unfinished,
            revisions=facts.revisions,
            applied=facts.applied,
            seconds=facts.seconds,
            differences=tuple(map(sentences.sentence, new)),
            accepted=known,
            has_baseline=has_baseline,
            unchecked=unchecked,
            partly=facts.comparison.partly,
        )
    )
    if summary:
        run.journal.write(BaselineWritten(summary))


def _accept(settings: Settings, sides: Split, before: Baseline) -> str:
    """Rewrite the baseline, and return a summary for the user."""
    lines = (*sides.known, *sides.new)
    is_written = baseline_file.write(Path(settings.baseline), baseline.render(lines, before))
    return _summary(_display_path(settings), sides, is_written=is_written)


def _summary(path: str, sides: Split, *, is_written: bool) -> str:
    total = len(sides.known) + len(sides.new)
    count = f"{total or 'no'} {'difference' if total == 1 else 'differences'}"
    if not is_written:
        return f"{path} is as it was: {count}"
    changes = [
        f"{len(it)} {word}" for it, word in ((sides.new, "new"), (sides.stale, "gone")) if it
    ]
    return f"wrote {path}: {count}" + (f" ({', '.join(changes)})" if changes else "")


def _display_path(settings: Settings) -> str:
    """Return the baseline's path, relative to the project's root if it is inside."""
    path, root = Path(settings.baseline), settings.root.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
