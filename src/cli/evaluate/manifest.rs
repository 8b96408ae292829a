//! Labelled sets as CSV: which columns there are decides what can be measured.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use csv::StringRecord;

use crate::anpr::vrm::Vrm;
use crate::geometry::{FramePx, Rect};

/// What a set can measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole pictures with marks: everything.
    Scenes,
    /// Crops around one plate, or around none, with its box and its mark: the reader.
    Crops,
    /// Whole pictures with boxes only: the detector.
    Boxes,
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Path relative to the set's folder.
    pub(super) file: String,
    /// Marks to be read; empty where nothing legible is to be seen.
    pub(super) marks: Vec<Vrm>,
    /// Their boxes, in the same order; none or fewer when the set doesn't give them all. For [`Kind::Boxes`] in shares of the picture.
    pub(super) boxes: Vec<Option<Rect<FramePx>>>,
    /// Places where a read counts neither way.
    pub(super) ignore: Vec<Rect<FramePx>>,
    /// How many lines of characters each plate has, as the set puts it; empty when it doesn't.
    pub(super) rows: Vec<String>,
}

impl Item {
    /// The box of a mark, or of a crop.
    pub(super) fn box_of(&self, mark: usize) -> Option<Rect<FramePx>> {
        self.boxes.get(mark).copied().flatten()
    }

    /// The row with its boxes in pixels: those of [`Kind::Boxes`] come in shares of the picture's size.
    pub(super) fn in_pixels(&self, kind: Kind, (width, height): (f32, f32)) -> Self {
        let mut item = self.clone();
        if kind == Kind::Boxes {
            for b in item.boxes.iter_mut().flatten() {
                *b = Rect::new(b.x0 * width, b.y0 * height, b.x1 * width, b.y1 * height);
            }
        }
        item
    }
}

/// A set, read and checked.
#[derive(Debug)]
pub(super) struct TruthSet {
    pub(super) kind: Kind,
    pub(super) items: Vec<Item>,
}

impl TruthSet {
    /// Labelled plates with a mark.
    pub(super) fn marks(&self) -> usize {
        self.items.iter().map(|item| item.marks.len()).sum()
    }
}

impl TruthSet {
    /// Reads the CSV; the first fault ends it, with file, line and mend.
    pub(super) fn read(path: &Path, split: Option<&str>) -> anyhow::Result<Self> {
        let name = path.display();
        let mut reader = csv::Reader::from_path(path)
            .with_context(|| format!("{name}: the labelled set can't be opened; --truth wants a CSV file"))?;
        let header = reader.headers().with_context(|| format!("{name}: no header line"))?.clone();
        let column = |wanted: &str| header.iter().position(|h| h.trim() == wanted);
        let file = column("file").ok_or_else(|| anyhow!("{name}: no column `file`; it has {}", list(&header)))?;
        let texts_name = if column("texts").is_some() { "texts" } else { "text" };
        let texts = column(texts_name);
        let crop_box = column("box_in_crop_xyxy");
        let kind = match (texts, crop_box, column("n_plates")) {
            (Some(_), Some(_), _) => Kind::Crops,
            (Some(_), None, _) => Kind::Scenes,
            (None, _, Some(_)) => Kind::Boxes,
            _ => bail!(
                "{name}: no column `texts` (marks to be read) and no `n_plates` (boxes from YOLO files); it has {}",
                list(&header)
            ),
        };
        let split_column = match split {
            Some(_) => Some(
                column("split")
                    .ok_or_else(|| anyhow!("{name}: no column `split`, so --split can't choose; it has {}", list(&header)))?,
            ),
            None => None,
        };
        let mut items = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| name.to_string())?;
            let line = record.position().map_or(0, csv::Position::line);
            if split_column.is_some_and(|c| record.get(c) != split) {
                continue;
            }
            let field = |c: Option<usize>| c.and_then(|c| record.get(c)).unwrap_or("").trim();
            let at = |what: &str| format!("{name}, line {line}, column `{what}`");
            let file = field(Some(file)).to_owned();
            let parse_mark = |text: &&str| match *text {
                "" => Ok(None),
                text => Vrm::parse(text).map(Some).map_err(|e| anyhow!("{}: {text:?}: {e}", at(texts_name))),
            };
            let marks = entries(field(texts), &[';']).iter().map(parse_mark).collect::<anyhow::Result<Vec<_>>>()?;
            let (marks, boxes) = match kind {
                Kind::Crops => {
                    let boxes = parse_boxes(field(crop_box)).with_context(|| at("box_in_crop_xyxy"))?;
                    (marks.into_iter().flatten().collect(), boxes)
                }
                Kind::Scenes => {
                    let boxes = parse_boxes(field(column("boxes_xyxy"))).with_context(|| at("boxes_xyxy"))?;
                    paired(&marks, &boxes).with_context(|| at("boxes_xyxy"))?.into_iter().unzip()
                }
                Kind::Boxes => (Vec::new(), yolo_boxes(path, &file)?),
            };
            // A crop without a box is all plate: its source gave no tighter outline. One without a mark has no plate.
            if kind == Kind::Crops && (marks.len() > 1 || boxes.len() > 1) {
                bail!(
                    "{}: a crop has one mark and one box, this one has {} and {}; a set of whole pictures has `boxes_xyxy` instead of `box_in_crop_xyxy`",
                    at(texts_name),
                    marks.len(),
                    boxes.len()
                );
            }
            let ignore = parse_boxes(field(column("ignore_boxes_xyxy"))).with_context(|| at("ignore_boxes_xyxy"))?;
            let ignore = ignore.into_iter().flatten().collect();
            let rows = parse_rows(field(column("rows")), marks.len()).with_context(|| at("rows"))?;
            items.push(Item { file, marks, boxes, ignore, rows });
        }
        if items.is_empty() {
            bail!("{name}: no rows{}", split.map(|s| format!(" with split = {s:?}")).unwrap_or_default());
        }
        Ok(Self { kind, items })
    }
}

