use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layout.txt");

/// The layout as text: a change shows in review as a change of `tests/layout.txt`.
fn described() -> String {
    let mut text = String::new();
    let _ = writeln!(text, "abi {ABI_VERSION}\nhash {LAYOUT_HASH:016x}");
    for (name, size, fields) in DESCRIBED {
        let _ = writeln!(text, "\n{name}: {size}");
        for (field, offset, size) in *fields {
            let _ = writeln!(text, "{offset:6} {size:5} {field}");
        }
    }
    let _ = writeln!(text, "\nconstants, and offsets for 1000 sessions and 2 workers");
    for (name, value) in NUMBERS {
        let _ = writeln!(text, "{value:8} {name}");
    }
    text
}

#[test]
fn layout_is_the_one_on_record() {
    if std::env::var_os("PINHOLE_BLESS").is_some() {
        std::fs::write(GOLDEN, described()).unwrap();
    }
    let recorded = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    assert!(
        recorded == described(),
        "the shared layout differs from tests/layout.txt. If that is meant, raise ABI_VERSION when the meaning \
         of a field changes, and record the layout with PINHOLE_BLESS=1. It is now:\n{}",
        described()
    );
}

#[test]
fn types_have_no_hole_at_their_ends() {
    for (name, size, fields) in DESCRIBED {
        let (_, offset, length) = fields.last().copied().unwrap();
        assert_eq!(*size, offset + length, "{name}");
    }
}

proptest! {
    #[test]
    fn parts_of_the_region_do_not_overlap(max_sessions in 1_u32..100_000, workers in 1_u32..=16) {
        let layout = Layout::new(max_sessions, workers);
        let workers = workers as usize;
        let rings = MAX_SHARDS * workers;
        let worker = [
            (0, size_of::<Header>()),
            (layout.command_heads, rings * LINE),
            (layout.event_tails, rings * LINE),
            (layout.event_entries, rings * Layout::EVENT_RING),
            (layout.stats(0), workers * size_of::<WorkerStats>()),
            (layout.slot(0), max_sessions as usize * size_of::<SessionSlot>()),
            (layout.worker_bytes, 0),
        ];
        let control = [
            (layout.event_heads, rings * LINE),
            (layout.command_tails, rings * LINE),
            (layout.command_entries, rings * Layout::COMMAND_RING),
            (layout.note(0, 0), max_sessions as usize * NOTE_COPIES * size_of::<Note>()),
            (layout.control_bytes, 0),
        ];
        for parts in [&worker[..], &control[..]] {
            for pair in parts.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
            }
        }
        prop_assert_eq!(layout.slot(0) % align_of::<SessionSlot>(), 0);
        prop_assert_eq!(layout.stats(0) % align_of::<WorkerStats>(), 0);
    }
}
