#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds and runs the C tests and fuzzers of netbe-core under sanitizers, or those of other folders.

Drop a file here, or in the ``tests/native`` of another distribution, and it is found:

test_*.c   a program with a main(); it passes when it exits with 0. AddressSanitizer and UBSan watch it;
           ThreadSanitizer in a second run, when the file says "run.py: tsan".
fuzz_*.c   a libFuzzer target. It runs for --seconds from corpus/<its name>/, which stays as it is.

Each links with those of netbe-core's and its own distribution's C files that it needs, and sees their headers.
Needs clang with its sanitizer runtimes (Debian: clang, libclang-rt-dev). With --flavour and --cc another
compiler does too: "plain" is the tests with no sanitizer, "corpus" the fuzzers over what is known, without
libFuzzer.
"""

import argparse
import fnmatch
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "src" / "netbe"
CFLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-O1", "-fno-omit-frame-pointer", "-pthread"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Flavour: what the library is compiled with, and what a program is linked with.
FLAVOURS = {
    "plain": ("-O2", "-O2"),
    "test": ("-fsanitize=address,undefined", "-fsanitize=address,undefined"),
    "tsan": ("-fsanitize=thread", "-fsanitize=thread"),
    "corpus": ("-fsanitize=address,undefined", "-fsanitize=address,undefined"),
    "fuzz": ("-fsanitize=address,undefined,fuzzer-no-link", "-fsanitize=address,undefined,fuzzer"),
}
ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}
DEFAULT_FLAVOURS = ("test", "tsan", "fuzz")
TEST_TIMEOUT = 300  # seconds


@dataclass(frozen=True)
class Job:
    """One program to build and run."""

    source: Path
    flavour: str

    @property
    def name(self) -> str:
        """As it is shown, and what --only is held against."""
        return self.source.stem + ("" if self.flavour in {"test", "fuzz"} else f"[{self.flavour}]")


class Runner:
    """Builds into one directory, and runs from there."""

    def __init__(self, folder: Path, build: Path, cc: str, seconds: int) -> None:
        """Build what is in `folder` in a directory with a compiler, and give each fuzzer some seconds."""
        self._corpus = folder / "corpus"
        self._build, self._cc, self._seconds = build, cc, seconds
        self._natives = sorted({CORE / "_native", *(folder.parents[1] / "src").glob("*/_native")})
        seen = [folder, HERE, CORE / "include", *self._natives]
        self._includes = [f"-I{path}" for path in seen]
        self._prefix = _no_randomize()
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def library(self, flavour: str) -> None:
        """Compile the C files as an archive: a program is linked with what it uses, and no more."""
        out = self._build / flavour
        out.mkdir(parents=True)
        found = (path for native in self._natives for path in native.glob("*.c"))
        sources = sorted(path for path in found if path.name != "native.c")
        objects = [out / f"{path.parents[1].name}-{path.stem}.o" for path in sources]
        list(self._pool.map(lambda pair: self._compile(flavour, *pair), zip(sources, objects, strict=True)))
        _check(["ar", "rcs", str(out / "libnetbe.a"), *map(str, objects)])

    def program(self, job: Job) -> Path:
        """Compile and link one program; returns where it is."""
        out = self._build / job.flavour
        program, compiled = out / job.source.stem, out / f"{job.source.stem}.o"
        self._compile(job.flavour, job.source, compiled)
        objects = [str(compiled)]
        if job.flavour == "corpus":
            objects.append(str(out / f"{job.source.stem}-main.o"))
            self._compile(job.flavour, HERE / "corpus_main.c", Path(objects[1]))
        link = [FLAVOURS[job.flavour][1], *objects, str(out / "libnetbe.a"), "-pthread"]
        _check([self._cc, *link, "-o", str(program)])
        return program

    def programs(self, jobs: Sequence[Job]) -> dict[Job, Path]:
        """The same for many, as many at a time as there are processors."""
        return dict(zip(jobs, self._pool.map(self.program, jobs), strict=True))

    def run(self, job: Job, program: Path) -> bool:
        """Run one program; what it says is shown when it fails."""
        command = [*self._prefix, str(program)]
        timeout = TEST_TIMEOUT
        if job.flavour == "corpus":
            command += sorted(str(path) for path in (self._corpus / job.source.stem).glob("*"))
        if job.flavour == "fuzz":
            found = self._build / f"found-{job.source.stem}"
            found.mkdir()
            corpus = self._corpus / job.source.stem
            known = [str(corpus)] if corpus.is_dir() else []
            command += ["-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={self._build}/"]
            # Without time, what is known is run once and nothing is sought.
            command += [f"-max_total_time={self._seconds}"] if self._seconds else ["-runs=0"]
            command += ["-print_final_stats=1", str(found), *known]
            timeout += self._seconds
        try:
            done = subprocess.run(
                command,
                check=False,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                env=os.environ | ENVIRONMENT,
            )
        except subprocess.TimeoutExpired as late:
            _say(
                f"FAIL {job.name}: not done after {timeout} s\n{(late.stdout or b'').decode(errors='replace')}"
            )
            return False
        text = done.stdout.decode(errors="replace")
        if done.returncode != 0:
            _say(f"FAIL {job.name}: exit status {done.returncode}\n{text}")
            return False
        inputs = [line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line]
        _say(f"ok   {job.name}" + "".join(f": {number} inputs" for number in inputs))
        return True

    def merge(self, job: Job, program: Path) -> None:
        """Put what was found into the corpus, as few inputs as have its coverage."""
        corpus, fresh = self._corpus / job.source.stem, self._build / f"merged-{job.source.stem}"
        fresh.mkdir()
        found = self._build / f"found-{job.source.stem}"
        known = [str(corpus)] if corpus.is_dir() else []
        _check([*self._prefix, str(program), "-merge=1", "-max_len=512", str(fresh), str(found), *known])
        shutil.rmtree(corpus, ignore_errors=True)
        shutil.copytree(fresh, corpus)
        _say(f"     corpus/{job.source.stem}: {sum(1 for _ in corpus.iterdir())} inputs")

    def _compile(self, flavour: str, source: Path, target: Path) -> None:
        flags = [*CFLAGS, *WARNINGS, *self._includes, FLAVOURS[flavour][0], "-fno-sanitize-recover=all"]
        if flavour == "tsan" and supports(self._cc, "-Wno-tsan"):
            flags.append("-Wno-tsan")  # gcc: it does not follow fences; what they order is atomic
        _check([self._cc, *flags, "-c", str(source), "-o", str(target)])


def supports(cc: str, *flags: str) -> bool:
    """Whether a program made with these flags can be built and run."""
    with tempfile.TemporaryDirectory(prefix="netbe-native-") as directory:
        program = str(Path(directory) / "program")
        build = [cc, "-Werror", *flags, "-x", "c", "-", "-pthread", "-o", program]
        source = b"int main(void) { return 0; }"
        if subprocess.run(build, check=False, input=source, capture_output=True).returncode != 0:
            return False
        return subprocess.run([*_no_randomize(), program], check=False, capture_output=True).returncode == 0


def _no_randomize() -> list[str]:
    """Sanitizers of clang before 18 lose their way in the 32 random address bits of newer kernels."""
    prefix = ["setarch", "--addr-no-randomize"]
    if (
        shutil.which("setarch")
        and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
    ):
        return prefix
    return []


def _check(command: list[str]) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout.decode(errors='replace')}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _jobs(folder: Path, only: str, flavours: Sequence[str]) -> list[Job]:
    jobs = []
    for source in sorted(folder.glob("test_*.c")):
        jobs += [Job(source, flavour) for flavour in ("plain", "test") if flavour in flavours]
        if "tsan" in flavours and "run.py: tsan" in source.read_text():
            jobs.append(Job(source, "tsan"))
    for source in sorted(folder.glob("fuzz_*.c")):
        jobs += [Job(source, flavour) for flavour in ("corpus", "fuzz") if flavour in flavours]
    return [job for job in jobs if fnmatch.fnmatchcase(job.name, only) or job.source.stem == only]


def _run(folder: Path, options: argparse.Namespace) -> list[str]:
    """Run what is in one folder; the names of what failed."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="netbe-native-") as temporary:
        build = (options.build or Path(temporary)).resolve()
        jobs = _jobs(folder, options.only, options.flavour or DEFAULT_FLAVOURS)
        runner = Runner(folder, build, options.cc, options.seconds)
        for flavour in sorted({job.flavour for job in jobs}):
            shutil.rmtree(build / flavour, ignore_errors=True)
            runner.library(flavour)
        programs = runner.programs(jobs)
        for job in jobs:
            for stale in (f"found-{job.source.stem}", f"merged-{job.source.stem}"):
                shutil.rmtree(build / stale, ignore_errors=True)
            program = programs[job]
            if not runner.run(job, program):
                failed.append(job.name)
            elif options.update_corpus and job.flavour == "fuzz":
                runner.merge(job, program)
    return failed


