//! Finding the likeliest texts of a read, and the sum over all texts that makes a score a probability.
//!
//! The sum is exact (dynamic programming over templates and slots); the search is the best text of each template, then
//! climbing from the best of these by changing one slot at a time, to the eye's own favourites among others. So a text that
//! wins can't be bettered by giving any one character back to the eye.

use super::{Decoder, PRESENCE_FLOOR, SHAPE_FLOOR, SURELY_FILLED, Weakest};
use crate::anpr::odds::GlyphOdds;
use crate::anpr::read::PlateRead;
use crate::anpr::vrm::{GLYPHS, Glyph, Vrm};

/// A slot that is passed over.
pub(super) const SKIP: u8 = u8::MAX;

/// How many texts are kept: the winner, its four runner-ups, and spares that the climb may push out.
const POOL: usize = 8;

/// How many shapes of a slot the climb tries.
const TRIED: usize = 3;

/// Odds below this are not worth keeping: no list is matched that far from what was read.
const ODDS_FLOOR: f64 = 1e-4;

const SLOTS: usize = PlateRead::MAX;

/// A way to use the slots: a shape or [`SKIP`] for each, with its score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) slots: [u8; SLOTS],
    pub(super) score: f64,
}

impl Choice {
    /// The shapes of the slots used, in order, and how many they are; none when there are none or too many for a mark.
    pub(super) fn shapes(&self) -> Option<([u8; Vrm::MAX], usize)> {
        let (mut shapes, mut len) = ([0; Vrm::MAX], 0);
        for shape in self.slots.iter().filter(|s| **s != SKIP) {
            *shapes.get_mut(len)? = *shape;
            len += 1;
        }
        (len > 0).then_some((shapes, len))
    }
}

/// A slot made ready: twins merged, nothing impossible.
#[derive(Clone, Copy, Debug)]
struct Ready {
    /// Probability of each shape, by the folded glyph's place in the alphabet; zero at `O` and `I`.
    shapes: [f64; GLYPHS],
    presence: f64,
    /// The eye's favourites, best first.
    best: [u8; TRIED],
    /// What the eye alone says: the best unmerged glyph, folded; [`SKIP`] when it says "empty".
    seen: u8,
    /// The reader's own share of the letter in `O`/`0` and in `I`/`1`.
    letter_share: [f64; 2],
}

impl Ready {
    /// Hands over the shapes that are at least so probable, but for one.
    fn each_likelier(&self, floor: f64, but: usize, mut each: impl FnMut(Glyph, f64)) {
        for (index, p) in self.shapes.iter().enumerate().filter(|(index, p)| **p >= floor && **p > 0.0 && *index != but) {
            // Invariant of `load`: nothing stands at `O` and `I`, so these are folded shapes.
            if let Some(glyph) = Glyph::from_index(index) {
                each(glyph, *p);
            }
        }
    }
}

/// One probability against another that is kept off zero.
fn ratio(p: f64, against: f64) -> f32 {
    #[allow(clippy::cast_possible_truncation)] // at most one over the floor
    let ratio = (p / against.max(SHAPE_FLOOR)) as f32;
    ratio
}

/// What a set of glyphs finds in a slot.
#[derive(Clone, Copy, Debug, Default)]
struct InSet {
    best: u8,
    best_p: f64,
    sum: f64,
}

/// Buffers of the decoder, made once.
#[derive(Debug)]
pub(super) struct Scratch {
    slots: [Ready; SLOTS],
    len: usize,
    /// `in_set[set * SLOTS + slot]`.
    in_set: Vec<InSet>,
    pool: [Choice; POOL],
    pooled: usize,
    /// Seeds of the climb: the best choices of templates.
    seeds: [Choice; POOL],
    seeded: usize,
}

impl Scratch {
    pub(super) fn new(sets: usize) -> Self {
        let empty = Ready { shapes: [0.0; GLYPHS], presence: 0.0, best: [0; TRIED], seen: SKIP, letter_share: [0.5; 2] };
        let none = Choice { slots: [SKIP; SLOTS], score: 0.0 };
        Self {
            slots: [empty; SLOTS],
            len: 0,
            in_set: vec![InSet::default(); sets * SLOTS],
            pool: [none; POOL],
            pooled: 0,
            seeds: [none; POOL],
            seeded: 0,
        }
    }

