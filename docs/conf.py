# SPDX-License-Identifier: BSD-2-Clause
"""Sphinx configuration: MyST pages, furo, API pages from docstrings, CLI pages from its own definitions."""

import importlib.metadata
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

sys.path.insert(0, str(Path(__file__).parent))

project = "netbe"
author = "the netbe authors"
copyright = "2026, the netbe authors"  # noqa: A001 - Sphinx's own name
release = importlib.metadata.version("netbe-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "commands"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
default_role = "py:obj"

html_theme = "furo"
html_title = f"netbe {release}"


def _by_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, inner: nodes.Element
) -> nodes.Element | None:
    """Find ``netbe.backend.Backend`` and ``Backend.send`` where they are documented: under ``netbe``."""
    words = str(node.get("reftarget", "")).split(".")
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    if words[0] == "netbe":
        words = [word for word in words[1:] if not word.islower()] or words[-1:]
    for prefix in ("netbe.", "netbe.Backend."):
        name = prefix + ".".join(words)
        if name in domain.data["objects"]:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, inner)
    return None


def _no_type_in_docstring(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading a sentence with a colon as "type: description"; ours have annotations."""
    if what in {"attribute", "data", "property"}:
        lines[:0] = ["..", ""]  # an empty comment: the line that napoleon looks at


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", _by_public_name)
    app.connect("autodoc-process-docstring", _no_type_in_docstring, priority=400)
