# SPDX-License-Identifier: BSD-2-Clause
"""netbe beside its peers, in one session: every round measures each subject once, in turn.

    python bench/run.py                    all cases, 5 rounds
    python bench/run.py --quick            2 short rounds, to see that everything works
    python bench/run.py --only taps        one case
    python bench/run.py --json FILE        the raw figures too

A ratio is taken within a round, and then the median over rounds: the machine's speed drifts, and both sides
of a ratio must meet the same weather. Peers that are not installed are named as missing.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import calls, opening, rings, taps, vale
from report import Case, machine, show

CASES = {
    "taps": taps.case,
    "rings": rings.case,
    "vale": vale.case,
    "vale64": vale.full_switch,
    "calls": calls.case,
    "opening": opening.case,
}


def measure(case: Case, rounds: int) -> None:
    """Fill a case with figures: rounds outside, subjects inside."""
    for number in range(rounds):
        for subject in case.subjects:
            if subject.missing:
                continue
            began = time.monotonic()
            figures = subject.run()
            for name, value in figures.items():
                subject.figures.setdefault(name, []).append(value)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            took = time.monotonic() - began
            print(f"  round {number + 1}/{rounds}  {subject.name}: {shown}  ({took:.0f} s)", flush=True)


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 short rounds")
    parser.add_argument("--rounds", type=int, help="rounds (5, or 2 with --quick)")
    parser.add_argument("--only", choices=sorted(CASES), action="append", help="one case; may be given again")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the raw figures there")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    print(machine())
    done = []
    for name in arguments.only or CASES:
        with CASES[name](quick=arguments.quick) as case:
            print(f"\n{case.title}")
            if case.cannot:
                print(f"  not run: {case.cannot}")
                continue
            measure(case, rounds)
            done.append(case)
    for case in done:
        show(case)
    if arguments.json:
        document = {"machine": machine(), "cases": [case.as_dict() for case in done]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
