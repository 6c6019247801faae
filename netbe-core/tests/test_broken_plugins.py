# SPDX-License-Identifier: BSD-2-Clause
"""Plugins that are installed and cannot be used, and two that want the same prefix."""

import errno
import sys
import textwrap
from pathlib import Path

import fakedist
import pytest
from fakedist import Install, Opened

from netbe import hooks, registry
from netbe.errors import (
    DeviceNotFoundError,
    PluginConflictError,
    PluginError,
    PluginLevelError,
    UnknownPrefixError,
)
from netbe.opening import open as netbe_open

HOOK = "@hookimpl\ndef netbe_backends"
BROKEN = {
    "raises on import": ("1 / 0", "ZeroDivisionError: division by zero"),
    "imports what is not there": (
        "import not_there_at_all",
        "ModuleNotFoundError: No module named 'not_there_at_all'",
    ),
    "exits on import": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax": ("def", "SyntaxError"),
    "no hook": ("", r"has no netbe_backends\(\)"),
    "not marked": ("def netbe_backends(): return []", "not marked with @netbe.hookimpl"),
    "unknown argument": (fakedist.plugin(f"{HOOK}(colour): return []"), "hooks do not fit.*colour"),
    "unknown hook": (
        fakedist.plugin(f"{HOOK}(): return []\n@hookimpl\ndef netbe_backend_opend(): pass"),
        "hooks do not fit.*netbe_backend_opend",
    ),
    "hook raises": (fakedist.plugin(f"{HOOK}(): return [][0]"), r"netbe_backends\(\) raised IndexError"),
    "hook gives nothing": (fakedist.plugin(f"{HOOK}(): return 7"), r"netbe_backends\(\) raised TypeError"),
    "hook gives something else": (
        fakedist.plugin(f"{HOOK}(): return ['null']"),
        "'null' where a netbe.BackendSpec belongs",
    ),
    "broken promise": (fakedist.working("nothing"), r"describes no such backend \(it describes: nothing\)"),
    "says it twice": (fakedist.working("null", "null"), "describes 'null' twice"),
    "bad prefix": (fakedist.working("null", "0"), "cannot be a prefix"),
    "bad factory": (
        fakedist.plugin(f"{HOOK}(): return [BackendSpec('null', 7, '')]"),
        "factory of 'null' is not callable",
    ),
    "bad level": (
        fakedist.plugin(f"{HOOK}(): return [BackendSpec('null', factory, '', api_level='1')]"),
        "API level of 'null' is not an integer",
    ),
    "an option twice": (
        fakedist.plugin(f"{HOOK}(): return [BackendSpec('null', factory, '', OPTIONS * 2)]"),
        "declares an option twice",
    ),
    "factory raises": (
        fakedist.plugin(f"def f(name): raise KeyError('k')\n{HOOK}(): return [BackendSpec('null', f, '')]"),
        "opening 'null0' raised KeyError",
    ),
    "factory gives no backend": (
        fakedist.plugin(f"def f(name): return 7\n{HOOK}(): return [BackendSpec('null', f, '')]"),
        "opening 'null0' gave 7 where a netbe.Backend belongs",
    ),
}


REGISTERED = {"broken promise", "factory raises", "factory gives no backend"}
"""Faults of plugins that are fine for other prefixes, or until they open."""


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_plugin_is_an_error_that_names_all_that_is_known(install: Install, fault: str) -> None:
    source, says = BROKEN[fault]
    install("Netbe.Null", ("null",), source, version="2.3")
    for _ in range(2):  # the second time is told as the first
        with pytest.raises(PluginError, match=says) as caught:
            netbe_open("null0")
        assert "the backend 'null' of Netbe.Null 2.3 (entry point 'netbe_null') is installed" in str(
            caught.value
        )
        assert caught.value.errno == errno.ELIBBAD
    if "raised" in says or "raises" in fault:
        assert caught.value.__cause__ is not None
    for hook in ("netbe_backends", "netbe_backend_opened"):
        if fault not in REGISTERED:
            assert not getattr(hooks.plugin_manager().hook, hook).get_hookimpls()


def test_the_attribute_of_an_entry_point_that_is_not_there_is_a_broken_plugin(install: Install) -> None:
    install("netbe-null", {"null": "netbe_null:missing.deep"})
    with pytest.raises(PluginError, match="AttributeError") as caught:
        netbe_open("null0")
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_class_for_a_plugin_is_told_to_be_an_instance(install: Install) -> None:
    source = "class Plugin:\n    @hookimpl\n    def netbe_backends(self): return []\n"
    install("netbe-null", {"null": "netbe_null:Plugin"}, fakedist.plugin(source))
    with pytest.raises(PluginError, match="must name an instance"):
        netbe_open("null0")


def test_a_broken_plugin_hurts_only_who_asks_for_it(install: Install, opened: Opened) -> None:
    install("bad-one", ("bad",), fakedist.plugin(f"{HOOK}(colour): return []"))
    install("netbe-null", ("null",))
    with pytest.raises(PluginError):
        netbe_open("bad0")
    opened("null0")


def test_not_installed_and_broken_are_different_errors(install: Install) -> None:
    install("bad-one", ("bad",), "1 / 0")
    with pytest.raises(PluginError):
        netbe_open("bad0")
    with pytest.raises(UnknownPrefixError):
        netbe_open("god0")
    assert not issubclass(UnknownPrefixError, PluginError)
    assert not issubclass(PluginError, UnknownPrefixError)


