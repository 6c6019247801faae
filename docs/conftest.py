# SPDX-License-Identifier: BSD-2-Clause
"""Every code block of the documents is a test: run with ``pytest docs``.

- ``python`` blocks of a page run one after the other in one namespace; a line ``# prints: TEXT`` is not
  needed, assertions say what is true.
- ``console`` blocks: each ``$ command`` runs in a shell, and what it prints must match what the page shows;
  ``...`` stands for anything. A page's blocks share one folder and one environment.
- ``text``, ``c``, ``toml`` and ``ini`` blocks are shown, not run.

A page that begins with ``<!-- needs: root -->`` runs only where the tests are root with /dev/net/tun.
"""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser

_LIMIT_SECONDS = 60
_COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<output>(?:(?!\$ ).*\n?)*)", re.MULTILINE)


def _run_console(example: Example) -> str | None:
    folder = example.namespace.setdefault("folder", Path.cwd())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for match in _COMMAND.finditer(str(example.parsed)):
        done = subprocess.run(  # noqa: S602 - the page's own commands, as its reader would type them
            match["command"],
            shell=True,
            executable="/bin/bash",
            cwd=folder,
            env={**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        checker = doctest.OutputChecker()
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if not checker.check_output(match["output"], done.stdout, flags):
            return f"$ {match['command']}\nshown:\n{match['output']}\nprinted:\n{done.stdout}"
    return None


def _begin(namespace: dict[str, object]) -> None:
    namespace["folder"] = Path(os.environ.get("NETBE_DOCS_FOLDER", "/tmp"))  # noqa: S108 - overridden by tmp_path


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    page = Path(request.node.fspath).read_text()
    needed = re.search(r"<!-- needs: (.*?) -->", page)
    if needed is None:
        return
    missing = []
    for need in needed[1].split():
        if need == "root":
            if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
                missing.append("root and /dev/net/tun")
        elif shutil.which(need) is None:
            missing.append(need)
    if missing:
        message = f"this page needs {', '.join(missing)}"
        (pytest.fail if os.environ.get("NETBE_REQUIRE_ALL") == "1" else pytest.skip)(message)


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=_run_console)],
    patterns=["*.md"],
    setup=_begin,
    fixtures=["_needs"],
).pytest()