    /// Takes a read in: slots that are all but surely empty are dropped, twins merged, sets looked up.
    pub(super) fn load(&mut self, read: &PlateRead, folded_sets: &[u64]) {
        (self.len, self.pooled, self.seeded) = (0, 0, 0);
        for slot in read.slots().iter().filter(|s| f64::from(s.presence) > PRESENCE_FLOOR) {
            let mut shapes = [0.0; GLYPHS];
            for (glyph, p) in Glyph::all().zip(slot.glyphs) {
                shapes[glyph.folded().index()] += f64::from(p);
            }
            for glyph in Glyph::all().filter(|g| g.folded() == *g) {
                let p = &mut shapes[glyph.index()];
                *p = p.clamp(0.0, 1.0) * (1.0 - 34.0 * SHAPE_FLOOR) + SHAPE_FLOOR;
            }
            let letter_share = [('O', '0'), ('I', '1')].map(|(letter, digit)| {
                let p = |c| Glyph::from_char(c).map_or(0.0, |g| f64::from(slot.glyphs[g.index()])) + SHAPE_FLOOR;
                p(letter) / (p(letter) + p(digit))
            });
            let seen = if slot.presence >= 0.5 { number(slot.best().0.folded().index()) } else { SKIP };
            let presence = f64::from(slot.presence).min(1.0 - 1e-6);
            self.slots[self.len] = Ready { best: favourites(&shapes), shapes, presence, seen, letter_share };
            self.len += 1;
        }
        for (set, of_set) in folded_sets.iter().zip(self.in_set.chunks_exact_mut(SLOTS)) {
            for (slot, into) in self.slots[..self.len].iter().zip(of_set) {
                *into = InSet::default();
                let mut rest = *set;
                while rest != 0 {
                    let shape = rest.trailing_zeros() as usize;
                    rest &= rest - 1;
                    let p = slot.shapes[shape];
                    into.sum += p;
                    if p > into.best_p {
                        (into.best, into.best_p) = (number(shape), p);
                    }
                }
            }
        }
    }

    /// The texts found, likeliest first.
    pub(super) fn pool(&self) -> &[Choice] {
        &self.pool[..self.pooled]
    }

    /// Positions of a choice where the eye saw another shape or nothing, one bit a position.
    pub(super) fn repaired(&self, choice: &Choice) -> u16 {
        self.used(choice).enumerate().filter(|(_, (slot, shape))| slot.seen != *shape).fold(0, |bits, (i, _)| bits | 1 << i)
    }

    /// The least probability that the eye gives to a step of the choice; the square root where the step is a repair.
    pub(super) fn weakest(&self, choice: &Choice) -> f64 {
        let steps = self.slots[..self.len].iter().zip(choice.slots).map(|(slot, shape)| match shape {
            SKIP if slot.seen == SKIP => 1.0 - slot.presence,
            SKIP => (1.0 - slot.presence).sqrt(),
            _ if slot.seen == shape => slot.presence * slot.shapes[usize::from(shape)],
            _ => (slot.presence * slot.shapes[usize::from(shape)]).sqrt(),
        });
        steps.fold(1.0, f64::min)
    }

    /// The character of a choice that the eye gives least.
    pub(super) fn weakest_character(&self, choice: &Choice) -> Weakest {
        let given = self.used(choice).map(|(slot, shape)| slot.presence * slot.shapes[usize::from(shape)]);
        let (place, least) = (0..).zip(given).fold((0, 1.0), |least, now| if now.1 < least.1 { now } else { least });
        #[allow(clippy::cast_possible_truncation)] // between 0 and 1
        let probability = least as f32;
        Weakest { place, probability }
    }

    /// What else the characters of a choice could be, by the eye alone: of each slot what it might hold besides, against what the
    /// choice makes of it. Odds below [`ODDS_FLOOR`] are left out.
    pub(super) fn odds(&self, choice: &Choice) -> GlyphOdds {
        let mut odds = GlyphOdds::default();
        let mut place = 0u8;
        for (slot, shape) in self.slots[..self.len].iter().zip(choice.slots) {
            let (filled, empty) = (slot.presence, 1.0 - slot.presence);
            if shape == SKIP {
                slot.each_likelier(empty * ODDS_FLOOR / filled, usize::MAX, |glyph, p| {
                    odds.add_extra(place, glyph, ratio(filled * p, empty));
                });
                continue;
            }
            let won = slot.shapes[usize::from(shape)];
            slot.each_likelier(won * ODDS_FLOOR, usize::from(shape), |glyph, p| {
                odds.add_other(usize::from(place), glyph, ratio(p, won));
            });
            if empty >= filled * won * ODDS_FLOOR {
                odds.set_absent(usize::from(place), ratio(empty, filled * won));
            }
            place += 1;
        }
        odds
    }

