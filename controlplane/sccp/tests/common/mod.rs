//! Frames written by hand from the fact sheet (sccp 2.6), sharing nothing with the crate's own tables.
#![allow(dead_code, clippy::unwrap_used)]

pub mod touch;

use std::ops::Range;

use pinhole_sccp::{Frame, Limits};

/// The bytes of a frame.
pub fn bytes(id: u32, version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len() + 4).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A frame.
pub fn frame(id: u32, version: u32, body: &[u8]) -> Frame {
    Frame::parse(&bytes(id, version, body), &Limits::default()).unwrap()
}

/// A body of that length with no two words alike, the high bytes of each word zero so that it passes for a port.
pub fn body(length: usize) -> Vec<u8> {
    let words = (0..=length / 4).flat_map(|word| (0x1000 + word as u32).to_le_bytes());
    words.take(length).collect()
}

/// The word at an offset of such a body.
pub fn word_at(at: usize) -> u32 {
    assert_eq!(at % 4, 0);
    0x1000 + (at / 4) as u32
}

/// A body of zeros with these words set.
pub fn words(length: usize, set: &[(usize, u32)]) -> Vec<u8> {
    let mut body = vec![0; length];
    for (at, value) in set {
        body[*at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    body
}

/// Puts bytes into a body.
pub fn put(body: &mut [u8], at: usize, value: &[u8]) {
    body[at..at + value.len()].copy_from_slice(value);
}

/// A row of the table of sccp 2.6.3: message, generation (true: protocol 17 and later), length that is usual, and places:
/// name, offset.
pub struct Row {
    pub id: u32,
    pub typed: bool,
    pub length: usize,
    pub fields: &'static [(&'static str, usize)],
}

