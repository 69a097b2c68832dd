"""Bencode (BEP 3): integers, byte strings, lists, and dictionaries with sorted keys."""


class Broken(ValueError):
    """The bytes are no bencoded value."""


def encode(value) -> bytes:
    """A value as bytes. Text is sent as UTF-8."""
    match value:
        case bool():
            raise TypeError("bencode has no truth values")
        case int():
            return b"i%de" % value
        case str():
            return encode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case list() | tuple():
            return b"l" + b"".join(map(encode, value)) + b"e"
        case dict():
            entries = sorted((key.encode() if isinstance(key, str) else key, entry) for key, entry in value.items())
            return b"d" + b"".join(encode(key) + encode(entry) for key, entry in entries) + b"e"
    raise TypeError(f"bencode has nothing for {type(value).__name__}")


def decode(data: bytes):
    """The one value that `data` holds: int, bytes, list, or dict with text as keys."""
    try:
        value, end = _value(data, 0)
    except (AttributeError, ValueError, RecursionError) as error:
        raise Broken(f"no bencoded value: {data[:40]!r}") from error
    if end != len(data):
        raise Broken(f"{len(data) - end} bytes after the value")
    return value


def _value(data, at):
    kind = data[at:at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1:end]), end + 1
    if kind == b"l":
        return _items(data, at + 1)
    if kind == b"d":
        items, end = _items(data, at + 1)
        if len(items) % 2:
            raise Broken("a key without a value")
        return {key.decode(): value for key, value in zip(items[::2], items[1::2])}, end
    colon = data.index(b":", at)
    if not data[at:colon].isdigit():
        raise Broken(f"a string without a length at byte {at}")
    start, end = colon + 1, colon + 1 + int(data[at:colon])
    if end > len(data):
        raise Broken("a string that is cut short")
    return data[start:end], end


def _items(data, at):
    items = []
    while data[at:at + 1] != b"e":
        item, at = _value(data, at)
        items.append(item)
    return items, at + 1
