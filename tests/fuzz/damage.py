"""Damage to files, and checks of reading damaged files."""

import contextlib
import copy
import json
import re
import resource
import signal

import hypothesis
import hypothesis.strategies as st
import pytest

# Seconds after which reading a file of a few kB counts as hanging.
PATIENCE = 30
# Largest growth of the process's memory after reading thousands of files.
MOST_MEMORY = 400 * 2**20

# Values that readers are least prepared for.
PIECES = (
    *(b"\0", b"\0\0\0\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80"),
    *(b"\n", b"\r", b"\r\n", b"\t", b",", b'"', b"'", b"\\", b"\\ud800", b"\\u0000"),
    *(b"{", b"}", b"[", b"]", b"[" * 5000, b'{"a":' * 5000, b":", b"null", b"true"),
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 400, b"9" * 5000, b"999999999999"),
    *(b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"../evil", b"/evil"),
)

ODD_TEXTS = st.sampled_from(
    [
        *("", " ", "\0", "\ud800", "\ufeff", "\u2028", "a\nb", "\x1b[2J", "x" * 300),
        *("../evil", "/etc/passwd", "1e999", "-1", "nan", "ﬁ", "İ", "e\u0301"),
    ]
)
ODD_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, -(2**63) - 1, 10**12, 10**400]),
    st.floats(),
    ODD_TEXTS,
    st.lists(ODD_TEXTS, max_size=3),
    st.sampled_from([[], {}, [[]], [{}], {"": None}, {"start": 10**9}, [10**12]]),
    st.integers(1, 4000).map("nested {}".format),  # See `as_json`.
)

SIZES = pytest.mark.parametrize(
    "thousands", [False, pytest.param(True, marks=pytest.mark.slow)]
)


@st.composite
def damaged(draw, content):
    """The bytes of a file after one to three random damages."""
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        first = draw(st.integers(0, len(content)))
        last = min(len(content), first + draw(st.integers(0, 40)))
        match draw(st.integers(0, 6)):
            case 0 | 1 if first < len(content):
                flipped = bytes([content[first] ^ 1 << draw(st.integers(0, 7))])
                content = content[:first] + flipped + content[first + 1 :]
            case 2:
                content = content[:first]
            case 3:
                content = content[:first] + content[last:]
            case 4:
                content = content[:last] + content[first:]
            case 5:
                piece = draw(st.sampled_from(PIECES))
                content = content[:first] + piece + content[first:]
            case _:
                piece = draw(st.sampled_from(PIECES) | st.binary(max_size=9))
                content = content[:first] + piece + content[first + len(piece) :]
    return content


def files_like(*contents):
    """Damaged copies of these contents, and sometimes any bytes at all."""
    likely = [damaged(content) for content in contents]
    return st.one_of(*likely, *likely, st.binary(max_size=300))


@st.composite
def changed(draw, value):
    """A JSON value in which one to three nested values are odd, missing or new."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        spots = list(_spots(value))
        if not spots:
            break
        holder, key = draw(st.sampled_from(spots))
        match draw(st.integers(0, 9)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw(ODD_TEXTS)] = holder.pop(key)
            case 2:
                _, other = draw(st.sampled_from(spots))
                with contextlib.suppress(KeyError, IndexError, TypeError):
                    holder[key] = copy.deepcopy(holder[other])
            case _:
                holder[key] = copy.deepcopy(draw(ODD_VALUES))
    return value


def _spots(value):
    """Every (container, key) within a JSON value."""
    keys = range(len(value)) if isinstance(value, list) else list(value)
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _spots(value[key])


def as_json(value):
    """A value as JSON, `"nested 3"` as `[[[]]]`."""

    def nested(match):
        return "[" * int(match[1]) + "]" * int(match[1])

    return re.sub(r'"nested (\d+)"', nested, json.dumps(value))


class HangsError(BaseException):
    """Raised if a call takes so long that it may never end."""


def inputs(number, thousands=False, times=15, **strategies):
    """Runs a check on `number` inputs, or on `times` as many if `thousands` is set.

    The few inputs are the same in each run, the many are different.
    """
    settings = hypothesis.settings(
        max_examples=number * times if thousands else number,
        deadline=None,
        derandomize=not thousands,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def run(check):
        before = _most_memory()
        settings(hypothesis.given(**strategies)(check))()
        assert _most_memory() - before < MOST_MEMORY

    return run


def _most_memory():
    """Peak memory of the process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10


@contextlib.contextmanager
def in_time():
    """Interrupts a block that hangs."""

    def interrupt(*_):
        raise HangsError(f"it has not ended after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_or_refused(read, path):
    """The result of reading; None after a one-sentence error that names the file."""
    with in_time():
        content, message = refusal(read, path)
    if message is not None:
        assert path.name in message
        assert "\n" not in message
    return content


def refusal(call, *args):
    """The result of a call and None, or None and the message of its `ValueError`."""
    try:
        return call(*args), None
    except ValueError as error:
        return None, str(error)
