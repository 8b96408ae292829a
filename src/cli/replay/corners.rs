//! Where each plate of a clip was, frame by frame: the CSV that renderers write beside the truth, and people seldom do.
//!
//! With it, a record belongs to the vehicle whose plate lies where the record's best frame has it, whatever mark was read: the only
//! sure way to lay a wrong mark at the right door. It is checked whole before the clip is replayed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use csv::StringRecord;

use super::truth::{Row, Truth};
use crate::anpr::vrm::Vrm;
use crate::geometry::{FramePx, Point, Quad};

/// How far the middle of a record's plate may lie from that of a vehicle's, in widths of the latter. Plates of two vehicles are
/// further apart than one width: cars are three times as wide as their plates.
const SAME_PLATE_WIDTHS: f32 = 0.5;
/// The columns that there must be.
const COLUMNS: [&str; 10] = ["frame", "vrm", "x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3"];

/// A vehicle's plate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plate {
    /// The vehicle's number, where the file has it.
    pub(super) id: Option<String>,
    /// Its mark.
    pub(super) vrm: Vrm,
}

impl Plate {
    /// Whether a row of the truth is about this vehicle: by number where both have one, else by mark.
    pub(super) fn is_of(&self, row: &Row) -> bool {
        match (&self.id, &row.id) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.vrm == row.vrm,
        }
    }
}

/// A plate in a frame.
#[derive(Clone, Copy, Debug)]
struct Place {
    plate: usize,
    quad: Quad<FramePx>,
    /// All of it is in the frame, and nothing stands before it.
    is_clear: bool,
}

/// The file, read and checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Corners {
    plates: Vec<Plate>,
    frames: BTreeMap<u64, Vec<Place>>,
}