    /// The reader's own share of the letter of a twin pair (0 for `O`/`0`, 1 for `I`/`1`) at each position of a choice.
    pub(super) fn letter_shares(&self, choice: &Choice, into: &mut [[f64; 2]; Vrm::MAX]) {
        for (into, (slot, _)) in into.iter_mut().zip(self.used(choice)) {
            *into = slot.letter_share;
        }
    }

    fn used<'a>(&'a self, choice: &'a Choice) -> impl Iterator<Item = (&'a Ready, u8)> {
        self.slots[..self.len].iter().zip(choice.slots).filter(|(_, shape)| *shape != SKIP)
    }

    fn evidence(&self, choice: &Choice) -> f64 {
        let steps = self.slots[..self.len].iter().zip(choice.slots).map(|(slot, shape)| match shape {
            SKIP => 1.0 - slot.presence,
            _ => slot.presence * slot.shapes[usize::from(shape)],
        });
        steps.product()
    }

    /// Keeps a choice if it is among the best texts so far; of two ways to one text, the better.
    fn keep(&mut self, choice: Choice) {
        insert(&mut self.pool, &mut self.pooled, choice);
    }

    fn seed(&mut self, choice: Choice) {
        insert(&mut self.seeds, &mut self.seeded, choice);
    }
}

/// Inserts into a list sorted by score, texts unique; the last falls off when it is full.
fn insert(list: &mut [Choice; POOL], len: &mut usize, choice: Choice) {
    if *len == POOL && choice.score <= list[POOL - 1].score {
        return;
    }
    let text = choice.shapes();
    if let Some(same) = list[..*len].iter().position(|c| c.shapes() == text) {
        if list[same].score >= choice.score {
            return;
        }
        list[same..*len].rotate_left(1);
        *len -= 1;
    }
    let at = list[..*len].partition_point(|c| c.score >= choice.score);
    *len = (*len + 1).min(POOL);
    list[at..*len].rotate_right(1);
    list[at] = choice;
}

impl Decoder {
    /// Fills the pool with the likeliest texts; returns the sum of the scores of all texts there are.
    pub(super) fn search(&mut self) -> f64 {
        let slots = self.scratch.len;
        let surely_filled = self.scratch.slots[..slots].iter().filter(|s| s.presence >= SURELY_FILLED).count();
        let mut total = self.sum_of_none();
        let (grammar, gains, scratch) = (&self.grammar, &self.gains, &mut self.scratch);
        for len in surely_filled.max(1)..=slots.min(Vrm::MAX) {
            let first = grammar.first_of(len);
            for (template, gain) in grammar.templates_of(len).iter().zip(&gains[first..]) {
                let (sum, best) = scratch.align(template.sets());
                total += sum * gain;
                let floor = if scratch.seeded == POOL { scratch.seeds[POOL - 1].score } else { 0.0 };
                if best * gain > floor {
                    let mut choice = scratch.trace(template.sets());
                    choice.score = best * gain;
                    scratch.seed(choice);
                }
            }
        }
        // The eye's own words: all it sees, and the likeliest use of every slot.
        let (mut seen, mut likeliest) =
            (Choice { slots: [SKIP; SLOTS], score: 0.0 }, Choice { slots: [SKIP; SLOTS], score: 0.0 });
        for (i, slot) in self.scratch.slots[..slots].iter().enumerate() {
            seen.slots[i] = if slot.seen == SKIP { SKIP } else { slot.best[0] };
            let filled = slot.presence * slot.shapes[usize::from(slot.best[0])];
            likeliest.slots[i] = if filled >= 1.0 - slot.presence { slot.best[0] } else { SKIP };
        }
        self.offer(seen);
        self.offer(likeliest);
        for i in 0..self.scratch.seeded {
            self.offer(self.scratch.seeds[i]);
        }
        self.climb();
        total
    }

    /// Scores a choice and offers it to the pool.
    fn offer(&mut self, mut choice: Choice) {
        if let Some((shapes, len)) = choice.shapes() {
            choice.score = self.scratch.evidence(&choice) * self.gain_of(&shapes[..len]);
            self.scratch.keep(choice);
        }
    }

