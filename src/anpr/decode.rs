//! From glyph probabilities to a mark: grammar as a prior over texts, never as a filter.
//!
//! # The model
//! The eye sees *shapes*: on a UK plate `O`/`0` are one drawing and so are `I`/`1`, so twins are merged (their
//! probabilities add) before grammar has its word. A candidate is a text of shapes together with the slots it uses:
//!
//! ```text
//! E(candidate) = product over used slots of presence * p(shape)  *  product over passed slots of (1 - presence)
//! S(candidate) = E * (g_none(L) + sum of g_f(L) over the formats f that it fits)            L = its length
//! g_none(L) = (w_none * P_none(L))^t        x = (w_f / N_f * 36^L)^t / g_none(L)        g_f(L) = g_none(L) * x*c / (x + c)
//! ```
//!
//! `w_f` is the share of vehicles with format `f` and `N_f` the number of its texts, so one text of it has the prior
//! `w_f / N_f`, which 36^L holds against a text drawn at random: that is what the reader's own probabilities assume. The
//! exponent `t` tempers a prior that nobody measured; `c` bounds it, so that no format can outbid a glyph that the eye gives
//! 0.99. `none` is always in the sum: every text is possible.
//!
//! Within the winning shapes, twins are set by the formats that fit, in proportion to their priors (no glyph is at stake, so neither
//! tempered nor bounded) and to how well the reader's own split of the pair agrees; where a format allows both (or none fits) that split alone decides (`twins`).
//!
//! # Confidence
//! ```text
//! confidence = min( S(winner) / Z * share of its twins within the shapes,  weakest )
//! ```
//! `Z` is the exact sum of `S` over *all* texts and all ways to use the slots, not just those looked at, so the share is a
//! true posterior (a lower bound of it when several ways of using the slots give one text). `weakest` is the least
//! probability the eye gives to any step of the winner (square root for a glyph that grammar repaired: the eye is half of that
//! decision): a mark is never surer than its least sure character. Alternatives use the same formula, so all add up to at most 1.
//!
//! No allocation after [`Decoder::new`]; not thread-safe by design: one decoder a core.

mod search;
#[cfg(test)]
mod tests;
mod twins;

use super::hotlist::Reading;
use super::odds::GlyphOdds;
use super::read::PlateRead;
use super::syntax::{Grammar, SyntaxId, Template, folded_set};
use super::vrm::{GLYPHS, Glyph, Vrm};

/// One candidate text with its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The text.
    pub vrm: Vrm,
    /// Its share of the belief, 0..=1.
    pub confidence: f32,
}

/// The least sure character of a text: where a person looks first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weakest {
    /// Its place in the text, counted from 0.
    pub place: u8,
    /// What the eye gives to it, 0..=1: that a character stands there, times that it has this shape.
    pub probability: f32,
}

/// What a read (or several, fused) says once grammar has had its word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    /// The winner.
    pub vrm: Vrm,
    /// Belief that every character of it is right, 0..=1.
    pub confidence: f32,
    /// The format it fits, or none.
    pub syntax: SyntaxId,
    /// What the eye alone said.
    pub raw: Vrm,
    /// Characters of `vrm` that only grammar decided, one bit a position, bit 0 the first: there the eye saw a
    /// glyph of another shape, or more likely none at all. (`O`/`0` and `I`/`1` are one shape on a UK plate, so choosing
    /// between them is no repair.)
    pub repaired: u16,
    /// The character of `vrm` that the eye is least sure of.
    pub weakest: Weakest,
    /// Runner-ups, likeliest first; texts that look different, not mere twins of the winner.
    pub alternatives: [Option<Candidate>; 4],
    /// What else each character of `vrm` could be: how well another mark explains the same read.
    pub odds: GlyphOdds,
}

impl Decoded {
    /// What of it is held against hotlists.
    pub const fn reading(&self) -> Reading<'_> {
        Reading { vrm: &self.vrm, odds: &self.odds }
    }
}

/// How much say grammar has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecodeOptions {
    /// Exponent on the prior of formats, 0 (the eye alone) ..= 1 (weights at face value). Default 0.5: our weights are
    /// estimates, and a reader trained on plates already knows some grammar, which would count twice.
    pub prior_exponent: f32,
    /// Bound on what a format can multiply a text's odds by, 1..=60. Default 48: with every other format that shares a shape,
    /// the sum stays below 99, so a glyph the eye gives 0.99 always stands.
    pub max_gain: f32,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { prior_exponent: 0.5, max_gain: 48.0 }
    }
}

/// Share of texts on the road that fit none of our formats: far foreigners, show plates, plain lettering.
const NONE_WEIGHT: f64 = 0.02;

/// How long such texts are, by length; sums to 1 (about the spread of lengths of all marks).
const NONE_LENGTHS: [f64; Vrm::MAX + 1] = [0.0, 0.002, 0.01, 0.03, 0.06, 0.12, 0.23, 0.36, 0.13, 0.04, 0.012, 0.004, 0.002];

/// How much more a UK format weighs when twins are settled: only UK plates draw twins alike, so only there must grammar settle them.
const UK_VOTE: f64 = 2.0;