impl Corners {
    /// Reads the CSV.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let mut reader =
            csv::Reader::from_path(path).with_context(|| format!("{name}: can't be opened; --corners wants a CSV file"))?;
        let header = reader.headers().with_context(|| format!("{name}: no header line"))?.clone();
        let column = |wanted: &str| header.iter().position(|h| h.trim() == wanted);
        if let Some(missing) = COLUMNS.into_iter().find(|c| column(c).is_none()) {
            bail!("{name}: no column `{missing}`; --corners wants {}, and may have id, whole, hidden", COLUMNS.join(","));
        }
        let (mut corners, mut known) = (Self::default(), HashMap::new());
        for record in reader.records() {
            let record = record.with_context(|| format!("{name}: give each row as many cells as the header has"))?;
            let cell = |c: &str| column(c).and_then(|at| record.get(at)).map_or("", str::trim);
            let place = corners.place(&cell, &mut known);
            let (frame, place) = place.with_context(|| format!("{name}, line {}", line(&record)))?;
            corners.frames.entry(frame).or_default().push(place);
        }
        if corners.plates.is_empty() {
            bail!("{name}: no rows; leave --corners out where nobody knows where the plates were");
        }
        Ok(corners)
    }

    fn place<'a>(&mut self, cell: &impl Fn(&str) -> &'a str, known: &mut HashMap<Plate, usize>) -> anyhow::Result<(u64, Place)> {
        let frame = cell("frame");
        let frame = frame.parse().map_err(|_| anyhow!("column `frame`: {frame:?} is not a whole number, counted from 0"))?;
        let vrm = Vrm::parse(cell("vrm")).map_err(|e| anyhow!("column `vrm`: {:?}: {e}", cell("vrm")))?;
        let pixel = |column: &str| {
            let text = cell(column);
            let value = text.parse().ok().filter(|v: &f32| v.is_finite());
            value.ok_or_else(|| anyhow!("column `{column}`: {text:?} is not a place in pixels of the frame"))
        };
        let corner = |x, y| Ok::<_, anyhow::Error>(Point::new(pixel(x)?, pixel(y)?));
        let quad = Quad::new([corner("x0", "y0")?, corner("x1", "y1")?, corner("x2", "y2")?, corner("x3", "y3")?]);
        let id = Some(cell("id")).filter(|t| !t.is_empty()).map(str::to_owned);
        let plate = *known.entry(Plate { id, vrm }).or_insert_with_key(|plate| {
            self.plates.push(plate.clone());
            self.plates.len() - 1
        });
        Ok((frame, Place { plate, quad, is_clear: cell("whole") != "0" && matches!(cell("hidden"), "" | "0") }))
    }

    /// Refuses the corners of another clip: vehicles of the truth that are not here, or carry another mark here.
    pub(super) fn fits(&self, path: &Path, truth: &Truth) -> anyhow::Result<()> {
        for row in &truth.rows {
            let here = self.plates.iter().find(|p| p.is_of(row));
            let name = path.display();
            match here {
                None => bail!("{name}: nothing of {}, line {} of --truth; give the corners of this very clip", row.vrm, row.line),
                Some(plate) if plate.vrm != row.vrm => bail!(
                    "{name}: vehicle {} is {} here and {} in line {} of --truth; give the corners of this very clip",
                    plate.id.as_deref().unwrap_or("?"),
                    plate.vrm,
                    row.vrm,
                    row.line
                ),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The vehicle whose plate is at a place in a frame: the nearest one, those in clear view before those that something hides.
    pub(super) fn owner(&self, frame: u64, quad: Quad<FramePx>) -> Option<&Plate> {
        let away = |p: &Place| p.quad.centre().distance(quad.centre()) / p.quad.width().max(1.0);
        let near = self.frames.get(&frame)?.iter().filter(|p| away(p) < SAME_PLATE_WIDTHS);
        let nearest = near.min_by(|a, b| b.is_clear.cmp(&a.is_clear).then(away(a).total_cmp(&away(b))))?;
        self.plates.get(nearest.plate)
    }

    /// The frame, of these, in which a row's plate is widest, in clear view where it ever is; and where it is there.
    pub(super) fn best_view(&self, row: &Row, (first, last): (u64, u64)) -> Option<(u64, Quad<FramePx>)> {
        let views = self.frames.range(first..=last).flat_map(|(frame, places)| places.iter().map(|p| (*frame, p)));
        let ours = views.filter(|(_, p)| self.plates[p.plate].is_of(row));
        // Of equals the first, so that two runs show the same.
        let best = ours.reduce(|best, next| {
            let rank = |p: &Place| (p.is_clear, p.quad.width());
            let (a, b) = (rank(best.1), rank(next.1));
            if b.0 && !a.0 || b.0 == a.0 && b.1 > a.1 { next } else { best }
        })?;
        Some((best.0, best.1.quad))
    }
}

fn line(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Corners from `frame,vrm,id,x`, a plate 100 x 20 px whose left edge is at x, and `whole,hidden`.
    pub(crate) fn corners(rows: &[(u64, &str, &str, u32, &str)]) -> Corners {
        let row = |(frame, vrm, id, x, clear): &(u64, &str, &str, u32, &str)| {
            format!("{frame},{vrm},{x},0,{r},0,{r},20,{x},20,{id},{clear}\n", r = x + 100)
        };
        read(&rows.iter().map(row).collect::<String>()).expect("corners")
    }

    fn read(rows: &str) -> anyhow::Result<Corners> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("frame,vrm,x0,y0,x1,y1,x2,y2,x3,y3,id,whole,hidden\n{rows}")).expect("written");
        Corners::read(file.path())
    }

    pub(crate) fn quad(x: f32) -> Quad<FramePx> {
        crate::geometry::Rect::new(x, 0.0, x + 100.0, 20.0).into()
    }

    #[test]
    fn the_nearest_clear_plate_owns_a_place() {
        let corners = corners(&[(7, "A1", "1", 0, "1,0"), (7, "B2", "2", 300, "1,0"), (7, "C3", "3", 310, "1,1")]);
        let owner = |frame, x| corners.owner(frame, quad(x)).map(|p| p.vrm.to_string());
        assert_eq!((owner(7, 20.0).as_deref(), owner(7, 308.0).as_deref()), (Some("A1"), Some("B2")));
        assert_eq!((owner(7, 60.0), owner(8, 0.0)), (None, None));
    }

    #[test]
    fn the_widest_clear_view_is_shown() {
        let rows = "1,A1,0,0,90,0,90,9,0,9,1,1,0\n2,A1,0,0,95,0,95,9,0,9,1,1,0\n3,A1,0,0,99,0,99,9,0,9,1,0,0\n9,A1,0,0,999,0,999,9,0,9,1,1,0\n";
        let corners = read(rows).expect("corners");
        let row = crate::cli::replay::judge::tests::row("A1", 1.0, 2.0);
        assert_eq!(corners.best_view(&row, (1, 3)).map(|v| v.0), Some(2));
        assert_eq!((corners.best_view(&row, (3, 3)).map(|v| v.0), corners.best_view(&row, (4, 8)).map(|v| v.0)), (Some(3), None));
    }

    #[test]
    fn faults_name_line_column_and_mend() {
        for (rows, expected) in [
            ("", "no rows; leave --corners out"),
            ("x,A1,0,0,90,0,90,9,0,9,1,1,0\n", "line 2: column `frame`: \"x\" is not a whole number"),
            ("1,A_1,0,0,90,0,90,9,0,9,1,1,0\n", "line 2: column `vrm`: \"A_1\""),
            ("1,A1,0,0,90,0,90,9,0,inf,1,1,0\n", "line 2: column `y3`: \"inf\" is not a place in pixels"),
            ("1,A1,0\n", "give each row as many cells"),
        ] {
            let error = format!("{:#}", read(rows).expect_err(rows));
            assert!(error.contains(expected), "{rows:?}: {error}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "frame,vrm,x0\n").expect("written");
        let error = format!("{:#}", Corners::read(file.path()).expect_err("columns"));
        assert!(error.contains("no column `y0`; --corners wants frame,vrm,x0"), "{error}");
    }

    #[test]
    fn corners_of_another_clip_are_refused() {
        let corners = corners(&[(7, "A1", "1", 0, "1,0")]);
        let fits = |mark: &str, id: Option<&str>| {
            let row = Row { id: id.map(str::to_owned), ..crate::cli::replay::judge::tests::row(mark, 0.0, 1.0) };
            corners.fits(Path::new("c.csv"), &Truth { rows: vec![row] }).map_err(|e| e.to_string())
        };
        assert!(fits("A1", Some("1")).is_ok() && fits("A1", None).is_ok());
        assert!(fits("B2", None).expect_err("unknown").contains("c.csv: nothing of B2"));
        assert!(fits("B2", Some("1")).expect_err("another mark").contains("vehicle 1 is A1 here and B2 in line 2"));
    }
}
