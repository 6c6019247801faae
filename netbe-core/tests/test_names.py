# SPDX-License-Identifier: BSD-2-Clause
"""The grammar of names: what is taken apart, what is refused, and that writing undoes reading."""

import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netbe.errors import BadNameError, NameTooLongError, NetbeError
from netbe.names import MAX_DEVICE, MAX_NAME, Name, format_name, quote

PRINTABLE = st.text(
    st.one_of(st.sampled_from(',="|\\[]: '), st.characters(exclude_categories=("Cc", "Cs"))), max_size=40
)
DEVICES = PRINTABLE.filter(lambda text: 0 < len(text.encode()) <= MAX_DEVICE)
KEYS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda key: key != "type")
OPTIONS = st.dictionaries(KEYS, PRINTABLE, max_size=5)


@pytest.mark.parametrize(
    ("text", "device", "options"),
    [
        ("tap0", "tap0", {}),
        ("tap0,mtu=9000,up=on", "tap0", {"mtu": "9000", "up": "on"}),
        ("tap0,mac=02:00:00:00:00:01", "tap0", {"mac": "02:00:00:00:00:01"}),
        ("vale0:1", "vale0:1", {}),
        ("stream:[::1]:4789", "stream:[::1]:4789", {}),
        ('stream:"/run/a,b.sock",server=on', "stream:/run/a,b.sock", {"server": "on"}),
        ('"stream:/run/a,b|c"', "stream:/run/a,b|c", {}),
        (r'"a\"b\\c"', 'a"b\\c', {}),
        (r"a\b", r"a\b", {}),
        ('tap0,note="a,b=[c]|\\"d\\""', "tap0", {"note": 'a,b=[c]|"d"'}),
        ("tap0,note=", "tap0", {"note": ""}),
        ("tap0,expr=a=b", "tap0", {"expr": "a=b"}),
        ("tap 0", "tap 0", {}),
    ],
)
def test_a_name_is_taken_apart(text: str, device: str, options: dict[str, str]) -> None:
    name = Name.parse(text)
    assert (name.device, dict(name.options)) == (device, options)
    assert (name.text, name.prefix, name.rest, name.explicit) == (text, "", device, False)


def test_type_is_no_option_but_the_prefix_and_leaves_the_whole_device_as_rest() -> None:
    name = Name.parse("lan0,type=tap,mtu=99")
    assert (name.prefix, name.rest, name.explicit, dict(name.options)) == ("tap", "lan0", True, {"mtu": "99"})
    assert name.format() == "lan0,type=tap,mtu=99"


def test_a_prefix_leaves_what_follows_it_as_rest() -> None:
    assert Name.parse("tap:lan0").with_prefix("tap").rest == ":lan0"
    assert Name.parse("tap0").with_prefix("tap").rest == "0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ('""', "names no device"),
        (",mtu=1", "names no device"),
        ("tap0,", "no option behind"),
        ("tap0,,mtu=1", "no option behind"),
        ("tap0,persist", "persist=VALUE"),
        ("tap0,m tu=1", "name of an option"),
        ("tap0, mtu=1", "no spaces"),
        ("tap0,=1", "name of an option"),
        ("tap0,mtu=1,mtu=2", "twice"),
        ("tap0,type=", "type="),
        ("tap0,type=a,type=b", "twice"),
        ("tap0|pcap:x", "reserved for wrappers"),
        ("tap0,mtu=1|pcap:x", "reserved for wrappers"),
        ("tap0,a|b=1", "reserved for wrappers"),
        ('a"b"', "middle of the device"),
        ('a"b', "never closed"),
        ('tap0,a="b', "never closed"),
        ('tap0,a=b"c"', "none can begin"),
        ('tap0,a="b"c', "follows a closing"),
        ('"a"b', "follows a closing"),
        ('tap0,a="\\n"', "neither"),
        ("tap0,a=[1]", "bracket"),
        ("tap0,a=1]", "bracket"),
        ("tap\0", "control character"),
        ("tap0\n", "control character"),
        ("tap0,a=\x7f", "control character"),
        ("tap\x9b0", "control character"),
        ("tap\ud800", "cannot be encoded"),
    ],
)
def test_what_is_no_name_is_refused_with_advice(text: str, says: str) -> None:
    with pytest.raises(BadNameError, match=says) as caught:
        Name.parse(text)
    assert caught.value.errno == errno.EINVAL
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_defect_9_a_long_name_is_an_error_and_is_never_cut() -> None:
    device = "x" * MAX_DEVICE
    assert Name.parse(device).device == device
    longest = f"x,a={'y' * (MAX_NAME - 4)}"
    assert Name.parse(longest).format() == longest
    for text in (device + "x", "é" * 128, longest + "y", "x" * 1_000_000):
        with pytest.raises(NameTooLongError) as caught:
            Name.parse(text)
        assert caught.value.errno == errno.ENAMETOOLONG
        assert len(str(caught.value)) < 200


def test_a_name_that_is_no_text_is_a_type_error() -> None:
    for thing in (None, b"tap0", 7):
        with pytest.raises(TypeError, match="is a str"):
            Name.parse(thing)  # type: ignore[arg-type]


@example(device="a\\,", options={"a": '\\"', "b": "\\\\[", "c": "\\"}, kind="tap")
@given(DEVICES, OPTIONS, st.one_of(st.none(), st.sampled_from(["tap", "vhost-user"])))
def test_writing_a_name_and_reading_it_gives_the_same(
    device: str, options: dict[str, str], kind: str | None
) -> None:
    text = format_name(device, {**({} if kind is None else {"type": kind}), **options})
    name = Name.parse(text)
    assert (name.device, dict(name.options)) == (device, options)
    assert (name.explicit, name.prefix) == (kind is not None, kind or "")
    assert Name.parse(name.format()) == name


@given(st.text(st.sampled_from('ta0,="|\\[]: \n'), max_size=30))
def test_whatever_is_read_can_be_written_and_nothing_else_happens_than_a_netbe_error(text: str) -> None:
    try:
        name = Name.parse(text)
    except NetbeError:
        return
    again = Name.parse(name.format())
    assert again == name
    assert again.format() == name.format()


# The contract: values are quoted as the reference of names says.
@given(PRINTABLE)
def test_quoting_is_undone_and_is_used_only_where_it_is_needed(value: str) -> None:
    assert Name.parse(f"x,a={quote(value)}").options["a"] == value
    assert (quote(value) == value) == (not set(value) & set(',[]"|'))


def test_what_no_name_can_say_is_not_written_either() -> None:
    for device, options in (("", {}), ("tap\n", {}), ("tap0", {"a b": "1"}), ("tap0", {"a": "\0"})):
        with pytest.raises(BadNameError):
            format_name(device, options)
