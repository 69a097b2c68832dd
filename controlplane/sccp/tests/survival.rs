//! Frames that are cut off or lengthened, of every message in every version: a change touches its field and nothing else.

mod common;

use common::touch::change;
use common::{body, frame, places};
use pinhole_sccp::MessageId;

/// Every length up to beyond the longest layout of a channel, in steps; then those around the longer ones.
fn lengths() -> impl Iterator<Item = usize> {
    let longer = [240, 259, 260, 276, 280, 340, 360, 375, 376, 379, 380, 384, 400];
    (0..200).step_by(4).chain((1..200).step_by(11)).chain(longer)
}

/// Address types that there are, one that there is not, and small and large words.
fn bodies(length: usize) -> [Vec<u8>; 2] {
    [body(length), vec![0; length]]
}

#[test]
fn changes_of_frames_of_any_length_touch_their_field_alone() {
    let mut changed_frames = 0_u32;
    for id in MessageId::NAMED.iter().copied().chain([MessageId(0x7777)]) {
        for version in 0..=22 {
            for original in lengths().flat_map(bodies).map(|body| frame(id.0, version, &body)) {
                change(&original, |field, changed, result| {
                    if result.is_err() || matches!(field, "data" | "texts") {
                        return;
                    }
                    changed_frames += 1;
                    let (before, after) = (original.body(), changed.body());
                    let allowed = places(id.0, version, field);
                    let strays = |at: &usize| !allowed.iter().any(|place| place.contains(at));
                    let common = before.len().min(after.len());
                    let stray = (0..common).filter(|at| before[*at] != after[*at]).find(strays);
                    assert_eq!(stray, None, "{field} of {original:?}");
                    match field {
                        // A block is made where there is none, behind zeros.
                        "inserted encryption" if after.len() > before.len() => {
                            let block = allowed.iter().find(|place| place.end == after.len());
                            let block = block.unwrap_or_else(|| panic!("no block at the end of {changed:?}"));
                            let made = &after[before.len()..block.start.max(before.len())];
                            assert!(made.iter().all(|byte| *byte == 0), "{changed:?}");
                        }
                        _ => assert_eq!(before.len(), after.len(), "{field} of {original:?}"),
                    }
                });
            }
        }
    }
    assert!(changed_frames > 400_000, "{changed_frames}");
}
