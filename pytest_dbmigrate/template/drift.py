"""What becomes of the differences: accepted by the baseline, a warning, or an error."""

from __future__ import annotations

from pathlib import Path

from pytest_dbmigrate.runs.notes import BaselineStale, BaselineWritten, TemplateReady
from pytest_dbmigrate.runs.run import Run
from pytest_dbmigrate.schema import baseline, baseline_file, sentences
from pytest_dbmigrate.schema.baseline import Baseline, Split
from pytest_dbmigrate.settings.values import Settings
from pytest_dbmigrate.template.facts import TemplateFacts


def judge(settings: Settings, run: Run, facts: TemplateFacts) -> None:
    """Note what the comparison has found; write the baseline if the run is to accept it.

    Raises `DriftError` for what nothing accepts, `SettingError` for a file that cannot be
    read or written.
    """
    unchecked = "dbmigrate_check is off" if settings.check == "off" else facts.comparison.unchecked
    found = () if unchecked else facts.comparison.differences
    has_baseline = bool(settings.baseline and not unchecked)
    before = baseline_file.read(Path(settings.baseline)) if has_baseline else Baseline()
    sides = baseline.split(map(sentences.sentence, found), before)
    told = ""
    if has_baseline and settings.accept_drift:
        told = _accept(settings, sides, before)
        sides = Split(sides.known + sides.new, (), ())
    elif sides.gone:
        run.journal.write(BaselineStale(_shown(settings), tuple(sides.gone)))
    new = [it for it in found if baseline.line(sentences.sentence(it)) in sides.new]
    known = len(found) - len(new)
    if new and settings.check == "error":
        raise sentences.drift(new, _shown(settings) if has_baseline else "", known)
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
    if told:
        run.journal.write(BaselineWritten(told))


def _accept(settings: Settings, sides: Split, before: Baseline) -> str:
    """Write the baseline anew, and return what there is to say of it."""
    lines = (*sides.known, *sides.new)
    is_written = baseline_file.write(Path(settings.baseline), baseline.render(lines, before))
    return _told(_shown(settings), sides, is_written=is_written)


def _told(path: str, sides: Split, *, is_written: bool) -> str:
    total = len(sides.known) + len(sides.new)
    count = f"{total or 'no'} {'difference' if total == 1 else 'differences'}"
    if not is_written:
        return f"{path} is as it was: {count}"
    changes = [f"{len(it)} {word}" for it, word in ((sides.new, "new"), (sides.gone, "gone")) if it]
    return f"wrote {path}: {count}" + (f" ({', '.join(changes)})" if changes else "")


def _shown(settings: Settings) -> str:
    """Return the baseline's path, from the tests' root if it is below."""
    path, root = Path(settings.baseline), settings.root.resolve()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
