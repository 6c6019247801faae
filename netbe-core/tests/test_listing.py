# SPDX-License-Identifier: BSD-2-Clause
"""The list of backends: it imports nothing, never raises, and its check survives any plugin."""

import sys
import time
from pathlib import Path

import fakedist
import pytest
from fakedist import Install, Opened

from netbe import registry


def by_prefix(*, check: bool = False, timeout: float = 10.0) -> dict[str, registry.BackendInfo]:
    """The list of backends by prefix, without those that are really installed."""
    fakes = ("netbe-null", "bad-one", "odd", "x-")
    infos = registry.list_backends(check=check, timeout=timeout)
    return {info.prefix: info for info in infos if info.distribution.startswith(fakes)}


def test_the_list_shows_what_is_installed_and_its_faults_beside_it(install: Install) -> None:
    install("netbe-null", ("null",), version="1.5")
    install("bad-one", ("bad",), "1 / 0")
    install("odd-one", {"0odd": "x:y", "hollow": ""})
    found = by_prefix()
    assert found["null"] == registry.BackendInfo("null", "netbe-null", "1.5", "netbe_null")
    assert found["bad"].error is None
    assert "cannot be a prefix" in str(found["0odd"].error)
    assert "names no object" in str(found["hollow"].error)
    assert "bad_one" not in sys.modules


def test_the_list_shows_metadata_that_cannot_be_read(install: Install, tmp_path: Path) -> None:
    install("netbe-null", ("null",))
    info = tmp_path / "odd_one-1.0.dist-info" / "entry_points.txt"
    info.mkdir(parents=True)
    registry.refresh()
    assert "metadata cannot be read" in str(by_prefix()[""].error)


def test_the_list_shows_conflicts_and_who_is_preferred(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("x-one", ("null",))
    install("x-two", ("null",))
    errors = {i.distribution: i.error for i in registry.list_backends() if i.distribution.startswith("x-")}
    assert all("x-one 1.0 and by x-two 1.0" in str(error) for error in errors.values())
    monkeypatch.setenv(registry.PREFER, "null=x-two")
    errors = {i.distribution: i.error for i in registry.list_backends() if i.distribution.startswith("x-")}
    assert errors == {"x-one": "NETBE_PREFER prefers x-two 1.0", "x-two": None}


def test_the_list_knows_the_summary_and_options_of_what_is_loaded(install: Install, opened: Opened) -> None:
    install("netbe-null", ("null",))
    opened("null0")
    info = by_prefix()["null"]
    assert (info.loaded, info.summary) == (True, "swallows frames")
    assert info.options == (
        registry.OptionInfo("mtu", "N", "largest packet", ""),
        registry.OptionInfo("up", "on|off", "bring it up", "True"),
    )


def test_a_check_brings_all_in_elsewhere_and_survives_each(install: Install, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    install("x-bad", ("bad",), "1 / 0")
    install("x-crash", ("crash",), "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    install("x-exit", ("exit",), "import os\nos._exit(7)")
    install(
        "x-hang",
        ("hang",),
        f"import subprocess, time\np = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(pids)!r}, 'w').write(str(p.pid))\ntime.sleep(1000)",
    )
    install(
        "x-loud",
        ("loud",),
        fakedist.working("loud") + "\nprint('{}')\nimport sys\nsys.stderr.write('!' * 10**6)",
    )
    sleeper = "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
    install("x-thread", ("thready",), fakedist.working("thready") + sleeper)
    install("netbe-null", ("null",))
    found = by_prefix(check=True, timeout=3.0)
    assert "ZeroDivisionError" in str(found["bad"].error)
    assert "SIGSEGV" in str(found["crash"].error)
    assert "exit status 7" in str(found["exit"].error)
    assert "not done after 3 s" in str(found["hang"].error)
    for prefix in ("loud", "null", "thready"):
        assert found[prefix].error is None
        assert found[prefix].loaded
        assert [option.name for option in found[prefix].options] == ["mtu", "up"]
    assert not [module for module in sys.modules if module.startswith("x_")]
    child = int(pids.read_text())
    for _ in range(200):  # killed with its group, and then reaped by whoever is its parent now
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            break
        time.sleep(0.01)
    else:
        pytest.fail("a process that a plugin had started outlives the check")


def test_a_check_without_an_interpreter_says_so(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("netbe-null", ("null",))
    for executable in ("", "/not/there"):
        monkeypatch.setattr(sys, "executable", executable)
        assert "not checked" in str(by_prefix(check=True)["null"].error)
