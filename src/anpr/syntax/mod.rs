//! Grammar: which formats registration marks come in, and what a format says about `O`/`0` and `I`/`1`.
//!
//! The tables (`gb`, `ni`, `islands`, `europe`) hold each format once, as the regular expression that people check against
//! the sources; at start they become templates of glyph sets (`template`). Grammar here is a prior and a judge of twins: it
//! refuses to reject a text. A text that fits no format is [`SyntaxId::NONE`] and as good a mark as any other.

mod europe;
mod gb;
mod islands;
mod ni;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::vrm::{Glyph, Vrm};
use crate::clock::UtcTime;
use template::{GlyphSet, Shape};

/// The name of a format, such as `gb_current`; `none` when a text fits none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyntaxId(pub(crate) &'static str);

impl SyntaxId {
    /// No known format.
    pub const NONE: Self = Self("none");

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Where a format is issued. A format names a likely country; it proves none (many shapes are shared).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it all
pub enum Country {
    GreatBritain,
    NorthernIreland,
    IsleOfMan,
    Jersey,
    Guernsey,
    Alderney,
    Gibraltar,
    Ireland,
    France,
    Italy,
    Germany,
    Spain,
    Netherlands,
    Poland,
    Romania,
    Bulgaria,
    Lithuania,
    Hungary,
    Belgium,
    Portugal,
    Czechia,
    Slovakia,
    Denmark,
    Sweden,
    Ukraine,
}

impl Country {
    /// The sign on the plate or the oval sticker (`GB`, `NI`, `GBM`, `IRL`, `F`, `D`, …).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GreatBritain => "GB",
            Self::NorthernIreland => "NI",
            Self::IsleOfMan => "GBM",
            Self::Jersey => "GBJ",
            Self::Guernsey => "GBG",
            Self::Alderney => "GBA",
            Self::Gibraltar => "GBZ",
            Self::Ireland => "IRL",
            Self::France => "F",
            Self::Italy => "I",
            Self::Germany => "D",
            Self::Spain => "E",
            Self::Netherlands => "NL",
            Self::Poland => "PL",
            Self::Romania => "RO",
            Self::Bulgaria => "BG",
            Self::Lithuania => "LT",
            Self::Hungary => "H",
            Self::Belgium => "B",
            Self::Portugal => "P",
            Self::Czechia => "CZ",
            Self::Slovakia => "SK",
            Self::Denmark => "DK",
            Self::Sweden => "S",
            Self::Ukraine => "UA",
        }
    }

    /// Whether the United Kingdom issues it: the formats that `canonical` prefers.
    pub const fn is_uk(self) -> bool {
        matches!(self, Self::GreatBritain | Self::NorthernIreland)
    }
}

/// One format as the tables hold it.
#[derive(Debug)]
struct Row {
    /// Its name in messages; unique.
    name: &'static str,
    /// Anchored regular expression over `A`–`Z`, `0`–`9`, no look-around.
    pattern: &'static str,
    /// Share of the vehicles that carry such a mark, 0..1.
    weight: f64,
    /// Who issues it.
    country: Country,
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [gb::ROWS, ni::ROWS, islands::ROWS, europe::ROWS].into_iter().flatten()
}

/// One fixed-length template of a format. Positions hold numbers of [`Grammar::sets`].
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Number of the format.
    format: usize,
    len: usize,
    sets: [u16; Vrm::MAX],
}

impl Template {
    /// Numbers of the glyph sets, one a position.
    pub(super) fn sets(&self) -> &[u16] {
        &self.sets[..self.len]
    }
}

#[derive(Clone, Debug)]
struct Format {
    id: SyntaxId,
    country: Country,
    /// The row's weight.
    share: f64,
    /// Weight of one text of the format: the row's weight over the number of its texts.
    text_weight: f64,
}

/// All formats, ready to be asked. Made once at start, and again when a new age identifier comes out.
#[derive(Clone, Debug)]
pub struct Grammar {
    formats: Vec<Format>,
    /// Sorted by length; `spans[n]` are those with `n` positions.
    templates: Vec<Template>,
    spans: [(usize, usize); Vrm::MAX + 1],
    /// The distinct glyph sets.
    sets: Vec<GlyphSet>,
    stale_from: UtcTime,
}

/// A mark with its twins (`O`/`0`, `I`/`1`) set as its likeliest format demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The mark.
    pub vrm: Vrm,
    /// The format that decided, or none.
    pub syntax: SyntaxId,
    /// Positions that hold a twin which nothing decides, one bit a position, bit 0 the first; they are as they came.
    pub undecided: u16,
}