fn list(header: &StringRecord) -> String {
    header.iter().collect::<Vec<_>>().join(", ")
}

/// What stands between separators; nothing at all where the last ones are empty.
fn entries<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let mut entries: Vec<&str> = text.split(separators).map(str::trim).collect();
    while entries.last().is_some_and(|e| e.is_empty()) {
        entries.pop();
    }
    entries
}

/// Marks with the box that stands in the same place. A place without a mark gives neither: nothing is to be read there.
fn paired(marks: &[Option<Vrm>], boxes: &[Option<Rect<FramePx>>]) -> anyhow::Result<Vec<(Vrm, Option<Rect<FramePx>>)>> {
    if boxes.len() > marks.len() {
        bail!(
            "{} boxes for {} marks; give each mark its box in the same place, and put other plates into `ignore_boxes_xyxy`",
            boxes.len(),
            marks.len()
        );
    }
    let all_boxes = boxes.iter().copied().chain(std::iter::repeat(None));
    Ok(marks.iter().zip(all_boxes).filter_map(|(mark, its_box)| mark.map(|m| (m, its_box))).collect())
}

/// `x1 y1 x2 y2`, several parted by `;` or `|`, some left empty.
fn parse_boxes(text: &str) -> anyhow::Result<Vec<Option<Rect<FramePx>>>> {
    entries(text, &[';', '|']).into_iter().map(|t| if t.is_empty() { Ok(None) } else { parse_box(t).map(Some) }).collect()
}

fn parse_box(text: &str) -> anyhow::Result<Rect<FramePx>> {
    let sides = text
        .split_whitespace()
        .map(str::parse::<f32>)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{text:?} is not four numbers x1 y1 x2 y2"))?;
    match sides[..] {
        [x0, y0, x1, y1] if sides.iter().all(|s| s.is_finite()) => {
            if x0 >= x1 || y0 >= y1 {
                bail!("{text:?} is empty or inside out; x1 y1 is the top left corner, x2 y2 the bottom right one");
            }
            Ok(Rect::new(x0, y0, x1, y1))
        }
        _ => bail!("{text:?} is not four numbers x1 y1 x2 y2"),
    }
}

/// One value for each mark: one for all of them, or as many as there are marks, parted by `;`.
fn parse_rows(text: &str, marks: usize) -> anyhow::Result<Vec<String>> {
    let values: Vec<&str> = text.split(';').map(str::trim).filter(|v| !v.is_empty()).collect();
    match values[..] {
        [] => Ok(Vec::new()),
        [one] => Ok(vec![one.to_owned(); marks]),
        _ if values.len() == marks => Ok(values.into_iter().map(str::to_owned).collect()),
        _ => bail!("{text:?} has {} values for {marks} marks; give one for all, or one for each", values.len()),
    }
}

