# SPDX-License-Identifier: BSD-2-Clause
"""What is left of a tap: after its close, its failure, a kill, a fork, an exec, and a thousand times each."""

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from needs import need_lab
from taps import frame, script, wire

import netbe
from lab import PATIENCE, Host, run, until
from netbe_tap import linux
from netbe_tap.backend import Tap

pytestmark = pytest.mark.e2e

Opener = Callable[..., Tap]


def descriptors() -> set[tuple[str, str]]:
    """What this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that reads the folder
            found.add((link.name, str(link.readlink())))
    return found


def resident() -> int:
    """KiB of memory that this process has in use."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@contextmanager
def nothing_stays() -> Iterator[None]:
    """No descriptor and no thread is left of what happens inside."""
    before, running = descriptors(), threads()
    yield
    gc.collect()
    until(lambda: threads() <= running, "threads end")
    assert descriptors() == before


def test_close_frees_everything_and_may_be_called_again(host: Host, tap: Opener) -> None:
    tap().close()  # what is loaded once is there now
    with nothing_stays():
        backend = tap(mtu=9000, queues=4)
        backend.set_cap(netbe.Features.offloads(), 12)
        backend.fileno()
        backend.close()
        backend.close()
        assert backend.closed
        assert not backend.link_up
        with pytest.raises(netbe.BackendClosed):
            backend.recv()
        with pytest.raises(netbe.BackendClosed):
            backend.set_cap(netbe.Features(0), 0)
    assert host.interfaces() == ["lo"]


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        ({"bridge": "none-such"}, netbe.DeviceNotFoundError),
        ({"bridge": "lo"}, netbe.BadNameError),
        ({"name": "tap:lo"}, netbe.BadNameError),
        ({"name": "tap1"}, netbe.BackendBusy),
        ({"name": "tap1", "queues": 2}, netbe.NotSupportedError),
    ],
)
def test_an_open_that_fails_leaves_nothing(
    options: dict[str, object], failure: type[Exception], host: Host, tap: Opener
) -> None:
    tap("tap1")
    with suppress(failure):
        tap(**options)
    with nothing_stays(), pytest.raises(failure):
        tap(**options)
    assert host.interfaces() == ["lo", "tap1"]


@pytest.mark.parametrize(
    "step", ["set_header", "probe_capabilities", "open_counters", "set_persistent", "kernel_drops"]
)
def test_an_open_that_fails_at_any_step_leaves_nothing(
    step: str, host: Host, tap: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "broken for a test")

    tap().close()
    monkeypatch.setattr(linux, step, fail)
    with nothing_stays(), pytest.raises(OSError, match="broken for a test"):
        tap(persist="on")
    assert host.interfaces() == ["lo"]


def test_a_thousand_times_open_and_close_leak_nothing(host: Host, tap: Opener) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap", "vnet_hdr")

    def cycles(count: int) -> None:
        for number in range(count):
            # Most of a cycle's time is the kernel's, with settings pyroute2's: one in twenty has them.
            backend = netbe.open("tap0,up=on,mtu=1400" if number % 20 == 0 else "tap0,up=keep")
            backend.set_cap(netbe.Features.offloads(), 12)
            with suppress(netbe.LinkDownError):
                backend.send(bytes(12) + frame(60))
            backend.close()

    with host.entered():
        cycles(100)
        with nothing_stays():
            before = resident()
            cycles(1000)
            # Each has an arena of 200 KB for every queue: what leaks shows.
            assert resident() - before < 4096


def test_a_hundred_times_in_another_namespace_leak_nothing(host: Host) -> None:
    host.ip("tuntap", "add", "tap0", "mode", "tap", "vnet_hdr")

    def cycles(count: int) -> None:
        for number in range(count):
            netbe.open("tap0", netns=host.name, up="keep" if number % 5 else "on").close()

    cycles(20)
    with nothing_stays():
        before = resident()
        cycles(100)
        assert resident() - before < 2048


def test_a_hundred_failures_leak_nothing(host: Host) -> None:
    def cycles(count: int) -> None:
        for _ in range(count):
            with pytest.raises(netbe.BadNameError):
                netbe.open("tap:lo", netns=host.name)

    cycles(20)
    with nothing_stays():
        before = resident()
        cycles(100)
        assert resident() - before < 2048


# --- killed


_HOLD = """
import netbe, sys
backend = netbe.open(sys.argv[1], netns=sys.argv[2])
print("open", flush=True)
while True:
    backend.wait()
    backend.recv()
"""


