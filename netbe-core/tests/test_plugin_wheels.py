# SPDX-License-Identifier: BSD-2-Clause
"""Plugins as users get them: real wheels, installed by pip into a real environment."""

import json
import os
import subprocess
import sysconfig
import textwrap
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

import fakedist
import pytest

HOOK = "@hookimpl\ndef netbe_backends"


class Environment:
    """A virtual environment that sees what this one has, and more."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = str(folder / "bin" / "python")
        own = sysconfig.get_path("purelib", vars={"base": str(folder)})
        # addsitedir, unlike a bare path, honours editable installations.
        ours = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        Path(own, "outer.pth").write_text(ours, encoding="utf-8")
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.installed: list[str] = []

    def pip(self, *arguments: str) -> None:
        """Run pip, without a network."""
        command = [self.python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    def install(self, *distributions: Mapping[str, str]) -> None:
        """Build a wheel of each, and install them."""
        wheels = [str(fakedist.build_wheel(self.wheels, files)) for files in distributions]
        self.pip("install", "--no-index", "--no-deps", "--no-compile", *wheels)
        self.installed += [Path(wheel).name.partition("-")[0] for wheel in wheels]

    def uninstall(self, *distributions: str) -> None:
        """Remove some."""
        self.pip("uninstall", "--yes", *distributions)
        self.installed = [name for name in self.installed if name not in distributions]

    def run(self, program: str, **variables: str) -> object:
        """What a program that begins with ``import netbe`` prints as JSON."""
        head = "import json, sys\nimport netbe\nfrom netbe import hooks, registry\nfrom netbe import open\n"
        done = subprocess.run(
            [self.python, "-c", head + textwrap.dedent(program)],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **variables},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def error_of_opening(self, name: str, **variables: str) -> list[str]:
        """The class, the text and the cause's class of the error that opening raises."""
        program = f"""
            try:
                open({name!r})
            except netbe.errors.NetbeError as exc:
                print(json.dumps([type(exc).__name__, str(exc), type(exc.__cause__).__name__]))
        """
        found = self.run("import netbe.errors\n" + textwrap.dedent(program), **variables)
        assert isinstance(found, list)
        return found

    def opens(self, name: str, **variables: str) -> object:
        """The module of the backend that a name opens."""
        return self.run(f"with open({name!r}) as b: print(json.dumps(type(b).__module__))", **variables)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One environment for all the tests here; making one takes seconds."""
    return Environment(tmp_path_factory.mktemp("venv"))


@pytest.fixture
def environment(shared: Environment) -> Iterator[Environment]:
    """The environment with nothing installed in it."""
    yield shared
    if shared.installed:
        shared.uninstall(*shared.installed)


def test_a_wheel_adds_a_backend_and_its_removal_takes_it_away(environment: Environment) -> None:
    assert environment.error_of_opening("null0")[0] == "UnknownPrefixError"
    environment.install(fakedist.files_of("acme-null", ("null",)))
    assert environment.opens("null0,mtu=9000") == "acme_null"
    environment.uninstall("acme_null")
    assert environment.error_of_opening("null0")[0] == "UnknownPrefixError"


def test_a_prefix_that_is_not_installed_says_what_to_install(environment: Environment) -> None:
    program = """
        registry.KNOWN["stream"] = "acme-socket"
        try:
            open("stream:/run/x")
        except netbe.UnknownPrefixError as exc:
            print(json.dumps(str(exc)))
    """
    assert "pip install acme-socket" in str(environment.run(program))


def test_two_wheels_for_one_prefix_conflict_until_one_is_preferred_or_removed(
    environment: Environment,
) -> None:
    environment.install(
        fakedist.files_of("acme-null", ("null",), version="1.5"),
        fakedist.files_of("Fancy.Null", ("null",), version="0.3"),
    )
    kind, text, _ = environment.error_of_opening("null0")
    assert kind == "PluginConflictError"
    for part in ("acme-null 1.5", "Fancy.Null 0.3", 'NETBE_PREFER="null='):
        assert part in text
    assert environment.opens("null0", NETBE_PREFER="null=acme-null") == "acme_null"
    assert environment.opens("null0", NETBE_PREFER="null=fancy-null") == "fancy_null"
    environment.uninstall("Fancy_Null" if "Fancy_Null" in environment.installed else "fancy_null")
    assert environment.opens("null0") == "acme_null"


@pytest.mark.parametrize(
    ("source", "kind", "says", "cause"),
    [
        (
            "import not_there_at_all",
            "PluginError",
            "No module named 'not_there_at_all'",
            "ModuleNotFoundError",
        ),
        (
            fakedist.plugin(f"{HOOK}(): return [BackendSpec('null', factory, '', api_level=9)]"),
            "PluginLevelError",
            "upgrade netbe-core",
            "NoneType",
        ),
        (
            fakedist.plugin(f"{HOOK}(colour): return []"),
            "PluginError",
            "its hooks do not fit",
            "PluginValidationError",
        ),
        (fakedist.working("else"), "PluginError", "describes no such backend", "NoneType"),
    ],
    ids=["import", "level", "signature", "promise"],
)
def test_a_wheel_with_a_broken_plugin_is_named_and_leaves_others_alone(
    environment: Environment, source: str, kind: str, says: str, cause: str
) -> None:
    environment.install(
        fakedist.files_of("acme-null", ("null",), source, version="2.0"),
        fakedist.files_of("acme-void", ("void",)),
    )
    found = environment.error_of_opening("null0")
    assert (found[0], found[2]) == (kind, cause)
    for part in ("'null'", "acme-null 2.0", "entry point 'acme_null'", says):
        assert part in found[1]
    assert environment.opens("void0") == "acme_void"
    errors = environment.run(
        "print(json.dumps({i.prefix: i.error for i in registry.list_backends(check=True)}))"
    )
    assert isinstance(errors, dict)
    assert says in errors["null"]
    assert errors["void"] is None


def test_two_entry_points_on_one_object_register_one_plugin(environment: Environment) -> None:
    source = fakedist.plugin("""