@pytest.mark.parametrize(
    ("level", "says"),
    [
        (2, "level 2 .*newer than the 1 .*upgrade netbe-core"),
        (0, "level 0 .*older than the 1 .*upgrade netbe-null"),
    ],
)
def test_another_api_level_says_which_side_to_upgrade(install: Install, level: int, says: str) -> None:
    install(
        "netbe-null",
        ("null",),
        fakedist.plugin(f"{HOOK}(): return [BackendSpec('null', factory, '', api_level={level})]"),
    )
    with pytest.raises(PluginLevelError, match=says) as caught:
        netbe_open("null0")
    assert caught.value.errno == errno.ENOTSUP
    assert "netbe-null 1.0" in str(caught.value)
    assert not hooks.plugin_manager().get_plugins()


def test_a_newer_plugin_with_hooks_we_do_not_know_is_told_of_its_level(install: Install) -> None:
    newer = f"""
{HOOK}():
    return [BackendSpec('null', factory, '', api_level=2)]
@hookimpl
def netbe_backend_renamed(backend, old): pass
"""
    install("netbe-null", ("null",), fakedist.plugin(newer))
    with pytest.raises(PluginLevelError, match="upgrade netbe-core"):
        netbe_open("null0")


def test_an_oserror_of_the_backend_is_its_own_error_with_a_note_who_opened_what(install: Install) -> None:
    source = fakedist.plugin(
        f"def f(name): raise OSError(6, 'none')\n{HOOK}(): return [BackendSpec('null', f, '')]"
    )
    install("netbe-null", ("null",), source)
    with pytest.raises(OSError, match="none") as caught:
        netbe_open("null0")
    assert caught.value.errno == errno.ENXIO
    assert caught.value.__notes__ == ["while netbe-null 1.0 opened 'null0'"]


def test_a_netbe_error_of_the_backend_passes_unchanged(install: Install) -> None:
    source = """
        from netbe.errors import DeviceNotFoundError
        def f(name):
            raise DeviceNotFoundError("no null", hint="make one")
    """
    install(
        "netbe-null",
        ("null",),
        fakedist.plugin(textwrap.dedent(source) + f"{HOOK}(): return [BackendSpec('null', f, '')]"),
    )
    with pytest.raises(DeviceNotFoundError, match=r"^no null: make one$"):
        netbe_open("null0")


def test_two_distributions_for_one_prefix_are_an_error_that_names_both(install: Install) -> None:
    install("netbe-null", ("null",), version="1.5")
    install("Fancy.Null", ("null",), version="0.3")
    with pytest.raises(PluginConflictError) as caught:
        netbe_open("null0")
    for part in ("netbe-null 1.5", "Fancy.Null 0.3", "NETBE_PREFER=", "distribution="):
        assert part in str(caught.value)
    assert caught.value.errno == errno.EEXIST
    assert "netbe_null" not in sys.modules


def test_one_of_them_is_preferred_by_argument_or_environment(
    install: Install, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("netbe-null", ("null",))
    install("Fancy.Null", ("null", "nullify"))
    assert type(opened("null0", distribution="netbe_null")).__module__ == "netbe_null"
    assert type(opened("null0", distribution="fancy-null")).__module__ == "fancy_null"
    monkeypatch.setenv(registry.PREFER, "other=x, null=fancy_null")
    assert type(opened("null0")).__module__ == "fancy_null"
    monkeypatch.setenv(registry.PREFER, "null=netbe-null")
    assert type(opened("null0")).__module__ == "netbe_null"
    assert type(opened("nullify")).__module__ == "fancy_null"
    assert type(opened("nullify", distribution="netbe-null")).__module__ == "netbe_null"


def test_a_preference_for_none_of_them_leaves_the_conflict_and_says_so(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("netbe-null", ("null",))
    install("fancy-null", ("null",))
    for value in ("null=third", "null", "=", "null=", ",,", "null=third,nil=netbe-null"):
        monkeypatch.setenv(registry.PREFER, value)
        with pytest.raises(PluginConflictError) as caught:
            netbe_open("null0")
        assert ("prefers third" in str(caught.value)) == ("third" in value)


def test_a_distribution_that_does_not_provide_it_says_what_it_does(install: Install) -> None:
    install("netbe-null", ("null",))
    with pytest.raises(
        UnknownPrefixError, match="'void0' in the distribution 'netbe-null', which provides: null"
    ):
        netbe_open("void0", distribution="netbe-null")
    with pytest.raises(UnknownPrefixError, match="'absent', which is not installed"):
        netbe_open("null0", distribution="absent")


def test_the_same_entry_point_twice_is_no_conflict(install: Install, tmp_path: Path) -> None:
    install("netbe-null", ("null",))
    points = tmp_path / "netbe_null-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + points.read_text() + "null = netbe_null\n")
    registry.refresh()
    assert len(registry.index().table["null"]) == 1


def test_one_distribution_with_two_values_for_a_prefix_is_damaged(install: Install, tmp_path: Path) -> None:
    install("netbe-null", ("null",))
    points = tmp_path / "netbe_null-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "null = netbe_null:other\n")
    registry.refresh()
    with pytest.raises(PluginConflictError, match="more than once, as netbe_null and netbe_null:other"):
        netbe_open("null0")


def test_of_one_distribution_on_two_paths_the_first_hides_the_second(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("netbe-null", ("null", "older"), version="1.0", folder="b")
    install("Netbe_Null", ("null",), version="2.0", folder="a")
    monkeypatch.syspath_prepend(str(tmp_path / "b"))
    monkeypatch.syspath_prepend(str(tmp_path / "a"))
    registry.refresh()
    (entry,) = registry.index().table["null"]
    assert str(entry.distribution) == "Netbe_Null 2.0"
    assert "older" not in registry.index().table
