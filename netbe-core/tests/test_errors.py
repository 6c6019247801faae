# SPDX-License-Identifier: BSD-2-Clause
"""Errors: the errno of a C caller, the class of a Python caller, and what to do next."""

import copy
import errno
import pickle
import resource
from collections.abc import Iterator
from typing import Any

import pytest

import netbe
from netbe import errors
from netbe.errors import NetbeError, from_errno, translated

TABLE: dict[type[NetbeError], tuple[int, type[Exception] | None]] = {
    netbe.BackendFull: (errno.EAGAIN, BlockingIOError),
    netbe.FrameTooLong: (errno.EMSGSIZE, None),
    netbe.FrameSizeError: (errno.EMSGSIZE, ValueError),
    netbe.BadHeaderError: (errno.EINVAL, ValueError),
    netbe.BadNameError: (errno.EINVAL, ValueError),
    netbe.NameTooLongError: (errno.ENAMETOOLONG, ValueError),
    netbe.UnknownPrefixError: (errno.EINVAL, LookupError),
    netbe.OptionError: (errno.EINVAL, ValueError),
    netbe.PluginError: (errno.ELIBBAD, None),
    netbe.PluginConflictError: (errno.EEXIST, netbe.PluginError),
    netbe.PluginLevelError: (errno.ENOTSUP, netbe.PluginError),
    netbe.NotSupportedError: (errno.EOPNOTSUPP, None),
    netbe.NoNativePort: (errno.EOPNOTSUPP, netbe.NotSupportedError),
    netbe.BackendBusy: (errno.EBUSY, None),
    netbe.BackendClosed: (errno.EBADF, ValueError),
    netbe.BackendGone: (errno.ENODEV, ConnectionError),
    netbe.LinkDownError: (errno.ENETDOWN, None),
    netbe.ForkedError: (errno.EBADF, None),
    netbe.NetbePermissionError: (errno.EPERM, PermissionError),
    netbe.DeviceNotFoundError: (errno.ENOENT, FileNotFoundError),
    netbe.NetbeTimeoutError: (errno.ETIMEDOUT, TimeoutError),
}
every_error = pytest.mark.parametrize("kind", TABLE, ids=lambda kind: kind.__name__)


def make(kind: type[NetbeError], **more: object) -> NetbeError:
    if kind is netbe.FrameTooLong:
        more["needed"] = 1514
    return kind("tap0 is not well", hint="look at it", **more)  # type: ignore[arg-type]


def classes(kind: type[NetbeError]) -> Iterator[type[NetbeError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from classes(sub)


def through_pickle(error: NetbeError, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own


def test_the_table_is_complete() -> None:
    assert {one for one in classes(NetbeError) if one.__module__ == errors.__name__} == set(TABLE)


# The contract: errors are `OSError`s with the errno that a C caller would expect.
@every_error
def test_each_is_an_oserror_with_the_errno_of_its_situation(kind: type[NetbeError]) -> None:
    error = make(kind)
    assert isinstance(error, OSError)
    assert error.errno == TABLE[kind][0]
    assert make(kind, errno=errno.EACCES).errno == errno.EACCES


# The contract: a class that stands for one of Python's own inherits from it too.
@every_error
def test_each_is_caught_as_pythons_own_class_for_it(kind: type[NetbeError]) -> None:
    base = TABLE[kind][1] or OSError
    with pytest.raises(base):
        raise make(kind)


# The contract: each error says what to do next.
@every_error
def test_each_says_what_happened_and_what_to_do(kind: type[NetbeError]) -> None:
    error = make(kind)
    assert str(error) == error.strerror == "tap0 is not well: look at it"
    assert error.hint == "look at it"
    assert kind.__doc__


@every_error
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_each_comes_whole_out_of_a_pickle(kind: type[NetbeError], protocol: int) -> None:
    error = make(kind, errno=errno.EXDEV)
    for again in (through_pickle(error, protocol), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert (again.errno, str(again), again.hint) == (errno.EXDEV, str(error), error.hint)
        assert vars(again) == vars(error)


def test_too_little_room_tells_what_is_needed() -> None:
    error = netbe.FrameTooLong("too long", needed=1514)
    assert error.needed == through_pickle(error, 4).needed == 1514


BY_ERRNO = {
    errno.EAGAIN: netbe.BackendFull,
    errno.ENOBUFS: netbe.BackendFull,
    errno.EINVAL: netbe.BadHeaderError,
    errno.EMSGSIZE: netbe.FrameSizeError,
    errno.EPERM: netbe.NetbePermissionError,
    errno.EACCES: netbe.NetbePermissionError,
    errno.EBUSY: netbe.BackendBusy,
    errno.EBADF: netbe.BackendClosed,
    errno.ENODEV: netbe.BackendGone,
    errno.EBADFD: netbe.BackendGone,
    errno.EPIPE: netbe.BackendGone,
    errno.ECONNRESET: netbe.BackendGone,
    errno.ENXIO: netbe.BackendGone,
    errno.EIO: netbe.LinkDownError,
    errno.ENETDOWN: netbe.LinkDownError,
    errno.ENOENT: netbe.DeviceNotFoundError,
    errno.EOPNOTSUPP: netbe.NotSupportedError,
    errno.ETIMEDOUT: netbe.NetbeTimeoutError,
    errno.EXDEV: NetbeError,
    9999: NetbeError,
}


@pytest.mark.parametrize(("number", "kind"), BY_ERRNO.items())
def test_an_errno_of_a_device_becomes_its_class_and_names_the_backend(
    number: int, kind: type[NetbeError]
) -> None:
    error = from_errno(number, "tap7")
    assert type(error) is kind
    assert error.errno == number
    assert str(error).startswith("tap7: ")


def test_a_plain_oserror_is_translated_and_stays_the_cause() -> None:
    plain = OSError(errno.ENODEV, "No such device")
    with pytest.raises(netbe.BackendGone) as caught, translated("tap7"):
        raise plain
    assert caught.value.__cause__ is plain


def test_an_oserror_without_errno_is_an_input_output_error() -> None:
    with pytest.raises(netbe.LinkDownError) as caught, translated("tap7"):
        raise OSError("what was it?")
    assert caught.value.errno == errno.EIO


def test_netbes_own_and_other_errors_pass_untranslated() -> None:
    own = netbe.BackendFull("full")
    with pytest.raises(netbe.BackendFull) as caught, translated("tap7"):
        raise own
    assert caught.value is own
    with pytest.raises(ZeroDivisionError), translated("tap7"):
        raise ZeroDivisionError


def test_no_descriptors_left_is_not_taken_for_no_memory() -> None:
    make_pair = netbe.make_pair  # imported while there are some
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        with pytest.raises(netbe.NetbeError, match="ulimit") as caught:
            make_pair()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert caught.value.errno == errno.EMFILE