/// Bytes of a field of a [`Row`].
pub fn field_len(name: &str, typed: bool) -> usize {
    match name {
        "address" if typed => 20,
        "encryption" => 48,
        _ => 4,
    }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { id: 0x8A, typed: false, length: 116, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 12), ("ms", 16), ("codec", 20), ("call", 40), ("encryption", 44), ("event", 100)] },
    Row { id: 0x8A, typed: true, length: 132, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 28), ("ms", 32), ("codec", 36), ("call", 56), ("encryption", 60), ("event", 116)] },
    Row { id: 0x105, typed: false, length: 116, fields: &[("conference", 0), ("party", 4), ("ms", 8), ("codec", 12), ("call", 24), ("encryption", 28), ("event", 84), ("address", 100), ("port", 104), ("family", 108)] },
    Row { id: 0x105, typed: true, length: 132, fields: &[("conference", 0), ("party", 4), ("ms", 8), ("codec", 12), ("call", 24), ("encryption", 28), ("event", 84), ("address", 100), ("port", 120), ("family", 124)] },
    Row { id: 0x22, typed: false, length: 20, fields: &[("status", 0), ("address", 4), ("port", 8), ("party", 12), ("call", 16)] },
    Row { id: 0x22, typed: true, length: 36, fields: &[("status", 0), ("address", 4), ("port", 24), ("party", 28), ("call", 32)] },
    Row { id: 0x31, typed: false, length: 20, fields: &[("status", 0), ("address", 4), ("port", 8), ("party", 12), ("call", 16)] },
    Row { id: 0x31, typed: true, length: 36, fields: &[("status", 0), ("address", 4), ("port", 24), ("party", 28), ("call", 32)] },
    Row { id: 0x154, typed: false, length: 24, fields: &[("conference", 0), ("party", 4), ("call", 8), ("address", 12), ("port", 16), ("status", 20)] },
    Row { id: 0x154, typed: true, length: 40, fields: &[("conference", 0), ("party", 4), ("call", 8), ("address", 12), ("port", 32), ("status", 36)] },
    Row { id: 0x155, typed: false, length: 24, fields: &[("conference", 0), ("party", 4), ("call", 8), ("address", 12), ("port", 16), ("status", 20)] },
    Row { id: 0x155, typed: true, length: 40, fields: &[("conference", 0), ("party", 4), ("call", 8), ("address", 12), ("port", 32), ("status", 36)] },
    Row { id: 0x2A, typed: false, length: 20, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 12), ("call", 16)] },
    Row { id: 0x2A, typed: true, length: 36, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 28), ("call", 32)] },
    Row { id: 0x45, typed: false, length: 24, fields: &[("conference", 0), ("call", 4), ("party", 8), ("address", 12), ("port", 16), ("rtcp", 20)] },
    Row { id: 0x45, typed: true, length: 44, fields: &[("conference", 0), ("call", 4), ("party", 8), ("address", 12), ("port", 32), ("rtcp", 36), ("media", 40)] },
    Row { id: 0x101, typed: false, length: 36, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 12), ("ms", 16), ("codec", 20), ("call", 32)] },
    Row { id: 0x101, typed: true, length: 52, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 28), ("ms", 32), ("codec", 36), ("call", 48)] },
    Row { id: 0x102, typed: false, length: 44, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 12)] },
    Row { id: 0x102, typed: true, length: 60, fields: &[("conference", 0), ("party", 4), ("address", 8), ("port", 28)] },
    Row { id: 0x95, typed: false, length: 8, fields: &[("address", 0)] },
    Row { id: 0x95, typed: true, length: 24, fields: &[("address", 0)] },
    Row { id: 0x96, typed: false, length: 8, fields: &[("address", 0)] },
    Row { id: 0x96, typed: true, length: 24, fields: &[("address", 0)] },
    Row { id: 0x131, typed: false, length: 172, fields: &[("conference", 0), ("party", 4), ("codec", 8), ("call", 16), ("encryption", 108), ("address", 164), ("port", 168)] },
    Row { id: 0x131, typed: true, length: 192, fields: &[("conference", 0), ("party", 4), ("codec", 8), ("call", 16), ("encryption", 108), ("address", 164), ("port", 184), ("family", 188)] },
    Row { id: 0x132, typed: false, length: 168, fields: &[("conference", 0), ("party", 4), ("codec", 8), ("address", 12), ("port", 16), ("call", 20), ("encryption", 112)] },
    Row { id: 0x132, typed: true, length: 184, fields: &[("conference", 0), ("party", 4), ("codec", 8), ("address", 12), ("port", 32), ("call", 36), ("encryption", 128)] },
    Row { id: 0x8B, typed: false, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x8B, typed: true, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x106, typed: false, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x106, typed: true, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x133, typed: false, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x133, typed: true, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x136, typed: false, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x136, typed: true, length: 16, fields: &[("conference", 0), ("party", 4), ("call", 8), ("handling", 12)] },
    Row { id: 0x14B, typed: false, length: 24, fields: &[("conference", 0), ("call", 4), ("party", 8), ("family", 16), ("media", 20)] },
    Row { id: 0x14B, typed: true, length: 24, fields: &[("conference", 0), ("call", 4), ("party", 8), ("family", 16), ("media", 20)] },
    Row { id: 0x14C, typed: false, length: 16, fields: &[("conference", 0), ("call", 4), ("party", 8), ("media", 12)] },
    Row { id: 0x14C, typed: true, length: 16, fields: &[("conference", 0), ("call", 4), ("party", 8), ("media", 12)] },
    Row { id: 0x103, typed: false, length: 12, fields: &[("conference", 0), ("party", 4), ("call", 8)] },
    Row { id: 0x103, typed: true, length: 12, fields: &[("conference", 0), ("party", 4), ("call", 8)] },
    Row { id: 0x104, typed: false, length: 12, fields: &[("conference", 0), ("party", 4), ("call", 8)] },
    Row { id: 0x104, typed: true, length: 12, fields: &[("conference", 0), ("party", 4), ("call", 8)] },
    Row { id: 0x02, typed: false, length: 4, fields: &[("port", 0)] },
    Row { id: 0x02, typed: true, length: 4, fields: &[("port", 0)] },
];

/// Where a field may be in a body, in any generation that the version could stand for.
pub fn places(id: u32, version: u32, field: &str) -> Vec<Range<usize>> {
    let rows = ROWS.iter().filter(|row| row.id == id && (version >= 16 || !row.typed));
    rows.flat_map(|row| row.fields.iter().map(|(name, at)| (*name, *at, row.typed)))
        .filter(|(name, ..)| match field {
            "endpoint" => matches!(*name, "address" | "port"),
            "inserted encryption" => *name == "encryption",
            field => *name == field,
        })
        .map(|(name, at, typed)| at..at + field_len(name, typed))
        .chain(others(field).iter().map(|(at, length)| *at..at + length))
        .collect()
}

/// Offset and length of fields of messages that are not about media.
fn others(field: &str) -> &'static [(usize, usize)] {
    match field {
        "station address" => &[(24, 4), (72, 16), (32, 16)],
        "ipv4" => &[(24, 4)],
        "ipv6" => &[(72, 16), (32, 16)],
        "features" => &[(41, 3)],
        "max streams" => &[(32, 4)],
        "server 0" => &[(0, 48), (240, 4), (260, 20)],
        "server 4" => &[(192, 48), (256, 4), (276, 4), (340, 20)],
        "security" => &[(376, 4), (24, 4)],
        "alarm address" => &[(88, 4)],
        _ => &[],
    }
}
