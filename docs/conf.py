# SPDX-License-Identifier: BSD-2-Clause
"""Sphinx configuration: MyST pages, furo, API pages from docstrings, CLI pages from its own definitions."""

import importlib.metadata

project = "netbe"
author = "the netbe authors"
copyright = "2026, the netbe authors"  # noqa: A001 - Sphinx's own name
release = importlib.metadata.version("netbe-core")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
exclude_patterns = ["_build", "conftest.py", "requirements.txt"]
nitpicky = True
nitpick_ignore_regex = [
    # Private helpers and standard names that the inventories of others do not list.
    ("py:.*", r"netbe\..*\._.*|_cffi_backend\..*|.*\._[A-Za-z].*"),
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
default_role = "py:obj"

# No network while building: links into Python's documentation stay plain text.
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}

html_theme = "furo"
html_title = f"netbe {release}"
