# SPDX-License-Identifier: BSD-2-Clause
"""From a name to a backend: who takes it, what is imported for it, who is told of it."""

import errno
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import fakedist
import pytest
from fakedist import Install, Opened

from netbe import entrypoints, hooks, registry
from netbe.backend import Backend
from netbe.errors import BadNameError, OptionError, PluginError, UnknownPrefixError
from netbe.events import Event, EventLoop
from netbe.hooks import hookimpl
from netbe.names import Name
from netbe.opening import open as netbe_open


def test_a_name_is_opened_by_the_plugin_of_its_prefix(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null",))
    backend = opened("null0,mtu=9000", up=False)
    assert backend.name == "null0,mtu=9000"
    assert backend.given == {"mtu": 9000, "up": False}
    assert backend.parsed == Name.parse("null0,mtu=9000").with_prefix("null")


# The contract: a name is taken by the longest registered prefix.
def test_the_longest_prefix_takes_the_name(install: Install) -> None:
    install("short", ("va",))
    install("long", ("whal",))
    install("other", ("whale",))
    assert registry.choose(Name.parse("whal0:1"))[1].distribution.name == "long"
    assert registry.choose(Name.parse("whal"))[1].distribution.name == "long"
    assert registry.choose(Name.parse("vax"))[0].rest == "x"
    assert registry.choose(Name.parse("whale"))[1].distribution.name == "other"


# The contract: then the plugin checks the rest of the name.
def test_the_plugin_may_refuse_the_rest_with_a_hint(install: Install) -> None:
    source = """
        from netbe.errors import BadNameError
        def picky(name):
            raise BadNameError(f"{name.device!r} is no rod", hint=f"rod:{name.device} opens one of that name")
        @hookimpl
        def netbe_backends():
            return [BackendSpec("rod", picky, "")]
    """
    install("picky", ("rod",), fakedist.plugin(source))
    with pytest.raises(BadNameError, match="'rodeo0' is no rod: rod:rodeo0 opens"):
        netbe_open("rodeo0")


# The contract: `type=` overrides the prefix.
def test_type_overrides_the_prefix(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null", "void"))
    for backend in (opened("null0,type=void"), opened("null0", type="void")):
        assert (backend.parsed.prefix, backend.parsed.rest, backend.parsed.explicit) == (
            "void",
            "null0",
            True,
        )
        assert "type" not in backend.given


def test_a_type_that_is_given_twice_or_empty_is_refused(install: Install) -> None:
    install("netbe-null", ("null",))
    for name, kind in (("x,type=null", "null"), ("x", ""), ("x", 7)):
        with pytest.raises(BadNameError):
            netbe_open(name, type=kind)


def test_a_type_must_be_a_whole_prefix(install: Install) -> None:
    install("netbe-null", ("null",))
    for kind in ("nul", "null0"):
        with pytest.raises(UnknownPrefixError, match="Did you mean 'null'"):
            netbe_open("x", type=kind)


def test_an_unknown_option_is_refused_before_the_factory_is_called(install: Install) -> None:
    called = """
        def never(name):
            raise AssertionError
        @hookimpl
        def netbe_backends():
            return [BackendSpec("null", never, "")]
    """
    install("netbe-null", ("null",), fakedist.plugin(called))
    with pytest.raises(OptionError, match="the backend 'null' takes no options"):
        netbe_open("null,mut=1")


def test_an_unknown_prefix_names_the_installed_ones_and_what_to_install(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prefix in ("stream", "packet"):
        monkeypatch.setitem(registry.KNOWN, prefix, "acme-socket")
    install("one", ("null",))
    install("two", ("void",))
    cases = {
        "stream:/run/x": "pip install acme-socket",
        "x,type=packet": "pip install acme-socket",
        "nul0": "Did you mean 'null'",
        "lan0": "lan0,type=PREFIX",
    }
    for name, advice in cases.items():
        with pytest.raises(UnknownPrefixError) as caught:
            netbe_open(name)
        assert advice in str(caught.value)
        assert "null" in str(caught.value)
        assert "void" in str(caught.value)
        assert caught.value.errno == errno.EINVAL
        assert isinstance(caught.value, LookupError)


def test_what_is_said_to_be_installed_for_a_prefix_is_a_distribution_of_ours_that_has_it() -> None:
    for prefix, distribution in registry.KNOWN.items():
        project = Path(__file__).parents[2] / distribution / "pyproject.toml"
        assert prefix in tomllib.loads(project.read_text())["project"]["entry-points"][registry.GROUP]


def test_opening_imports_one_plugin_and_listing_none(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null",))
    for number in range(5):
        install(f"bystander-{number}", (f"by{number}-",), "raise SystemError('imported')")
    registry.list_backends()
    assert "netbe_null" not in sys.modules
    opened("null0")
    assert "netbe_null" in sys.modules
    assert not [module for module in sys.modules if module.startswith("bystander")]


def test_metadata_is_scanned_once_and_again_after_refresh(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("netbe-null", ("null",))
    scans: list[entrypoints.Scan] = []

    def scan() -> entrypoints.Scan:
        scans.append(entrypoints.scan())
        return scans[-1]

    monkeypatch.setattr(registry, "scan", scan)
    threads = [threading.Thread(target=registry.index) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry.index("netbe.frontends")
    registry.choose(Name.parse("null"))
    assert len(scans) == 1
    registry.refresh()
    registry.index()
    assert len(scans) == 2


def test_what_was_installed_since_is_seen_after_refresh(install: Install, tmp_path: Path) -> None:
    install("netbe-null", ("null",))
    registry.index()
    fakedist.write(tmp_path, fakedist.files_of("late", ("late",)))
    with pytest.raises(UnknownPrefixError):
        registry.choose(Name.parse("late0"))
    registry.refresh()
    assert registry.choose(Name.parse("late0"))[1].distribution.name == "late"


def test_other_groups_are_indexed_apart(install: Install) -> None:
    install("netbe-null", ("null",))
    install("front", ("vhost",), group="netbe.frontends")
    assert "vhost" not in registry.index().table
    assert list(registry.index("netbe.frontends").table) == ["vhost"]


def test_a_plugin_in_two_entry_points_is_asked_and_registered_once(install: Install, opened: Opened) -> None:
    source = """
        import sys
        calls = []
        @hookimpl
        def netbe_backends():
            calls.append(1)
            return [BackendSpec(prefix, factory, "") for prefix in ("null", "void", "nil")]
        same = sys.modules[__name__]
    """
    points = {"null": "netbe_null:same", "void": "netbe_null:same", "nil": "netbe_null"}
    install("netbe-null", points, fakedist.plugin(source))
    for name in ("null0", "void0", "nil0"):
        opened(name)
    assert sys.modules["netbe_null"].calls == [1]
    assert len(hooks.plugin_manager().get_plugins()) == 1
    assert len(hooks.plugin_manager().hook.netbe_backends.get_hookimpls()) == 1


def test_a_plugin_that_the_program_registered_itself_can_be_opened(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null",))
    hooks.plugin_manager().register(importlib.import_module("netbe_null"), "by-hand")
    opened("null0")
    assert len(hooks.plugin_manager().get_plugins()) == 1


def test_an_object_within_a_module_can_be_the_plugin(install: Install, opened: Opened) -> None:
    source = """
        class Plugin:
            @hookimpl
            def netbe_backends(self):
                yield BackendSpec("null", factory, "")
        class holder:
            plugin = Plugin()
    """
    install("netbe-null", {"null": "netbe_null:holder.plugin [extra]"}, fakedist.plugin(source))
    assert opened("null0").given == {}


def test_threads_that_open_at_once_get_one_registered_plugin(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null",))
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        opened("null0")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hooks.plugin_manager().get_plugins()) == 1


def test_a_plugin_that_hangs_on_import_does_not_hold_up_others(install: Install, opened: Opened) -> None:
    install(
        "hanging", ("hang",), "import time\nstarted = True\nwhile not globals().get('go'): time.sleep(0.01)\n"
    )
    install("netbe-null", ("null",))

    def work() -> None:
        with pytest.raises(PluginError):  # it has no hook
            netbe_open("hang0")

    thread = threading.Thread(target=work)
    thread.start()
    while not getattr(sys.modules.get("hanging"), "started", False):
        time.sleep(0.001)
    try:
        opened("null0")
        registry.list_backends()
        assert thread.is_alive()
    finally:
        sys.modules["hanging"].go = True  # type: ignore[attr-defined]
        thread.join()


def test_the_callback_is_called_by_the_loop_once_receiving_is_enabled(opened: Opened) -> None:
    calls: list[Backend] = []
    with EventLoop() as loop:
        here = opened("pair:callback", callback=calls.append, loop=loop)
        there = opened("pair:callback")
        there.send(bytes(60))
        loop.step()
        assert calls == []
        here.recv_enable()
        loop.step(5)
        assert calls == [here]
        here.close()


def test_a_loop_with_nothing_to_call_is_refused() -> None:
    with EventLoop() as loop, pytest.raises(TypeError, match="no callback"):
        netbe_open("pair:loop", loop=loop)


def test_nothing_is_left_open_when_the_loop_refuses(install: Install) -> None:
    class Refusing(EventLoop):
        def add(self, source: object, *_: object, **__: object) -> Event:
            refused.append(source)
            raise RuntimeError("no more events")

    refused: list[Any] = []
    install("netbe-null", ("null",))
    with Refusing() as loop, pytest.raises(RuntimeError, match="no more events"):
        netbe_open("null0", callback=print, loop=loop)
    assert [backend.closed for backend in refused] == [True]


class Watcher:
    """What a program registers to watch."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Backend]] = []

    @hookimpl
    def netbe_backend_opened(self, backend: Backend) -> None:
        self.seen.append(("opened", backend))

    @hookimpl
    def netbe_backend_closed(self, backend: Backend) -> None:
        assert backend.closed
        self.seen.append(("closed", backend))


def test_observers_are_told_once_of_each_that_was_opened_and_closed(install: Install) -> None:
    install("netbe-null", ("null",))
    watcher = Watcher()
    hooks.plugin_manager().register(watcher)
    with netbe_open("null0") as backend:
        assert watcher.seen == [("opened", backend)]
    backend.close()
    assert watcher.seen == [("opened", backend), ("closed", backend)]


def test_observers_hear_nothing_of_what_could_not_be_opened(install: Install) -> None:
    install(
        "netbe-null",
        ("null",),
        fakedist.plugin("@hookimpl\ndef netbe_backends(): return [BackendSpec('null', len, '')]"),
    )
    watcher = Watcher()
    hooks.plugin_manager().register(watcher)
    with pytest.raises(PluginError):
        netbe_open("null0")
    assert watcher.seen == []


def test_an_observer_that_raises_is_logged_and_harms_nobody(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty:
        @hookimpl
        def netbe_backend_opened(self) -> None:
            raise RuntimeError("faulty")

    install("netbe-null", ("null",))
    watcher = Watcher()
    hooks.plugin_manager().register(watcher)
    hooks.plugin_manager().register(Faulty(), "faulty-one")
    with netbe_open("null0") as backend:
        assert watcher.seen == [("opened", backend)]
    assert "netbe_backend_opened of faulty-one raised" in caplog.text


def test_a_forked_child_can_open_though_a_thread_held_the_locks(tmp_path: Path) -> None:
    fakedist.write(tmp_path, fakedist.files_of("netbe-null", ("null",)))
    program = """
        import os, sys, threading
        from netbe import hooks, plugins, registry
        from netbe.opening import open
        sys.path.insert(0, sys.argv[1])
        held, done = threading.Event(), threading.Event()
        def hold():
            with registry._lock, plugins._lock, hooks._lock:
                held.set()
                done.wait()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            open("null0").close()
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        done.set()
        thread.join()
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        textwrap.dedent(program),
        str(tmp_path),
    ]
    subprocess.run(command, check=True, timeout=60, env={**os.environ, "PYTHONFAULTHANDLER": "1"})