def main() -> int:
    """Run all of it, or what was asked for; 1 when anything failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="*", type=Path, help="a tests/native folder (default: the one this program is in)"
    )
    parser.add_argument(
        "--seconds", "--fuzz", type=int, default=10, help="for each fuzzer; 0: only its corpus (default: 10)"
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="only these, as in test_gso or fuzz_*")
    parser.add_argument("--cc", default="clang", help="the compiler (default: clang)")
    parser.add_argument(
        "--flavour",
        action="append",
        choices=sorted(FLAVOURS),
        help="only such (default: test, tsan and fuzz)",
    )
    parser.add_argument("--build", type=Path, help="build here and keep it (default: a temporary directory)")
    parser.add_argument("--update-corpus", action="store_true", help="keep what the fuzzers find")
    options = parser.parse_args()
    if shutil.which(options.cc) is None:
        sys.exit(f"{options.cc} is not installed; Debian has it in: clang libclang-rt-dev")
    folders = [folder.resolve() for folder in options.folder] or [HERE]
    flavours = options.flavour or DEFAULT_FLAVOURS
    if not any(_jobs(folder, options.only, flavours) for folder in folders):
        sys.exit(f"nothing here is called {options.only}")
    failed = [name for folder in folders for name in _run(folder, options)]
    if failed:
        _say(
            f"failed: {' '.join(failed)}"
            + ("" if options.build else "; --build DIR keeps what a fuzzer found")
        )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
