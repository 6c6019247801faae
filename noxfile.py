# SPDX-License-Identifier: BSD-2-Clause
"""Every task of the workspace: ``nox -s NAME``, or ``python3 noxfile.py -s NAME`` where there is no nox.

Run as a script without nox installed, it makes an environment for nox under ``.nox`` first and goes on in it.
"""

import glob
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parent.resolve()
DISTRIBUTIONS = ("netbe-core", "netbe-tap", "netbe-netmap", "netbe-cli")
NATIVE = ("netbe-core", "netbe-netmap")
PYTHONS = ("3.11", "3.12", "3.13")
TESTING = ("pytest>=8.4", "hypothesis>=6", "scapy>=2.6", "coverage>=7")
CHECKING = ("mypy>=1.13", "types-docutils", "nox>=2024.10", "pytest>=8.4", "sphinx>=8", "sybil>=8")
DOCUMENTING = ("sphinx>=8", "myst-parser>=4", "furo", "sybil>=8", "trio>=0.27", "anyio>=4.7")


def bootstrap() -> None:
    """Go on in an environment that has nox; make it first where there is none."""
    home = ROOT / ".nox" / "bootstrap"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        print(f"nox is not installed; making an environment for it in {home}", flush=True)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "nox>=2024.10"], check=True)
        (home / "ready").touch()
    os.chdir(ROOT)
    os.execv(python, [str(python), str(Path(__file__).resolve()), *sys.argv[1:]])


try:
    import nox
except ImportError:
    if __name__ != "__main__":
        raise
    bootstrap()

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False


def install(session: nox.Session, *extras: str) -> None:
    """Build our distributions and install them, with what they and the session need."""
    # Built anew each time: an environment that is used again would keep the old ones.
    session.install(*extras, *(str(ROOT / name) for name in DISTRIBUTIONS))
    session.install("--no-deps", "--force-reinstall", *(str(ROOT / name) for name in DISTRIBUTIONS))


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest, with coverage measured and reported."""
    data = Path(session.create_tmp()) / "coverage"
    env = {"COVERAGE_FILE": str(data), "COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")}
    session.run("coverage", "run", "-m", "pytest", *arguments, *session.posargs, env=env)
    session.run("coverage", "combine", "--quiet", env=env)
    floor = ["--fail-under=0"] if session.posargs else []  # a part of the tests needs not reach it
    session.run("coverage", "report", "--format=total", *floor, env=env)


@nox.session
def demo(session: nox.Session) -> None:
    """The main job in ten seconds, without privilege: two processes on one switch, and what went through."""
    install(session)
    session.run("python", str(ROOT / "examples" / "demo.py"))


@nox.session
def tests(session: nox.Session) -> None:
    """Every test that needs no more than Python and a C compiler; the others say what they need and skip."""
    install(session, *TESTING)
    pytest(session)


@nox.session(name="tests-on", python=PYTHONS)
def tests_on(session: nox.Session) -> None:
    """The same on each Python that is installed."""
    install(session, *TESTING)
    session.run("pytest", "-q", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Everything, on real devices: root, taps, namespaces. What is missing is a failure, not a skip.

    ``-- -m e2e`` is only what needs those.
    """
    install(session, *TESTING)
    session.env["NETBE_REQUIRE_ALL"] = "1"
    pytest(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: every rule, and the format."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict: all but the tests."""
    install(session, *CHECKING)
    sources = (f"{name}/src" for name in DISTRIBUTIONS)
    session.run("mypy", *sources, "noxfile.py", "bench", "examples", *map(str, ROOT.glob("docs/*.py")))


@nox.session
def sanitize(session: nox.Session) -> None:
    """The C tests and fuzzers under AddressSanitizer and UBSan. Takes ``--fuzz SECONDS``."""
    folders = [str(ROOT / name / "tests" / "native") for name in NATIVE]
    session.run(
        "python", str(ROOT / "netbe-core" / "tests" / "native" / "run.py"), *folders, *session.posargs
    )


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution from its sdist, and import each wheel alone in a fresh environment."""
    session.install("build>=1.2", "virtualenv")
    out = Path(session.create_tmp()) / "dist"
    shutil.rmtree(out, ignore_errors=True)
    for name in DISTRIBUTIONS:
        session.run("python", "-m", "build", "--outdir", str(out), str(ROOT / name), silent=True)
    for name in DISTRIBUTIONS:
        alone = Path(session.create_tmp()) / f"alone-{name}"
        shutil.rmtree(alone, ignore_errors=True)
        session.run("python", "-m", "virtualenv", "--quiet", str(alone), silent=True)
        python = str(alone / "bin" / "python")
        wheel = glob.glob(str(out / f"{name.replace('-', '_')}-*.whl"))  # noqa: PTH207 - one file is wanted
        pip = (python, "-m", "pip", "install", "--quiet", "--find-links", str(out), *wheel)
        session.run(*pip, external=True, silent=True)
        session.run(python, str(ROOT / "tests" / "check_wheel.py"), name, *wheel, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documents without a warning, and run the commands and Python blocks in them."""
    install(session, *DOCUMENTING, "pytest>=8.4")
    out = Path(session.create_tmp()) / "html"
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-E", "-b", "html", "docs", str(out))
    session.run("pytest", "-q", "docs", *session.posargs)
    session.log(f"the documents are in {out}")


@nox.session
def manpages(session: nox.Session) -> None:
    """Write the man pages anew, after a change to a command's options or help."""
    install(session)
    session.run("python", "-m", "netbe_cli.manpages", str(ROOT / "netbe-cli" / "man"))


@nox.session
def bench(session: nox.Session) -> None:
    """Ours beside its peers, in alternating runs. Takes what bench/run.py takes, such as ``--quick``."""
    install(session)
    session.run("python", str(ROOT / "bench" / "run.py"), *session.posargs)


if __name__ == "__main__":
    nox.main()
