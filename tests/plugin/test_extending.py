"""Every example of `docs/how-to/extending.md` works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugin.projects import Project

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extending.md"
SECTION = re.compile(r"^## (?P<title>.*)\n(?P<text>(?:(?!## ).*\n?)*)", re.MULTILINE)
FILE = re.compile(r"^```python\n# (?P<name>\S+\.py)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {it["title"]: it["text"] for it in SECTION.finditer(PAGE.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("title", SECTIONS)
def test_the_files_of_a_section_are_a_project_whose_tests_pass(
    items_project: Project, monkeypatch: pytest.MonkeyPatch, title: str
) -> None:
    files = {it["name"]: it["text"] for it in FILE.finditer(SECTIONS[title])}
    assert {"conftest.py"} < set(files)
    for name, text in files.items():
        items_project.write(name, text)
    monkeypatch.setenv("SHARED_POSTGRES", str(items_project.server_url()))
    items_project.models()

    result = items_project.run("-p", "no:randomly", server="")

    assert set(result.parseoutcomes()) == {"passed"}
