"""Fingerprint of a schema: digests of the files that shaped it, and whether they still match.

Two digests are kept of a script: of its bytes, line endings apart, and of its syntax tree, in
which comments and formatting do not count. The second is looked at only where the first
differs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Digest = list[str]  # of the bytes, and of the syntax tree ("" for a file that is no script)


@dataclass(frozen=True)
class Manifest:
    """Digests of every file that had a part in a schema, and of the folders they are in."""

    files: dict[str, Digest]
    folders: dict[str, str]


class Files:
    """The files as they are now; each is read once."""

    def __init__(self) -> None:
        self._bytes: dict[str, str] = {}
        self._trees: dict[str, str] = {}

    def digest(self, path: str, *, with_tree: bool = True) -> Digest:
        """Return the digests of a file; both are empty if it is not there."""
        return [self._of_bytes(path), self._of_tree(path) if with_tree else ""]

    def is_same(self, path: str, before: Digest) -> bool:
        """Whether a file still has the same meaning."""
        if self._of_bytes(path) == before[0]:
            return True
        return bool(before[1]) and self._of_tree(path) == before[1]

    def exists(self, path: str) -> bool:
        """Whether the file is there."""
        return self._of_bytes(path) != ""

    def _of_bytes(self, path: str) -> str:
        if path not in self._bytes:
            text = _read(path)
            self._bytes[path] = "" if text is None else _sha(text.replace(b"\r\n", b"\n"))
        return self._bytes[path]

    def _of_tree(self, path: str) -> str:
        if path not in self._trees:
            self._trees[path] = _of_tree(_read(path)) if path.endswith(".py") else ""
        return self._trees[path]


def listing(folder: str) -> str:
    """Return a digest of the names in a folder that could be imported."""
    try:
        entries = sorted(
            entry.name
            for entry in Path(folder).iterdir()
            if entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py")))
        )
    except OSError:
        return ""
    kept = [name for name in entries if name != "__pycache__"]
    return _sha("\n".join(kept).encode("utf-8", "surrogateescape"))


def changed(manifest: Manifest, files: Files) -> str:
    """Return the first file or folder that is not as it was when a template was made, or ""."""
    for path, before in manifest.files.items():
        if not files.is_same(path, before):
            return path
    for folder, names in manifest.folders.items():
        if listing(folder) != names:
            return folder
    return ""


def edited(sources: Mapping[str, Digest], files: Files) -> str:
    """Return the first of a revision's sources whose meaning has changed, or ""."""
    return next((path for path, it in sources.items() if not files.is_same(path, it)), "")


def shape_changed(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return in words which setting or version has changed that shapes a schema, or nothing."""
    for name, was in before.items():
        if now.get(name) != was:
            return f"{name} was {was}, and is {now.get(name) or 'gone'} now"
    return ""


def imports(source: bytes) -> tuple[set[str], bool]:
    """Return the modules a script imports by name, and whether it may import others."""
    found: set[str] = set()
    is_dynamic = False
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            is_dynamic = True  # relative: which package it is in is not ours to guess
        is_dynamic = is_dynamic or (isinstance(node, ast.Name) and node.id == "__import__")
    return found, is_dynamic or any(it.partition(".")[0] in _DYNAMIC for it in found)


_DYNAMIC = ("importlib", "pkgutil", "runpy", "imp")


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _of_tree(source: bytes | None) -> str:
    """Return the digest of a script's syntax tree without the docstring it begins with.

    Of its bytes where it has no tree, or too deep a one.
    """
    if source is None:
        return ""
    try:
        tree = ast.parse(source)
        if ast.get_docstring(tree, clean=False) is not None:
            del tree.body[0]
        return _sha(ast.dump(tree).encode("utf-8", "surrogatepass"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _sha(source)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
