"""The parsers against a second opinion: a regular expression or a few lines of
Python that say the same, over whatever hypothesis comes up with."""

import re
import urllib.parse

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.driver import Driver

settings.register_profile("steady", max_examples=400, deadline=None, derandomize=True, database=None,
                          suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.load_profile("steady")


@pytest.fixture(scope="module")
def driver():
    driver = Driver()
    yield driver
    driver.process.stdin.close()
    assert driver.process.wait(10) == 0


def near(alphabet, size=40):
    """Bytes that are often almost right."""
    return st.one_of(st.binary(max_size=size),
                     st.lists(st.sampled_from(alphabet), max_size=size).map(b"".join))


def pieces(text):
    return [piece.encode() for piece in text.split(" ")]


COMPONENT = rb"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY = re.compile(COMPONENT + rb"(?:/" + COMPONENT + rb")*")


@given(near(pieces("a b9 . _ __ - -- / a/b // A") + [b"\0"]))
def test_repository(driver, text):
    assert driver.accepts("repository", text) == bool(REPOSITORY.fullmatch(text) and len(text) <= 255)


@given(st.integers(240, 270), st.sampled_from([b"a", b"a/", b"a_"]))
def test_length_of_a_repository(driver, length, piece):
    text = (piece * length)[:length]
    assert driver.accepts("repository", text) == bool(REPOSITORY.fullmatch(text) and len(text) <= 255)


@given(near(pieces("a Z 0 . _ - / : @ é") + [b"\0", b"t" * 100]))
def test_tag(driver, text):
    assert driver.accepts("tag", text) == bool(re.fullmatch(rb"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", text))


HEX = "0123456789abcdef"


@given(st.one_of(
    near(pieces("sha256: sha512: " + "0" * 64 + " " + "f" * 63 + " A g :"), 4),
    st.builds(lambda name, digits: f"{name}:{digits}".encode(), st.sampled_from(["sha256", "sha512"]),
              st.text(HEX, min_size=62, max_size=130))))
def test_digest(driver, text):
    right = re.fullmatch(rb"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", text)
    answer = driver("digest", text)
    assert (answer[0] == "yes") == bool(right)
    if right:
        assert answer[1] == text


@given(near(pieces("a B -b . : 5000 127.0.0.1 xn--x localhost [::1] /") + [b"\0", b"l" * 60]))
def test_host(driver, text):
    """A host that passes is a key: lower case, bounded, of harmless characters, and stable."""
    answer = driver("host", text)
    if answer[0] == "yes":
        host = answer[1]
        assert host == text.lower() and len(host) <= 253
        assert re.fullmatch(rb"[a-z0-9.-]+(:[0-9]{1,5})?", host)
        assert b".." not in host and not host.startswith((b".", b"-"))
        assert driver("host", host) == ["yes", host]
    elif re.fullmatch(rb"[a-z]{1,20}(\.[a-z]{1,20}){0,3}(:[1-9][0-9]{0,3})?", text):
        raise AssertionError(f"{text!r} is a host")


SIZES = st.one_of(st.integers(0, 20), st.integers(0, 2**63))
NUMBERS = st.one_of(st.integers(0, 30), st.integers(0, 2**70)).map(str)


@given(st.one_of(st.builds("bytes={}-{}".format, NUMBERS, st.one_of(st.just(""), NUMBERS)),
                 st.builds("bytes=-{}".format, NUMBERS),
                 st.lists(st.sampled_from("bytes= - 0 5 , a".split(" ")), max_size=6).map("".join)), SIZES)
def test_range(driver, value, size):
    """RFC 9110, 14.1.2, for one range; everything else means the whole."""
    answer = driver("range", value.encode(), str(size).encode())
    found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", value)
    if answer[0] == "part":
        first, length = int(answer[1]), int(answer[2])
        assert length >= 1 and first + length <= size
        assert found, value
    if not found or found[1] == found[2] == "":
        assert answer[0] == "whole"
        return
    if max(map(int, filter(None, found.groups()))) >= 2**64 or max(map(len, found.groups())) > 20:
        return   # beyond what can be counted: any answer that is not wrong
    if found[1] == "":
        last = int(found[2])
        expected = (["part", str(size - min(last, size)), str(min(last, size))] if last and size
                    else ["unsatisfiable"])
    elif found[2] and int(found[2]) < int(found[1]):
        expected = ["unsatisfiable"]   # the registries' conformance suite asks for it
    elif int(found[1]) >= size:
        expected = ["unsatisfiable"]
    else:
        end = min(int(found[2]) + 1 if found[2] else size, size)
        expected = ["part", found[1].lstrip("0") or "0", str(end - int(found[1]))]
    if size == 0 and answer[0] == "whole":
        return   # nothing to take a part of
    assert answer == expected


TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=12)
QUOTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7e), max_size=60)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(QUOTABLE.filter(bool), QUOTABLE, QUOTABLE, st.permutations(["realm", "service", "scope", "other"]),
       st.sampled_from([",", ", ", " ,  ", ",,"]), st.sampled_from(["Bearer", "bearer", "BEARER"]))
def test_challenge_that_is_right(driver, realm, service, scope, order, comma, scheme):
    values = {"realm": realm, "service": service, "scope": scope, "other": "x"}
    text = f"{scheme} " + comma.join(f"{name}={quoted(values[name])}" for name in order)
    assert driver("challenge", text.encode()) == [
        "yes", "2", realm.encode(), service.encode(), scope.encode()]