/// Boxes of the YOLO file that belongs to a picture, in shares of the picture (`class x y w h`, centre and size). A
/// picture without such a file has no plates.
fn yolo_boxes(manifest: &Path, file: &str) -> anyhow::Result<Vec<Option<Rect<FramePx>>>> {
    let labels = Path::new(&file.replace("images/", "labels/")).with_extension("txt");
    let path = manifest.parent().unwrap_or_else(|| Path::new(".")).join(labels);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(anyhow!("{}: {e}", path.display())),
    };
    text.lines()
        .filter(|l| !l.trim().is_empty())
        .map(|l| {
            let numbers: Vec<f32> = l.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
            match numbers[..] {
                [x, y, w, h] => Ok(Some(Rect::new(x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0))),
                _ => Err(anyhow!("{}: {l:?} is not `class x y w h`", path.display())),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<TruthSet> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        TruthSet::read(file.path(), None)
    }

    #[test]
    fn columns_decide_what_is_measured() {
        let scenes = read("file,texts,boxes_xyxy\na.jpg,AB12CDE;X1,1 2 3 4;5 6 7 8\nb.jpg,,\n").expect("scenes");
        assert_eq!(scenes.kind, Kind::Scenes);
        assert_eq!((scenes.items[0].marks.len(), scenes.items[0].boxes.len(), scenes.items[1].marks.len()), (2, 2, 0));
        assert_eq!(read("file,text,box_in_crop_xyxy\na.jpg,A1,1 2 3 4\n").expect("crops").kind, Kind::Crops);
        assert_eq!(read("file,n_plates\na.jpg,1\n").expect("boxes").kind, Kind::Boxes);
    }

    #[test]
    fn a_crop_without_a_mark_has_no_plate() {
        let set = read("file,text,box_in_crop_xyxy,rows\na.jpg,,1 2 3 4,\nb.jpg,A1,,2\n").expect("crops");
        assert_eq!((set.items[0].marks.len(), set.items[0].boxes.len(), set.marks()), (0, 1, 1));
        assert_eq!((set.items[0].rows.len(), set.items[1].rows.as_slice()), (0, &["2".to_owned()][..]));
        let scenes = read("file,texts,rows\na.jpg,A1;B2,1\nb.jpg,A1;B2,1;2\n").expect("scenes");
        assert_eq!((scenes.items[0].rows.join(" "), scenes.items[1].rows.join(" ")), ("1 1".to_owned(), "1 2".to_owned()));
    }

    #[test]
    fn an_empty_place_shifts_no_box_onto_another_mark() {
        let set =
            read("file,texts,boxes_xyxy\na.jpg,A1;B2;C3,;1 2 3 4\nb.jpg,A1;;C3,1 2 3 4;5 6 7 8;9 9 11 11\n").expect("scenes");
        let left = |item: usize| [0, 1, 2].map(|t| set.items[item].box_of(t).map(|b| b.x0.round().to_string()));
        assert_eq!((set.items[0].marks.len(), left(0)), (3, [None, Some("1".into()), None]));
        assert_eq!((set.items[1].marks.len(), left(1)), (2, [Some("1".into()), Some("9".into()), None]));
    }

    #[test]
    fn faults_name_file_line_and_column() {
        for (text, expected) in [
            ("texts\nA1\n", "no column `file`"),
            ("file\na.jpg\n", "no column `texts`"),
            ("file,texts\na.jpg,A_1\n", "line 2, column `texts`"),
            ("file,text,box_in_crop_xyxy\na.jpg,A_1,\n", "line 2, column `text`:"),
            ("file,texts,boxes_xyxy\na.jpg,A1,1 2 3\n", "not four numbers"),
            ("file,texts,boxes_xyxy\na.jpg,A1,1 2 3 4;5 6 7 8\n", "line 2, column `boxes_xyxy`: 2 boxes for 1 marks"),
            (
                "file,text,box_in_crop_xyxy\na.jpg,A1,9 2 3 4\n",
                "line 2, column `box_in_crop_xyxy`: \"9 2 3 4\" is empty or inside out",
            ),
            ("file,text,box_in_crop_xyxy\na.jpg,A1;B2,\n", "a crop has one mark"),
            ("file,texts,rows\na.jpg,A1,1;2\n", "line 2, column `rows`: \"1;2\" has 2 values for 1 marks"),
            ("file,texts\n", "no rows"),
        ] {
            let error = format!("{:#}", read(text).expect_err(text));
            assert!(error.contains(expected), "{error}");
        }
    }
}
