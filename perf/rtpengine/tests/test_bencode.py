import pytest

from beside import bencode


def test_values_are_written_as_the_specification_shows_them():
    assert bencode.encode({"spam": ["a", b"b", 3], "cow": -42}) == b"d3:cowi-42e4:spaml1:a1:bi3eee"
    assert bencode.encode("") == b"0:" and bencode.encode([]) == b"le" and bencode.encode({}) == b"de"


def test_what_is_written_is_read():
    value = {"command": b"offer", "flags": [b"trust-address", [1, -2, {}]], "sdp": bytes(range(256)), "": 0}
    assert bencode.decode(bencode.encode(value)) == value


@pytest.mark.parametrize("data", [
    b"", b"i1", b"ie", b"ixe", b"3:ab", b"-1:", b"x", b"l", b"d1:a", b"d1:ae", b"i1ei2e", b"l" * 5000, b"5", b"dle1:ae",
])
def test_broken_bytes_are_refused(data):
    with pytest.raises(bencode.Broken):
        bencode.decode(data)


@pytest.mark.parametrize("value", [None, True, 1.5, {"a": {1, 2}}])
def test_what_bencode_has_no_form_for_is_refused(value):
    with pytest.raises(TypeError):
        bencode.encode(value)
