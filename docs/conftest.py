# SPDX-License-Identifier: BSD-2-Clause
"""Every command and every Python block of the pages is a test: run with ``pytest docs``.

- ``python`` blocks of a page run one after the other in one namespace; their assertions say what is true.
- ``console`` blocks: each ``$ command`` runs in the page's one shell, must succeed, and must print what the
  page shows; ``...`` stands for anything. The shell begins in an empty folder.
- ``{code-block}`` with a caption is a file of that name, which the page's shell finds in its folder.
- Blocks of other languages are shown; none of them is a command.
- Of the READMEs the Python blocks run (``test_readmes.py``).

A page, or one section of it, may say what it takes: ``<!-- needs: root ip ping -->`` runs it only where the
tests are root with /dev/net/tun and these programs are there. ``<!-- begins: checkout -->`` puts a page's shell
into a fresh copy of the repository, ``<!-- begins: network -->`` that of root into a network of its own;
``<!-- begins: installing -->`` has pip install into the page's folder.
"""

import doctest
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need_lab, need_programs
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.myst import CodeBlockParser

ROOT = Path(__file__).parent.parent
_LIMIT_SECONDS = 240
_DONE = "end-of-command"
_COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<output>(?:(?!\$ ).*\n?)*)", re.MULTILINE)


class _Shell:
    """One bash for a page: what a command sets, the next one finds."""

    def __init__(self, page: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="netbe-docs-"))
        text = page.read_text()
        if "<!-- begins: checkout -->" in text:
            listed = subprocess.check_output(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT)
            for name in filter(None, listed.decode().split("\0")):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        installing = {}
        if "<!-- begins: installing -->" in text:
            installing["PIP_PREFIX"] = str(self.folder / "installed")
            installing["PYTHONPATH"] = sysconfig.get_path("purelib", vars={"base": installing["PIP_PREFIX"]})
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        alone = "<!-- begins: network -->" in text and os.geteuid() == 0
        self._bash = subprocess.Popen(  # noqa: S603 - our own two commands
            ["unshare", "--net", "bash"] if alone else ["bash"],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", **installing},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[str, int]:
        """What it printed, and its status."""
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\necho {_DONE} $?\n".encode())
        self._bash.stdin.flush()
        printed = b""
        end = time.monotonic() + _LIMIT_SECONDS
        while not (done := re.search(rf"^{_DONE} (\d+)\n\Z", printed.decode(errors="replace"), re.MULTILINE)):
            ready = select.select([self._bash.stdout], [], [], max(0.0, end - time.monotonic()))[0]
            part = os.read(self._bash.stdout.fileno(), 1 << 16) if ready else b""
            assert part, f"{command}: no end within {_LIMIT_SECONDS} s; printed {printed!r}"
            printed += part
        return printed.decode()[: done.start()], int(done[1])

    def close(self) -> None:
        os.killpg(self._bash.pid, signal.SIGKILL)  # and what a page left running
        self._bash.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def _shell(example: Example) -> _Shell:
    shell = example.namespace.get("shell")
    if not isinstance(shell, _Shell):
        shell = example.namespace["shell"] = _Shell(Path(example.path))
    return shell


def _write(example: Example) -> None:
    options = example.region.lexemes.get("options") or {}
    if "caption" in options:
        (_shell(example).folder / options["caption"]).write_text(str(example.parsed))


def _run_python(example: Example) -> None:
    _write(example)
    PythonEvaluator()(example)


def _run_console(example: Example) -> str | None:
    shell = _shell(example)
    for match in _COMMAND.finditer(str(example.parsed)):
        printed, status = shell.run(match["command"])
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if status or not doctest.OutputChecker().check_output(match["output"], printed, flags):
            return f"$ {match['command']}\nshown:\n{match['output']}\nprinted:\n{printed}\nstatus {status}"
    return None


def _end(namespace: dict[str, object]) -> None:
    shell = namespace.get("shell")
    if isinstance(shell, _Shell):
        shell.close()


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    example = getattr(request.node, "example", None)
    if example is None:
        return
    before = Path(request.node.fspath).read_text().splitlines()[: example.line]
    headings = [number for number, line in enumerate(before) if line.startswith("## ")] or [len(before)]
    here = "\n".join(before[: headings[0]] + before[headings[-1] :])
    words = " ".join(re.findall(r"<!-- needs: (.*?) -->", here)).split()
    if "root" in words:
        need_lab()
    need_programs(*(word for word in words if word != "root"))


@pytest.fixture(scope="session", autouse=True)
def _switches() -> Iterator[None]:
    """The pages' embedded switches are in a folder of their own, for Python and for the shells."""
    with tempfile.TemporaryDirectory(prefix="nbd", dir="/dev/shm") as folder:
        before = os.environ.get("NETBE_VALE_FOLDER")
        os.environ["NETBE_VALE_FOLDER"] = folder
        yield
        del os.environ["NETBE_VALE_FOLDER"]
        if before is not None:
            os.environ["NETBE_VALE_FOLDER"] = before


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser(language="python", evaluator=_run_python),
        CodeBlockParser(language="toml", evaluator=_write),
        CodeBlockParser(language="console", evaluator=_run_console),
    ],
    patterns=["*.md"],
    teardown=_end,
    fixtures=["_needs", "_switches"],
).pytest()