/// Least probability of any shape: the reader rounds to zero, we don't.
const SHAPE_FLOOR: f64 = 1e-6;
/// Slots likelier empty than this are dropped.
const PRESENCE_FLOOR: f64 = 1e-3;
/// Slots at least this likely to hold a character are never passed over. The bound on gains is per length; where two lengths
/// compete, what is usual among unknown marks comes on top, and could outbid a slot that the eye is this sure of.
const SURELY_FILLED: f64 = 0.99;

/// Turns reads into marks. Owns its grammar and its buffers.
#[derive(Debug)]
pub struct Decoder {
    grammar: Grammar,
    options: DecodeOptions,
    /// Gain of every template of the grammar, in its order; of `none`, by length.
    gains: Vec<f64>,
    none_gains: [f64; Vrm::MAX + 1],
    /// Their priors over that of `none`, neither tempered nor bounded: what formats weigh when only twins are at stake.
    votes: Vec<f64>,
    /// The grammar's sets with twins folded.
    folded_sets: Vec<u64>,
    scratch: search::Scratch,
}

impl Decoder {
    /// A decoder for one grammar.
    pub fn new(grammar: Grammar, options: DecodeOptions) -> Self {
        let exponent = f64::from(options.prior_exponent.clamp(0.0, 1.0));
        let bound = f64::from(options.max_gain.clamp(1.0, 60.0));
        let none_gains = NONE_LENGTHS.map(|share| (NONE_WEIGHT * share).powf(exponent));
        let votes = grammar.templates().iter().map(|template| {
            let len = template.sets().len();
            let random_texts = (0..len).fold(1.0, |n, _| n * 36.0);
            grammar.weight(template) * random_texts / (NONE_WEIGHT * NONE_LENGTHS[len])
        });
        let votes: Vec<f64> = votes.collect();
        let bounded = |(template, vote): (&Template, &f64)| {
            let x = vote.powf(exponent);
            none_gains[template.sets().len()] * x * bound / (x + bound)
        };
        let gains = grammar.templates().iter().zip(&votes).map(bounded).collect();
        let at_home = |(template, vote): (&Template, &f64)| vote * if grammar.is_uk(template) { UK_VOTE } else { 1.0 };
        Self {
            gains,
            none_gains,
            votes: grammar.templates().iter().zip(&votes).map(at_home).collect(),
            folded_sets: grammar.sets().iter().map(|set| folded_set(*set)).collect(),
            scratch: search::Scratch::new(grammar.sets().len()),
            grammar,
            options,
        }
    }

    /// The grammar in use.
    pub fn grammar(&self) -> &Grammar {
        &self.grammar
    }

    /// Takes a fresh grammar (a new age identifier came out); the options stay.
    pub fn renew(&mut self, grammar: Grammar) {
        *self = Self::new(grammar, self.options);
    }

    /// What the read says. None when the eye alone sees no mark at all: no slot is likelier filled than empty, or more are
    /// than a mark can have.
    pub fn decode(&mut self, read: &PlateRead) -> Option<Decoded> {
        let raw = read.raw()?;
        self.scratch.load(read, &self.folded_sets);
        let total = self.search();
        let winner = *self.scratch.pool().first()?;
        let text = self.text_of(&winner);
        let mut alternatives = [None; 4];
        for (into, candidate) in alternatives.iter_mut().zip(self.scratch.pool().iter().skip(1)) {
            let text = self.text_of(candidate);
            *into = Some(Candidate { vrm: text.vrm, confidence: self.confidence(candidate, text.share, total) });
        }
        // The cap by the weakest character can turn the order of two runner-ups.
        alternatives.sort_by(|a, b| b.map_or(-1.0, |c| c.confidence).total_cmp(&a.map_or(-1.0, |c| c.confidence)));
        Some(Decoded {
            vrm: text.vrm,
            confidence: self.confidence(&winner, text.share, total),
            syntax: text.syntax,
            raw,
            repaired: self.scratch.repaired(&winner),
            weakest: self.scratch.weakest_character(&winner),
            alternatives,
            odds: self.scratch.odds(&winner),
        })
    }

    fn confidence(&self, candidate: &search::Choice, share: f64, total: f64) -> f32 {
        let posterior = if total > 0.0 { candidate.score / total * share } else { 0.0 };
        #[allow(clippy::cast_possible_truncation)] // f64 to f32 between 0 and 1 loses digits, not range
        let confidence = posterior.min(self.scratch.weakest(candidate)).clamp(0.0, 1.0) as f32;
        confidence
    }

    /// Gains of all that a text of shapes fits, `none` among them.
    fn gain_of(&self, shapes: &[u8]) -> f64 {
        let len = shapes.len();
        let first = self.grammar.first_of(len);
        let fitting = self.grammar.templates_of(len).iter().zip(&self.gains[first..]).filter(|(template, _)| {
            template.sets().iter().zip(shapes).all(|(set, shape)| self.folded_sets[usize::from(*set)] >> shape & 1 == 1)
        });
        self.none_gains[len] + fitting.map(|(_, gain)| gain).sum::<f64>()
    }
}

/// The glyph at a place of the alphabet that is known to be one.
fn glyph(index: usize) -> Glyph {
    // Invariant: shapes are numbers below GLYPHS from the moment a slot is loaded.
    Glyph::from_index(index % GLYPHS).expect("a remainder of GLYPHS is a glyph index")
}
