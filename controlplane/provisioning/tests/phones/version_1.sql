-- A database as its first version has written it, with one phone and its pin.
CREATE TABLE phone (
    device TEXT PRIMARY KEY,
    admission TEXT NOT NULL,
    class TEXT NOT NULL,
    provisioned TEXT NOT NULL,
    active_ms INTEGER NOT NULL,
    held_generation INTEGER,
    held_ms INTEGER,
    next_moment INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE pin (
    device TEXT NOT NULL,
    place INTEGER NOT NULL,
    serial BLOB NOT NULL,
    issuer TEXT NOT NULL,
    sha256 BLOB,
    origin TEXT NOT NULL,
    PRIMARY KEY (device, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE fetch (
    device TEXT NOT NULL,
    place INTEGER NOT NULL,
    source TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (device, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE password (
    device TEXT PRIMARY KEY,
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    attempts_left INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE moment (
    device TEXT NOT NULL,
    slot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    moment TEXT NOT NULL,
    PRIMARY KEY (device, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE enrolment (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    opened_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    devices_left INTEGER NOT NULL
) STRICT;
PRAGMA application_id = 1346921570;
PRAGMA user_version = 1;
INSERT INTO phone VALUES ('SEP0010DB000001', 'allowed', 'encrypted', 'seen', 1700000000000, NULL, NULL, 0);
INSERT INTO pin VALUES ('SEP0010DB000001', 0, x'01', 'CN=Manufacturing CA', x'0101010101010101010101010101010101010101010101010101010101010101', 'first_use');