class Plugin:
    calls = 0
    @hookimpl
    def netbe_backends(self):
        Plugin.calls += 1
        return [BackendSpec(prefix, factory, '') for prefix in ('null', 'void')]
plugin = Plugin()
""")
    points = {"null": "acme_null:plugin", "void": "acme_null:plugin"}
    environment.install(fakedist.files_of("acme-null", points, source))
    program = """
        open("null0").close(), open("void0").close()
        import acme_null
        print(json.dumps([acme_null.Plugin.calls, len(hooks.plugin_manager().get_plugins())]))
    """
    assert environment.run(program) == [1, 1]


def test_a_wheel_that_hangs_on_import_does_not_hang_the_list(environment: Environment) -> None:
    environment.install(
        fakedist.files_of("acme-hang", ("hang",), "import time\ntime.sleep(1000)"),
        fakedist.files_of("acme-null", ("null",)),
    )
    program = "print(json.dumps({i.prefix: i.error for i in registry.list_backends(check=True, timeout=3)}))"
    errors = environment.run(program)
    assert isinstance(errors, dict)
    assert "not done after 3 s" in errors["hang"]
    assert errors["null"] is None
    assert environment.opens("null0") == "acme_null"


def test_a_wheel_installed_while_a_program_runs_is_seen_after_refresh(environment: Environment) -> None:
    wheel = fakedist.build_wheel(environment.wheels, fakedist.files_of("acme-null", ("null",)))
    environment.installed.append("acme_null")
    program = f"""
        import subprocess
        before = "null" in registry.index().table
        command = [sys.executable, "-m", "pip", "-q", "install", "--no-index", "--no-deps", {str(wheel)!r}]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        registry.refresh()
        open("null0").close()
        print(json.dumps(before))
    """
    assert environment.run(program) is False


def test_opening_with_200_wheels_installed_imports_none_of_them(environment: Environment) -> None:
    imported = "raise SystemError('imported')"
    others = [fakedist.files_of(f"other-{n}", (f"other{n}-",), imported) for n in range(200)]
    environment.install(fakedist.files_of("acme-null", ("null",)), *others)
    program = """
        open("null0").close()
        listed = [info for info in registry.list_backends() if info.distribution.startswith("other-")]
        print(json.dumps([len(listed), [m for m in sys.modules if m.startswith("other_")]]))
    """
    assert environment.run(program) == [200, []]
