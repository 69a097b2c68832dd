//! Plain tables.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};
use serde::Serialize;

/// A table with these headings; columns named in `right` are aligned to the right.
pub fn with(headings: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(headings);
    for (at, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(at).filter(|_| right.contains(heading)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `value`, or a dash when there is none.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Whether terminals obey a character rather than show it: control characters (C0 and C1), and those that turn the direction
/// of writing, break lines or are not to be seen.
fn steers(char: char) -> bool {
    let unseen = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    let ranges = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    let tags = ['\u{fff9}'..='\u{fffb}', '\u{e0000}'..='\u{e007f}'];
    char.is_control()
        || unseen.contains(&char)
        || ranges.iter().chain(&tags).any(|range| range.contains(&char))
}

/// Text of somebody else's as part of one line: without what terminals obey. A tab is a space.
pub fn line(text: &str) -> String {
    let shown = |char| match char {
        '\t' => ' ',
        char if steers(char) => '\u{fffd}',
        char => char,
    };
    text.chars().map(shown).collect()
}

/// Several lines without what terminals obey: phones choose Call-IDs and addresses.
pub fn plain(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// One JSON value, in which characters that terminals obey are escaped: JSON itself demands that of C0 only.
///
/// # Errors
/// None that a response could cause.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut escaped = String::new();
    // Such characters are nowhere but in strings.
    for char in serde_json::to_string(value)?.chars() {
        if steers(char) {
            let units = char
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            escaped.push_str(&units);
        } else {
            escaped.push(char);
        }
    }
    Ok(escaped)
}

/// A duration in seconds, for people.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A moment in milliseconds since the epoch, as UTC (RFC 3339).
pub fn moment(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil(days);
    let (seconds, millis) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of a day number since 1970-01-01, in the Gregorian calendar: years are
/// counted from March, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_terminals_obey_and_means_the_same() {
        let steering =
            "a\u{1b}[2J\u{7f}\u{80}\u{9b}2J\u{9f}\u{ad}\u{2028}\u{202e}\u{2066}\u{feff}\u{e0041}b\n\"é 電話";
        let shown = json(&[steering]).unwrap();
        assert!(!shown.chars().any(steers), "{shown}");
        assert!(
            shown.contains(r"\u001b[2J\u007f\u0080\u009b2J\u009f") && shown.contains("é 電話"),
            "{shown}"
        );
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [steering]);
    }

    #[test]
    fn text_keeps_its_lines_only_where_it_may() {
        assert_eq!(plain("a\u{85}\u{202e}b\n\rc\n"), "a\u{fffd}\u{fffd}b\n\u{fffd}c\n");
        assert_eq!(line("a\nb\u{9b}é"), "a\u{fffd}b\u{fffd}é");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(moment(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(
            [duration(5), duration(65), duration(3_700), duration(90_000)],
            ["5 s", "1:05", "1:01:40", "1 d 1 h"]
        );
    }
}