    /// Tries every change of one slot of the best text, until none is better. Scores only rise, so it ends; the bound is
    /// for the eye of the reader.
    fn climb(&mut self) {
        for _ in 0..2 * SLOTS {
            let Some(top) = self.scratch.pool().first().copied() else { return };
            for i in 0..self.scratch.len {
                let slot = &self.scratch.slots[i];
                let tried = slot.best;
                for shape in tried {
                    if shape != top.slots[i] {
                        let mut changed = top;
                        changed.slots[i] = shape;
                        self.offer(changed);
                    }
                }
                if top.slots[i] != SKIP && self.scratch.slots[i].presence < SURELY_FILLED {
                    let mut changed = top;
                    changed.slots[i] = SKIP;
                    self.offer(changed);
                }
            }
            if self.scratch.pool()[0].slots == top.slots {
                return;
            }
        }
    }

    /// Sum of `S` over all texts under `none`: the chance of each count of filled slots times its gain.
    fn sum_of_none(&self) -> f64 {
        let mut counts = [0.0; SLOTS + 1];
        counts[0] = 1.0;
        for slot in &self.scratch.slots[..self.scratch.len] {
            for n in (0..SLOTS).rev() {
                counts[n + 1] = counts[n + 1] * (1.0 - slot.presence) + counts[n] * slot.presence;
            }
            counts[0] *= 1.0 - slot.presence;
        }
        counts.iter().zip(self.none_gains).skip(1).map(|(share, gain)| share * gain).sum()
    }
}

impl Scratch {
    /// Lays a template over the slots in every order-keeping way: the sum of evidence over all its texts and ways, and the
    /// evidence of the best one.
    fn align(&self, sets: &[u16]) -> (f64, f64) {
        let skips = self.len - sets.len();
        let (mut sum, mut best) = ([0.0; Vrm::MAX + 1], [0.0f64; Vrm::MAX + 1]);
        (sum[0], best[0]) = (1.0, 1.0);
        for (i, slot) in self.slots[..self.len].iter().enumerate() {
            let empty = 1.0 - slot.presence;
            // Positions that can still be reached: at most `skips` slots are passed over.
            let (from, to) = ((i + 1).saturating_sub(skips), (i + 1).min(sets.len()));
            for j in (from..=to).rev() {
                let (mut s, mut b) = if j <= i { (sum[j] * empty, best[j] * empty) } else { (0.0, 0.0) };
                if j > 0 {
                    let found = self.found(sets[j - 1], i);
                    s += sum[j - 1] * slot.presence * found.sum;
                    b = b.max(best[j - 1] * slot.presence * found.best_p);
                }
                (sum[j], best[j]) = (s, b);
            }
            if from > 0 {
                (sum[from - 1], best[from - 1]) = (0.0, 0.0);
            }
        }
        (sum[sets.len()], best[sets.len()])
    }

    /// The best way of [`Self::align`], slot by slot. Only the few templates that make the seeds pay for it.
    fn trace(&self, sets: &[u16]) -> Choice {
        let mut table = [[0.0f64; Vrm::MAX + 1]; SLOTS + 1];
        table[0][0] = 1.0;
        for (i, slot) in self.slots[..self.len].iter().enumerate() {
            for j in 0..=sets.len().min(i + 1) {
                let skipped = table[i][j] * (1.0 - slot.presence);
                let used = if j > 0 { table[i][j - 1] * slot.presence * self.found(sets[j - 1], i).best_p } else { 0.0 };
                table[i + 1][j] = skipped.max(used);
            }
        }
        let mut choice = Choice { slots: [SKIP; SLOTS], score: 0.0 };
        let mut j = sets.len();
        for (i, slot) in self.slots[..self.len].iter().enumerate().rev() {
            if j == 0 {
                break;
            }
            let found = self.found(sets[j - 1], i);
            let used = table[i][j - 1] * slot.presence * found.best_p;
            if used > 0.0 && used >= table[i][j] * (1.0 - slot.presence) {
                choice.slots[i] = found.best;
                j -= 1;
            }
        }
        choice
    }

    fn found(&self, set: u16, slot: usize) -> InSet {
        self.in_set[usize::from(set) * SLOTS + slot]
    }
}

fn favourites(shapes: &[f64; GLYPHS]) -> [u8; TRIED] {
    let mut best = [0u8; TRIED];
    let mut floor = f64::INFINITY;
    let mut taken = 0u64;
    for into in &mut best {
        let mut top = (0, -1.0);
        for (i, p) in shapes.iter().enumerate() {
            if *p > top.1 && *p <= floor && taken >> i & 1 == 0 {
                top = (i, *p);
            }
        }
        taken |= 1 << top.0;
        floor = top.1;
        *into = number(top.0);
    }
    best
}

/// A place in the alphabet as the byte that choices hold.
fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(SKIP)
}