@given(near(pieces('Bearer Basic Digest realm = " , service \\ a/b http://x abc==') + [b" ", b"\0"], 60))
def test_challenge_that_may_be_anything(driver, text):
    """It ends, it reads nothing behind its end (ASan looks), and what it yields was there."""
    answer = driver("challenge", text)
    if answer[0] == "yes":
        for value in answer[2:]:
            assert len(value) < 1024
            assert all(byte in text for byte in value)


UNITS = {"": 1, "B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20,
         "GiB": 2**30, "TiB": 2**40}


@given(st.integers(0, 2**66), st.sampled_from([*UNITS, "kib", "K", "M", "mb", " MiB", "B ", "EiB"]))
def test_size(driver, number, unit):
    answer = driver("size", f"{number}{unit}".encode())
    value = number * UNITS[unit] if unit in UNITS else None
    assert answer == (["yes", str(value)] if value is not None and value < 2**64 else ["no"])


MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(list(MS))), min_size=1, max_size=5))
def test_duration(driver, parts):
    text = "".join(f"{number}{unit}" for number, unit in parts)
    order = [list(MS).index(unit) for _, unit in parts]
    right = order == sorted(set(order))
    expected = ["yes", str(sum(number * MS[unit] for number, unit in parts))] if right else ["no"]
    assert driver("duration", text.encode()) == expected


@given(near(pieces("1 20 d h m s ms - + . 0x") + [b" "], 8))
def test_duration_that_may_be_anything(driver, text):
    assume(b"\0" not in text)
    if driver.accepts("duration", text):
        assert text == b"0" or re.fullmatch(rb"([0-9]+(d|h|ms|m|s))+", text)


@given(st.integers(0, 2**50))
def test_duration_there_and_back(driver, ms):
    text = driver("format-duration", str(ms).encode())[1]
    assert driver("duration", text) == ["yes", str(ms)]


def matches(pattern, text):
    expression = "".join(
        {"**": ".*", "*": "[^/]*"}.get(piece, re.escape(piece))
        for piece in re.findall(r"\*\*|\*|[^*]+", pattern))
    return re.fullmatch(expression, text, re.DOTALL) is not None


GLOB = st.lists(st.sampled_from(["*", "**", "/", "a", "b", "ab", "."]), max_size=8).map("".join)
PATHS = st.lists(st.sampled_from(["/", "a", "b", "ab", ".", "c"]), max_size=10).map("".join)


@given(GLOB, PATHS)
def test_glob(driver, pattern, text):
    assume("***" not in pattern)
    assert driver.accepts("glob", pattern.encode(), text.encode()) == matches(pattern, text)


@settings(max_examples=30)
@given(st.integers(10, 500), st.integers(10, 500))
def test_glob_is_never_slow(driver, stars, length):
    """A pattern over which a backtracking matcher thinks for years."""
    assert not driver.accepts("glob", (b"*a" * stars)[:500] + b"b", b"a" * length)


@given(near(pieces("application / vnd.oci json + ; charset=utf-8 A") + [b" ", b"\t"], 12))
def test_media_type(driver, text):
    assume(b"\0" not in text)
    answer = driver("media-type", text)
    if answer[0] == "yes":
        assert re.fullmatch(rb"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", answer[1])
        assert text.lower().lstrip(b" \t").startswith(answer[1])


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2**60, 2**60), st.text(max_size=8),
              st.sampled_from(["sha256:" + "0" * 64, "application/vnd.oci.image.manifest.v1+json", 2])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size",
                         "subject", "artifactType", "urls"]), inner, max_size=6)), max_leaves=20)


@given(JSON)
def test_manifest_that_may_be_anything(driver, document):
    import json
    answer = driver("manifest", json.dumps(document).encode())
    if answer[0] == "yes":
        assert isinstance(document, dict)
        assert not ({"layers", "config"} & document.keys() and "manifests" in document), "two things at once"


@given(st.binary(max_size=200))
def test_manifest_of_bytes(driver, text):
    driver("manifest", text)


BASES = ["https://a.test/v2/x", "http://a.test:5000/v2/x?y=z", "https://a.test"]


@given(st.sampled_from(BASES),
       st.lists(st.sampled_from(["/", "//", "a", "..", ".", "?", "#", "https:", "http:", "HTTPS://", "b.test",
                                 ":443", "@", "\\", "file:", " ", "%2f", "[::1]", "\t"]), max_size=7).map("".join))
def test_where_a_redirect_leads(driver, base, location):
    """Always to http(s), never down from https, never with user information."""
    answer = driver("resolve", base.encode(), location.encode())
    if answer[0] != "yes":
        return
    url = answer[1].decode()
    parsed = urllib.parse.urlsplit(url)
    assert parsed.scheme in ("http", "https") and parsed.hostname
    assert not (base.startswith("https:") and parsed.scheme == "http")
    assert not any(character in url for character in " \t\r\n")


@given(st.sampled_from(["http", "https", "HTTPS", "ftp", ""]), st.sampled_from(["a.test", "A.TEST", "127.0.0.1"]),
       st.one_of(st.none(), st.integers(0, 70000)), st.sampled_from(["", "/", "/x?y#z"]),
       st.sampled_from(["", "user@", "user:secret@"]))
def test_origin(driver, scheme, host, port, path, user):
    text = f"{scheme}://{user}{host}" + ("" if port is None else f":{port}") + path
    answer = driver("origin", text.encode())
    right = scheme.lower() in ("http", "https") and not user and (port is None or 0 < port < 65536)
    if not right:
        assert answer == ["no"] or port == 0
        return
    number = port or (443 if scheme.lower() == "https" else 80)
    assert answer == ["yes", f"{scheme.lower()}://{host.lower()}:{number}".encode()]