@pytest.mark.parametrize("persist", [False, True])
def test_after_a_kill_the_interface_is_gone_unless_it_is_to_stay(
    persist: bool,  # noqa: FBT001
    host: Host,
    tap: Opener,
) -> None:
    with script(_HOLD, "tap0,persist=on" if persist else "tap0", host.name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with wire(host) as kernel:
            kernel.send(frame(60))
        process.send_signal(signal.SIGKILL)
    if not persist:
        until(lambda: host.interfaces() == ["lo"], "the interface goes with the process")
    backend = tap()
    with wire(host) as kernel:
        kernel.send(frame(61))
        assert backend.wait(PATIENCE)
        assert backend.recv() == frame(61)


def test_an_interrupt_while_it_waits_closes_it(host: Host) -> None:
    code = "import netbe, sys\nwith netbe.open('tap0', netns=sys.argv[1]) as b:\n print('open', flush=True)\n b.wait()"
    with script(code, host.name, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "open\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().rstrip().endswith("KeyboardInterrupt")
    until(lambda: host.interfaces() == ["lo"], "the interface goes with the process")


def test_a_namespace_that_is_deleted_meanwhile_goes_with_the_backend() -> None:
    need_lab()
    with Host() as other, Host() as next_door:
        other.ip("link", "add", "here", "type", "veth", "peer", "there", "netns", next_door.name)
        backend = netbe.open("tap0", netns=other.name)
        run("ip", "netns", "delete", other.name)
        assert backend.link_up
        assert backend.stats.dropped == 0
        assert "there" in next_door.interfaces(), "it lives on, with all that is in it"
        backend.close()
        until(lambda: next_door.interfaces() == ["lo"], "it is gone with the tap")


def test_one_that_nobody_closed_is_told_and_closed(host: Host, tap: Opener) -> None:
    tap("tap1")
    kept = [netbe.open("tap0", netns=host.name)]

    def forget() -> None:
        kept.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match="'tap0'> was never closed"):
        forget()
    until(lambda: host.interfaces() == ["lo", "tap1"], "the interface goes with it")


# --- fork and exec


def in_child(work: Callable[[], bool]) -> bool:
    """What `work` returns in a forked child, within a while."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001 - told by the status
            os._exit(2)
    status: list[int] = []

    def ended() -> bool:
        done, how = os.waitpid(child, os.WNOHANG)
        if done:
            status.append(os.waitstatus_to_exitcode(how))
        return bool(done)

    try:
        until(ended, "the child ends")
    finally:
        if not status:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert status in ([0], [1])
    return status == [0]


def test_a_child_cannot_use_it_and_its_close_harms_nobody(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)

    def work() -> bool:
        for call in (
            backend.recv,
            backend.peek_recvlen,
            lambda: backend.send(frame(60)),
            lambda: backend.wait(0),
        ):
            try:
                call()
            except netbe.ForkedError:
                continue
            return False
        fds = {str(fd) for fd in backend.fds}
        backend.close()
        return not fds & {name for name, _ in descriptors()}

    assert in_child(work)
    with wire(host) as kernel:
        backend.send(frame(60))
        assert kernel.recv(100) == frame(60)
        kernel.send(frame(61))
        assert backend.wait(PATIENCE)
        assert backend.recv() == frame(61)


def test_a_child_can_close_it_while_another_thread_counted(host: Host, tap: Opener) -> None:
    backend = tap()
    with backend._drops_lock, backend._alone(), backend._wait_lock:

        def work() -> bool:
            backend.close()
            return backend.closed

        assert in_child(work)
    assert backend.link_up


def test_a_child_can_open_its_own(host: Host, tap: Opener) -> None:
    tap()

    def work() -> bool:
        with netbe.open("tap", netns=host.name) as own:
            return own.send(frame(60)) == 60

    assert in_child(work)
    assert host.interfaces() == ["lo", "tap0"]


def test_a_program_that_is_started_inherits_nothing(host: Host, tap: Opener) -> None:
    backend = tap(queues=2)
    backend.set_cap(netbe.Features.offloads(), 12)
    backend.fileno()
    code = "import os; print(*os.listdir('/proc/self/fd'))"
    done = subprocess.run(
        [sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=True, timeout=30
    )
    inherited = set(done.stdout.split())
    kinds = ("/dev/net/tun", "/net/dev", "eventpoll")
    mine = {name for name, target in descriptors() if any(kind in target for kind in kinds)}
    assert len(mine) >= 4
    assert not inherited & mine


def test_close_ends_the_wait_of_another_thread(host: Host, tap: Opener) -> None:
    backend = tap()
    ended: list[type[BaseException]] = []

    def waiting() -> None:
        try:
            backend.wait()
        except netbe.BackendClosed as error:
            ended.append(type(error))

    thread = threading.Thread(target=waiting)
    thread.start()
    until(lambda: bool(backend._wakers), "it waits")
    backend.close()
    thread.join(PATIENCE)
    assert ended == [netbe.BackendClosed]