impl Grammar {
    /// The grammar as of `today`: age identifiers of the current GB format run to the newest one issued by that month
    /// (March: the year's two digits; September: 50 more). Moments before September 2026 count as that month.
    pub fn new(today: UtcTime) -> Self {
        let newest = gb::newest_ages(today);
        let mut shapes: Vec<(usize, Shape)> = Vec::new();
        let mut formats = Vec::new();
        for row in rows() {
            // Invariant: `template::expand` takes every pattern of the tables; the tests hold the tables to it.
            let mut own = template::expand(row.pattern).expect("the tables hold finite patterns only");
            if row.name == gb::CURRENT {
                own = own.iter().flat_map(|shape| issued_only(shape, newest)).collect();
            }
            let texts: f64 = own.iter().map(|s| template::texts_in(s)).sum();
            let number = formats.len();
            formats.push(Format {
                id: SyntaxId(row.name),
                country: row.country,
                share: row.weight,
                text_weight: row.weight / texts.max(1.0),
            });
            shapes.extend(own.into_iter().map(|shape| (number, shape)));
        }
        shapes.sort_by_key(|(_, shape)| shape.len());
        let mut numbers = BTreeMap::new();
        let mut grammar = Self {
            formats,
            templates: Vec::with_capacity(shapes.len()),
            spans: [(0, 0); Vrm::MAX + 1],
            sets: Vec::new(),
            stale_from: gb::next_age_change(today),
        };
        for (format, shape) in shapes {
            let mut template = Template { format, len: shape.len(), sets: [0; Vrm::MAX] };
            for (into, set) in template.sets.iter_mut().zip(&shape) {
                *into = *numbers.entry(*set).or_insert_with(|| {
                    grammar.sets.push(*set);
                    u16::try_from(grammar.sets.len() - 1).unwrap_or(u16::MAX)
                });
            }
            grammar.templates.push(template);
        }
        for len in 1..=Vrm::MAX {
            grammar.spans[len] =
                (grammar.templates.partition_point(|t| t.len < len), grammar.templates.partition_point(|t| t.len <= len));
        }
        grammar
    }

    /// From when on a fresh grammar would know more age identifiers than this one.
    pub fn stale_from(&self) -> UtcTime {
        self.stale_from
    }

    /// The likeliest format that the text fits as it stands.
    pub fn syntax_of(&self, vrm: &Vrm) -> SyntaxId {
        self.fitting(vrm, Fit::AsItStands)
            .max_by(|a, b| self.weight(a).total_cmp(&self.weight(b)))
            .map_or(SyntaxId::NONE, |t| self.id(t))
    }

    /// The country that issues a format.
    pub fn country_of(&self, syntax: SyntaxId) -> Option<Country> {
        self.formats.iter().find(|f| f.id == syntax).map(|f| f.country)
    }

    /// The names of all formats, in table order.
    pub fn formats(&self) -> impl Iterator<Item = SyntaxId> {
        self.formats.iter().map(|f| f.id)
    }

    /// The mark with `O`/`0` and `I`/`1` set as the likeliest fitting format demands, a UK format before any other.
    /// The answer is one for all twins of a text, but for the positions it calls undecided.
    pub fn canonical(&self, vrm: &Vrm) -> Canonical {
        self.settle(vrm, self.likeliest(vrm, Fit::Folded), Fit::Folded)
    }

