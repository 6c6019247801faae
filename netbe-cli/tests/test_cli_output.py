# SPDX-License-Identifier: BSD-2-Clause
"""Where the output goes: a pipe whose reader leaves, a full disk, a stream that is closed, a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from command import NETBE, PATIENCE, Netbe, Wire, environment, netbe

SGR = re.compile(rb"\x1b\[[0-9;]*m")
COLOUR = re.compile(rb"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38|4[0-7])[0-9;]*m")
OTHER_CONTROLS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-ln-z]")


def test_a_reader_that_leaves_at_once_causes_no_complaint() -> None:
    for words in (("backends",), ("backends", "--json"), ("--help",), ("doctor",)):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            done = netbe(*words, stdout=pipe)
        assert (done.status, done.err) == (1, "")


def test_a_pump_ends_when_the_reader_of_its_rates_has_left() -> None:
    with Netbe("bridge", "pair:a", "pair:b", "--interval", 0.05) as running:
        running.line()
        assert running.process.stdout is not None
        running.process.stdout.close()
        assert running.process.wait(PATIENCE) == 1
        assert running.process.stderr is not None
        assert running.process.stderr.read() == ""
        running.process.stderr.close()
        running.process.stdout = running.process.stderr = None


@pytest.mark.parametrize(
    "words",
    [
        ("backends",),
        ("backends", "--json"),
        ("info", "pair:a"),
        ("doctor",),
        ("gen", "pair:a", "--count", "1"),
        ("sink", "pair:a", "--duration", "0", "--json"),
        ("bridge", "pair:a", "pair:b", "--duration", "1", "--interval", "0.05"),
        ("switch", "pair:a", "pair:b", "--duration", "0", "--json"),
        ("--help",),
        ("--version",),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_clear_line_and_status_1(words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = netbe(*words, stdout=full)
    assert done.status == 1
    assert done.err.startswith("netbe: ")
    assert done.err.endswith("No space left on device\n")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("words", ["backends", "backends --json", "gen pair:a --count 9", "--help"])
def test_without_a_standard_output_the_work_is_done_all_the_same(words: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$@" {words} >&-', "sh", *NETBE],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_descriptor_that_is_closed_at_the_start_is_not_taken_by_a_backend(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    code = (
        "import netbe, pathlib, sys\n"
        "import netbe_cli.main\n"
        "answer = pathlib.Path(sys.argv.pop())\n"
        "opened = netbe.open\n"
        "def look(name):\n"
        "    backend = opened(name)\n"
        "    answer.write_text(str(backend.fileno()))\n"
        "    return backend\n"
        "netbe.open = look\n"
        "sys.argv = ['netbe', 'info', 'pair:a']\n"
        "netbe_cli.main.run()\n"
    )
    subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", NETBE[0], "-c", code, str(answer)],
        env=environment(),
        timeout=PATIENCE,
        check=True,
    )
    assert int(answer.read_text()) > 2


def test_text_that_the_locale_cannot_say_is_printed_escaped() -> None:
    done = netbe("info", "pair:\N{SNOWMAN}", env={"PYTHONIOENCODING": "ascii"})
    assert (done.status, done.err) == (0, "")
    assert "pair:\\u2603" in done.out


class Terminal:
    """A `netbe` on a terminal of so many columns. What it shows is collected while it is waited for."""

    def __init__(self, *words: object, columns: int = 100, env: Mapping[str, str] | None = None) -> None:
        self.shown = b""
        self._words = [word.name if isinstance(word, Wire) else str(word) for word in words]
        self._kept = [word.theirs.fileno() for word in words if isinstance(word, Wire)]
        self._columns = columns
        self._env = {"TERM": "xterm-256color", **(env or {})}

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self._columns, 0, 0))
        # So that Ctrl-C reaches it the terminal must be the one that controls it.
        take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        self.process = subprocess.Popen(
            [NETBE[0], "-c", take, *NETBE, *self._words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            pass_fds=self._kept,
            env=environment(self._env),
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def wait(self, condition: Callable[[bytes], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition(self.shown):
            assert time.monotonic() < end, self.shown[-2000:]
            if select.select([self._ours], [], [], 0.1)[0]:
                self.shown += os.read(self._ours, 65536)

    def end(self, keys: bytes = b"") -> int:
        """Type something, then wait for the end; the status."""
        if keys:
            self.type(keys)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.shown += os.read(self._ours, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                return self.process.wait(PATIENCE)
        raise AssertionError(self.shown[-2000:])

    def lines(self) -> list[str]:
        """What was shown, without control sequences."""
        plain = OTHER_CONTROLS.sub(b"", SGR.sub(b"", self.shown))
        return re.split(r"[\r\n]+", plain.decode())


@pytest.fixture
def live(wire: Wire, other: Wire, plugin: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """A bridge on a terminal."""

    def start(*, columns: int = 100, **env: str) -> Terminal:
        return Terminal("bridge", wire, other, columns=columns, env={**plugin, **env})

    return start


def rates_are_shown(shown: bytes) -> bool:
    return b"frames/s" in shown


def test_on_a_terminal_rates_are_shown_and_redrawn_and_ctrl_c_ends_it(
    live: Callable[..., Terminal], wire: Wire, other: Wire
) -> None:
    with live() as terminal:
        terminal.wait(rates_are_shown)
        wire.ours.send(bytes(60))
        assert other.ours.recv(100)
        terminal.wait(lambda shown: shown.count(b"dropped") >= 3)
        assert terminal.end(b"\x03") == 0
    text = "\n".join(terminal.lines())
    assert "Ctrl-C ends it" in text
    assert re.search(rf"{wire.name} +1 +60 +0 +0 ", text), text
    assert b"\x1b[?25h" in terminal.shown, "the cursor is shown again"


def test_a_narrow_terminal_is_not_overrun_and_its_numbers_are_whole(
    live: Callable[..., Terminal], wire: Wire
) -> None:
    with live(columns=40) as terminal:
        terminal.wait(lambda shown: b"dropped" in shown)
        assert terminal.end(b"\x03") == 0
    first, *drawn = terminal.lines()
    drawn = drawn[: next(number for number, line in enumerate(drawn) if line.startswith("ran "))]
    assert first.startswith("Bridge of ")
    assert max(map(len, drawn)) <= 40
    assert [line.split() for line in drawn[:3]] == [
        ["received", "sent"],
        ["port", "bit/s", "bit/s", "dropped"],
        [wire.name, "0", "0", "0"],
    ]


def test_no_color_means_none(live: Callable[..., Terminal]) -> None:
    with live(NO_COLOR="1") as terminal:
        terminal.wait(rates_are_shown)
        assert terminal.end(b"\x03") == 0
    assert not COLOUR.search(terminal.shown)


def test_a_dumb_terminal_gets_no_control_sequences(live: Callable[..., Terminal]) -> None:
    with live(TERM="dumb") as terminal:
        terminal.wait(lambda shown: b"running" in shown)
        assert terminal.end(b"\x03") == 0
    assert b"\x1b" not in terminal.shown


def test_json_on_a_terminal_has_no_table(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    words: tuple[Any, ...] = ("bridge", wire, other, "--json", "--duration", 0.8)
    with Terminal(*words, env=plugin) as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in terminal.shown
    assert [line[:1] for line in terminal.lines()] == ["{", ""]


def test_into_a_pipe_no_table_is_drawn(wire: Wire, other: Wire, plugin: dict[str, str]) -> None:
    with Netbe("bridge", wire, other, env={**plugin, "TERM": "xterm-256color"}) as running:
        running.line()
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.8)
        running.signal(signal.SIGINT)
        done = running.done()
    assert "\x1b" not in done.out
    assert done.out.startswith("ran ")
