# SPDX-License-Identifier: BSD-2-Clause
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from needs import need

RUN = Path(__file__).parent / "native" / "run.py"
SANITIZERS = {"plain": "no sanitizer", "test": "AddressSanitizer and UBSan", "tsan": "ThreadSanitizer"}


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("native_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["native_run"] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run() -> ModuleType:
    return _load()


@pytest.fixture(scope="module")
def compiler() -> str:
    found = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    need("a C compiler", there=found is not None)
    assert found is not None
    return found


def build_and_run(compiler: str, flavour: str, *more: str) -> str:
    command = [sys.executable, str(RUN), "--cc", compiler, "--flavour", flavour, *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need_flavour(run: ModuleType, compiler: str, flavour: str, what: str) -> None:
    need(f"a compiler with {what}", there=run.supports(compiler, run.FLAVOURS[flavour][0]))


@pytest.mark.parametrize("flavour", SANITIZERS)
def test_the_c_tests_pass(run: ModuleType, compiler: str, flavour: str) -> None:
    need_flavour(run, compiler, flavour, SANITIZERS[flavour])
    said = build_and_run(compiler, flavour)
    assert "ok   test_" in said
    assert "FAIL" not in said


def test_what_the_fuzzers_have_found_so_far_stays_mended(run: ModuleType, compiler: str) -> None:
    need_flavour(run, compiler, "corpus", SANITIZERS["test"])
    said = build_and_run(compiler, "corpus")
    for fuzzer in RUN.parent.glob("fuzz_*.c"):
        assert f"ok   {fuzzer.stem}[corpus]" in said


def test_a_compiler_that_lacks_a_sanitizer_is_found_out(run: ModuleType, compiler: str) -> None:
    assert run.supports(compiler, "-O2")
    assert not run.supports(compiler, "-fsanitize=no-such-thing")


def test_a_c_test_that_fails_is_told(compiler: str, tmp_path: Path) -> None:
    shutil.copytree(
        RUN.parents[2], tmp_path / "core", ignore=shutil.ignore_patterns("corpus", "test_*", "fuzz_*")
    )
    there = tmp_path / "core" / "tests" / "native"
    (there / "test_wrong.c").write_text('#include "check.h"\nint main(void) { CHECK(1 == 2); return 0; }\n')
    command = [sys.executable, str(there / "run.py"), "--cc", compiler, "--flavour", "plain"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "FAIL test_wrong[plain]" in done.stdout
    assert "not so: 1 == 2" in done.stdout