    /// Whether `read` is the mark `truth`: the same glyphs where the truth's grammar decides between twins, the same
    /// folded glyphs where it doesn't. A truth that fits a format as it was typed is taken at its word; only a truth that
    /// fits none as typed is settled by the likeliest format its twins fit.
    ///
    /// ```
    /// use kerbside::anpr::{syntax::Grammar, vrm::Vrm};
    /// use kerbside::clock::UtcTime;
    ///
    /// let grammar = Grammar::new(UtcTime::parse("2026-11-22").ok_or("a date")?);
    /// let truth = Vrm::parse("GO10OLO")?;
    /// assert!(!grammar.same_mark(&truth, &Vrm::parse("G010OLO")?), "the format says which is a letter");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn same_mark(&self, truth: &Vrm, read: &Vrm) -> bool {
        let settled = match self.likeliest(truth, Fit::AsItStands) {
            Some(format) => self.settle(truth, Some(format), Fit::AsItStands),
            None => self.canonical(truth),
        };
        settled.vrm.len() == read.len()
            && settled
                .vrm
                .glyphs()
                .iter()
                .zip(read.glyphs())
                .enumerate()
                .all(|(i, (t, r))| if settled.undecided >> i & 1 == 1 { t.folded() == r.folded() } else { t == r })
    }

    fn settle(&self, vrm: &Vrm, format: Option<usize>, fit: Fit) -> Canonical {
        let mut allowed: [GlyphSet; Vrm::MAX] = [0; Vrm::MAX];
        // Of one format, several templates may fit; a twin is decided where all of these agree.
        for template in self.fitting(vrm, fit).filter(|t| Some(t.format) == format) {
            for (into, set) in allowed.iter_mut().zip(template.sets()) {
                *into |= self.set(*set);
            }
        }
        let mut undecided = 0;
        let glyphs = vrm.glyphs().iter().enumerate().map(|(i, glyph)| match glyph.twin() {
            None => *glyph,
            Some(twin) => match (allowed[i] >> glyph.index() & 1, allowed[i] >> twin.index() & 1) {
                (1, 0) => *glyph,
                (0, 1) => twin,
                _ => {
                    undecided |= 1 << i;
                    *glyph
                }
            },
        });
        // Invariant: as many glyphs go in as came out of a mark.
        let settled = Vrm::from_glyphs(glyphs).expect("a mark's length is a mark's length");
        let syntax = format.map_or(SyntaxId::NONE, |f| self.formats[f].id);
        Canonical { vrm: settled, syntax, undecided }
    }

    /// The format to settle a text's twins by: UK before others, then by weight.
    fn likeliest(&self, vrm: &Vrm, fit: Fit) -> Option<usize> {
        self.fitting(vrm, fit)
            .max_by(|a, b| {
                let uk = |t: &Template| self.formats[t.format].country.is_uk();
                uk(a).cmp(&uk(b)).then(self.weight(a).total_cmp(&self.weight(b)))
            })
            .map(|t| t.format)
    }

    fn fitting<'a>(&'a self, vrm: &'a Vrm, fit: Fit) -> impl Iterator<Item = &'a Template> + 'a {
        self.templates_of(vrm.len()).iter().filter(move |t| {
            vrm.glyphs().iter().zip(t.sets()).all(|(g, set)| {
                let set = self.set(*set);
                set >> g.index() & 1 == 1 || (fit == Fit::Folded && g.twin().is_some_and(|t| set >> t.index() & 1 == 1))
            })
        })
    }

    /// All templates with `len` positions.
    pub(super) fn templates_of(&self, len: usize) -> &[Template] {
        self.spans.get(len).map_or(&[], |(from, to)| &self.templates[*from..*to])
    }

    /// All templates, shortest first, and where those with `len` positions begin.
    pub(super) fn templates(&self) -> &[Template] {
        &self.templates
    }

    pub(super) fn first_of(&self, len: usize) -> usize {
        self.spans.get(len).map_or(self.templates.len(), |(from, _)| *from)
    }

    /// The distinct glyph sets that templates name by number.
    pub(super) fn sets(&self) -> &[GlyphSet] {
        &self.sets
    }

    fn set(&self, number: u16) -> GlyphSet {
        self.sets[usize::from(number)]
    }

    /// Share of the vehicles on UK roads that carry a mark of this format; 0 for `none`.
    pub fn share_of(&self, syntax: SyntaxId) -> f64 {
        self.formats.iter().find(|f| f.id == syntax).map_or(0.0, |f| f.share)
    }

    /// Weight of one text that fits the template.
    pub(super) fn weight(&self, template: &Template) -> f64 {
        self.formats[template.format].text_weight
    }

    /// Whether the United Kingdom issues the template's format.
    pub(super) fn is_uk(&self, template: &Template) -> bool {
        self.formats[template.format].country.is_uk()
    }

    pub(super) fn id(&self, template: &Template) -> SyntaxId {
        self.formats[template.format].id
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Every glyph is allowed where it stands.
    AsItStands,
    /// Every glyph or its twin is.
    Folded,
}

/// The parts of a current-format shape whose age identifier has been issued: one shape for each set of first digits that
/// allow the same second digits.
fn issued_only(shape: &Shape, newest: (u8, u8)) -> Vec<Shape> {
    let [tens_at, units_at] = gb::AGE_AT;
    let digits = |set: GlyphSet| (0u8..10).filter(move |d| set >> d & 1 == 1);
    let mut by_units: BTreeMap<GlyphSet, GlyphSet> = BTreeMap::new();
    for tens in digits(shape[tens_at]) {
        let units = digits(shape[units_at]).filter(|u| gb::age_is_issued(tens * 10 + u, newest)).fold(0, |set, u| set | 1 << u);
        if units != 0 {
            *by_units.entry(units).or_insert(0) |= 1 << tens;
        }
    }
    by_units
        .into_iter()
        .map(|(units, tens)| {
            let mut issued = shape.clone();
            issued[tens_at] = tens;
            issued[units_at] = units;
            issued
        })
        .collect()
}

/// A set with each twin's shape-mate folded in: what the set looks like to the eye.
pub(super) fn folded_set(set: GlyphSet) -> GlyphSet {
    Glyph::all().filter(|g| set >> g.index() & 1 == 1).fold(0, |folded, g| folded | 1 << g.folded().index())
}
