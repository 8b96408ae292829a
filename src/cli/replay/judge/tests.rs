use super::*;

/// A row of the truth in seconds.
pub(crate) fn row(mark: &str, first_s: f64, last_s: f64) -> Row {
    Row {
        line: 2,
        vrm: Vrm::parse(mark).expect("a mark"),
        frames: None,
        seconds: Some((first_s, last_s)),
        max_plate_width_px: None,
        max_char_height_px: None,
        speed_mph: None,
        direction: None,
        lane: None,
        end: None,
        id: None,
        is_readable: true,
    }
}
