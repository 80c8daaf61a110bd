"""Names of colour profiles, of both versions of the format."""

import struct

import pytest

from tilescope.io.icc import profile_name


def profile(tag):
    table = struct.pack(">I4sII4sII", 2, b"wtpt", 0, 0, b"desc", 156, len(tag))
    return bytes(128) + table + tag


def version_2(name):
    return b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + b"\0"


def version_4(name):
    text = name.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text


@pytest.mark.parametrize("tag", [version_2("sRGB v2"), version_4("sRGB v2")])
def test_the_description_is_the_name(tag):
    assert profile_name(profile(tag)) == "sRGB v2"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"profile " * 20,
        profile(b""),
        profile(version_4("x"))[:-1],
        profile(version_2("")),
        bytes(128) + b"\xff" * 200,
    ],
)
def test_what_has_no_name(data):
    assert profile_name(data) is None


def test_a_name_is_one_short_line():
    name = profile_name(profile(version_2("a\nb\x1b[31m" + "c" * 500)))
    assert name == "ab[31m" + "c" * 92
