# SPDX-License-Identifier: BSD-2-Clause
"""Figures, their medians and spread, ratios pair by pair, and a table of it all."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


@dataclass
class Subject:
    """One thing that is measured."""

    name: str
    run: Callable[[], dict[str, float]]
    """One measurement: figures by the name of the measure, larger is better unless the case says otherwise."""
    missing: str = ""
    """Why it cannot be measured here."""
    limit: bool = False
    """No peer, but what the machine gives at most."""
    figures: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class Case:
    """Subjects that are measured in turn; the first one is ours, ratios are ours to theirs."""

    name: str
    title: str
    subjects: list[Subject]
    units: dict[str, str]
    cannot: str = ""

    def ratios(self, other: Subject, measure: str) -> list[float]:
        """Ours to the other's, round by round."""
        ours = self.subjects[0].figures.get(measure, [])
        theirs = other.figures.get(measure, [])
        return [one / two for one, two in zip(ours, theirs, strict=False) if two]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "case": self.name,
            "units": self.units,
            "subjects": [
                {"name": one.name, "missing": one.missing, "limit": one.limit, "figures": one.figures}
                for one in self.subjects
            ],
        }


def machine() -> str:
    """What it was measured on, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{cores} x {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def show(case: Case) -> None:
    """Print a case as a Markdown table."""
    print(f"\n### {case.title}\n")
    measures = list(case.units)
    heads = [f"{name}, {case.units[name]}" for name in measures]
    print("| | " + " | ".join(f"{head} | ratio" for head in heads) + " |")
    print("| --- |" + " --- | --- |" * len(heads))
    for subject in case.subjects:
        name = f"(limit) {subject.name}" if subject.limit else subject.name
        if subject.missing:
            print(f"| {name} | missing: {subject.missing} |" + " |" * (2 * len(heads) - 1))
            continue
        cells = []
        for measure in measures:
            values = subject.figures.get(measure)
            if not values:
                cells += ["-", "-"]
                continue
            cells.append(f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})")
            ratios = case.ratios(subject, measure)
            cells.append("-" if subject is case.subjects[0] else f"{median(ratios):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nMedian (least to most); ratio: ours, the first line, to this one, median of the rounds.")
