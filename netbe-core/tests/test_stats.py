# SPDX-License-Identifier: BSD-2-Clause
"""`Stats`: counters as read."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netbe
from netbe import DropReason, Stats

counts = st.integers(0, 1 << 64)
tables = st.dictionaries(st.sampled_from(DropReason), st.integers(1, 1 << 64))
stats = st.builds(Stats, counts, counts, counts, counts, tables, tables)


@given(one=stats, other=stats)
def test_counters_are_added_one_by_one(one: Stats, other: Stats) -> None:
    both = one + other
    for field in ("rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "dropped"):
        assert getattr(both, field) == getattr(one, field) + getattr(other, field)
    for side in ("rx_dropped", "tx_dropped"):
        for reason in DropReason:
            parts = [getattr(part, side).get(reason, 0) for part in (one, other, both)]
            assert parts[2] == parts[0] + parts[1]
    assert one + Stats() == one
    assert one + other == other + one


@given(one=stats)
def test_a_snapshot_is_json(one: Stats) -> None:
    again = json.loads(json.dumps(one.as_dict()))
    assert Stats(**{name: again[name] for name in again}) == one


def test_only_reasons_that_occurred_are_in_the_tables() -> None:
    assert (Stats(rx_dropped={DropReason.FULL: 0}) + Stats()).rx_dropped == {}


def test_a_snapshot_does_not_change() -> None:
    near, far = netbe.make_pair()
    with near, far:
        before = near.stats
        near.send(bytes(60))
        assert (before.tx_frames, near.stats.tx_frames) == (0, 1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            before.tx_frames = 7  # type: ignore[misc]


def test_reasons_are_those_of_the_c_header_in_its_order() -> None:
    text = (Path(netbe.get_include()) / "netbe.h").read_text()
    body = re.search(r"enum netbe_drop \{(.*?)\}", text, re.DOTALL)
    assert body is not None
    names = re.findall(r"NETBE_DROP_(\w+)", body[1])
    assert [name.lower() for name in names if name not in ("N", "REASONS", "COUNT", "MAX")] == list(
        DropReason
    )
