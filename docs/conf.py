"""Sphinx's configuration: `make docs` builds the site into build/docs."""

from __future__ import annotations

import os

from pytest_dbmigrate.version import __version__

project = "pytest-dbmigrate"
author = "The pytest-dbmigrate authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
html_theme = "furo"
html_title = f"pytest-dbmigrate {__version__}"
html_show_copyright = False

myst_heading_anchors = 3  # links such as suites.md#coverage, as GitHub makes them
myst_enable_extensions = ["colon_fence"]
highlight_language = "text"  # of indented blocks: most of them are what a run prints
default_role = "code"  # docstrings are written as Markdown writes code

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

# Types of other libraries become links only where their inventories can be fetched: a build
# in CI, and one without a network, must not depend on it.
intersphinx_mapping = (
    {
        "python": ("https://docs.python.org/3", None),
        "pytest": ("https://docs.pytest.org/en/stable", None),
        "psycopg": ("https://www.psycopg.org/psycopg3/docs", None),
        "sqlalchemy": ("https://docs.sqlalchemy.org/en/20", None),
    }
    if os.environ.get("DOCS_ONLINE")
    else {}
)
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!pytest_dbmigrate).*"),  # names of other libraries, see above
]
