//! Plots as inline SVG, drawn by hand: bars with whiskers, and histograms. Colours come from the page's style sheet, so that one drawing
//! does for light, dark and paper.
//!
//! Nothing here knows what is plotted. All texts are escaped on their way in; every plot has a title and a description for those who
//! can't see it, and the page puts its table behind it.

use std::fmt::Write;

/// Text that is safe between tags and in attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A bar: a share with its interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    /// The share, 0 to 1.
    pub(super) share: f64,
    /// Its interval, 0 to 1.
    pub(super) interval: (f64, f64),
    /// What is claimed instead of counted, 0 to 1: a diamond.
    pub(super) claimed: Option<f64>,
    /// Said when somebody points at it.
    pub(super) note: String,
}

/// Bars that stand together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    /// Below the name, smaller.
    pub(super) count: String,
    /// One a series, in their order; none where nothing was counted.
    pub(super) bars: Vec<Option<Bar>>,
}

/// One colour of bars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// Class of the style sheet: `a` or `b`.
    pub(super) class: &'static str,
    /// A share that is wanted: a dashed line across.
    pub(super) wanted: Option<f64>,
}

/// What a plot says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title<'a> {
    /// Unique in the page, letters and digits.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
}

const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 42.0;
const LEAST_WIDTH: f64 = 400.0;
const BAR: f64 = 24.0;

/// A drawing under way; y runs down.
#[derive(Debug)]
struct Drawing {
    width: f64,
    body: String,
}

impl Drawing {
    fn new(width: f64) -> Self {
        Self { width: width.max(LEAST_WIDTH), body: String::new() }
    }

    /// Where a share of the height lies.
    fn y(share: f64) -> f64 {
        HEIGHT - BOTTOM - share.clamp(0.0, 1.0) * (HEIGHT - BOTTOM - TOP)
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Invariant: a String takes whatever is written.
        self.body.write_fmt(element).expect("a String takes all");
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, content: &str) {
        self.add(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escaped(content)));
    }

    fn line(&mut self, (x0, y0): (f64, f64), (x1, y1): (f64, f64), class: &str) {
        self.add(format_args!("<line x1=\"{x0:.1}\" y1=\"{y0:.1}\" x2=\"{x1:.1}\" y2=\"{y1:.1}\" class=\"{class}\"/>"));
    }

    fn bar(&mut self, (left, width): (f64, f64), share: f64, class: &str, note: &str) {
        let (top, note) = (Self::y(share), escaped(note));
        let height = HEIGHT - BOTTOM - top;
        self.add(format_args!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" class=\"{class}\"><title>{note}</title></rect>"
        ));
    }

    /// Lines across with their values at the left.
    fn scale(&mut self, marks: &[(f64, String)]) {
        for (share, name) in marks {
            let y = Self::y(*share);
            self.line((LEFT, y), (self.width - RIGHT, y), if *share == 0.0 { "axis" } else { "grid" });
            self.text((LEFT - 6.0, y + 4.0), "t end", name);
        }
    }

    fn finish(self, about: Title<'_>) -> String {
        let Title { id, title, description } = about;
        format!(
            "<svg viewBox=\"0 0 {w:.0} {HEIGHT:.0}\" style=\"min-width:{least:.0}px;max-width:{w:.0}px\" role=\"img\" aria-labelledby=\"{id}t {id}d\">\
             <title id=\"{id}t\">{title}</title><desc id=\"{id}d\">{desc}</desc>{body}</svg>",
            w = self.width,
            least = self.width * 0.8,
            title = escaped(title),
            desc = escaped(description),
            body = self.body,
        )
    }
}

/// Groups of bars from 0 to 100 %, with whiskers.
pub(super) fn bars(about: Title<'_>, series: &[Series], groups: &[Group]) -> String {
    let count = number(series.len());
    let least_step = count * (BAR + 4.0) + 32.0;
    let mut drawing = Drawing::new(LEFT + RIGHT + number(groups.len()) * least_step);
    let step = (drawing.width - LEFT - RIGHT) / number(groups.len().max(1));
    drawing.scale(&[0.0, 0.25, 0.5, 0.75, 1.0].map(|s| (s, format!("{:.0} %", s * 100.0))));
    legend(&mut drawing, series, groups);
    for (i, group) in groups.iter().enumerate() {
        let middle = LEFT + (number(i) + 0.5) * step;
        let first = middle - count * (BAR + 4.0) / 2.0 + 2.0;
        for (j, (bar, series)) in group.bars.iter().zip(series).enumerate() {
            let Some(bar) = bar else { continue };
            let left = first + number(j) * (BAR + 4.0);
            drawing.bar((left, BAR), bar.share, series.class, &bar.note);
            whisker(&mut drawing, left + BAR / 2.0, bar.interval);
            if let Some(claimed) = bar.claimed {
                diamond(&mut drawing, left + BAR / 2.0, Drawing::y(claimed));
            }
        }
        drawing.text((middle, HEIGHT - BOTTOM + 16.0), "t mid", &group.name);
        drawing.text((middle, HEIGHT - BOTTOM + 31.0), "t mid faint", &group.count);
    }
    for series in series {
        if let Some(wanted) = series.wanted {
            let y = Drawing::y(wanted);
            drawing.line((LEFT, y), (drawing.width - RIGHT, y), &format!("wanted {}l", series.class));
        }
    }
    drawing.finish(about)
}

fn legend(drawing: &mut Drawing, series: &[Series], groups: &[Group]) {
    let mut x = LEFT;
    for series in series {
        drawing.add(format_args!("<rect x=\"{x:.1}\" y=\"6\" width=\"12\" height=\"12\" rx=\"2\" class=\"{}\"/>", series.class));
        let name =
            series.wanted.map_or_else(|| series.name.to_owned(), |w| format!("{}, {:.0} % wanted", series.name, w * 100.0));
        drawing.text((x + 17.0, 16.0), "t", &name);
        x += 34.0 + 6.3 * number(name.chars().count());
    }
    if groups.iter().flat_map(|g| g.bars.iter().flatten()).any(|b| b.claimed.is_some()) {
        diamond(drawing, x + 6.0, 12.0);
        drawing.text((x + 17.0, 16.0), "t", "as stated");
    }
}

fn whisker(drawing: &mut Drawing, x: f64, (low, high): (f64, f64)) {
    let (bottom, top) = (Drawing::y(low), Drawing::y(high));
    drawing.line((x, bottom), (x, top), "whisker");
    drawing.line((x - 4.0, bottom), (x + 4.0, bottom), "whisker");
    drawing.line((x - 4.0, top), (x + 4.0, top), "whisker");
}

fn diamond(drawing: &mut Drawing, x: f64, y: f64) {
    drawing.add(format_args!("<path d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\" class=\"diamond\"/>", y - 6.0));
}

/// A bin of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) count: u64,
}

/// Most bins that are readable.
const MOST_BINS: f64 = 24.0;

/// Sorted values in bins of one round width, an empty one on either side.
pub(super) fn bins(sorted: &[f64]) -> Vec<Bin> {
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let widths = (-2..7).flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power)));
    let width = widths.into_iter().find(|w| (most - least) / w <= MOST_BINS - 4.0).unwrap_or(1e7);
    // A hair above, so that values on a bin's end, which binary fractions miss by as much, fall into one bin.
    let bin = |v: f64| (v / width + 1e-6).floor();
    let (mut at, end) = (bin(*least) - 1.0, bin(*most) + 1.0);
    let mut bins = Vec::new();
    while at <= end {
        let count = sorted.iter().filter(|v| (bin(**v) - at).abs() < 0.5).count();
        bins.push(Bin { from: at * width, to: (at + 1.0) * width, count: u64::try_from(count).unwrap_or(u64::MAX) });
        at += 1.0;
    }
    bins
}

/// A histogram in seconds, with lines at given values.
pub(super) fn histogram(about: Title<'_>, bins: &[Bin], lines: &[(f64, String)]) -> String {
    let mut drawing = Drawing::new(LEAST_WIDTH);
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return drawing.finish(about) };
    #[allow(clippy::cast_precision_loss)] // counts of a clip
    let most = bins.iter().map(|b| b.count).max().unwrap_or(1).max(1) as f64;
    let span = last.to - first.from;
    let x = |v: f64| LEFT + (v - first.from) / span * (LEAST_WIDTH - LEFT - RIGHT);
    drawing.scale(&[(0.0, "0".to_owned()), (0.5, format!("{:.0}", most / 2.0)), (1.0, format!("{most:.0}"))]);
    let every = bins.len().div_ceil(6);
    for (i, bin) in bins.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let share = bin.count as f64 / most;
        let note = format!("{:.2} to {:.2} s: {}", bin.from, bin.to, bin.count);
        if bin.count > 0 {
            drawing.bar((x(bin.from) + 0.5, x(bin.to) - x(bin.from) - 1.0), share, "a", &note);
        }
        if i % every == 0 {
            drawing.text((x(bin.from), HEIGHT - BOTTOM + 16.0), "t mid", &format!("{:.2}", bin.from));
        }
    }
    drawing.text((LEAST_WIDTH - RIGHT, HEIGHT - BOTTOM + 31.0), "t end faint", "seconds");
    for (i, (value, name)) in lines.iter().enumerate() {
        let at = x(value.clamp(first.from, last.to));
        drawing.line((at, TOP - 6.0), (at, HEIGHT - BOTTOM), "marker");
        let (class, dx) = if at > LEAST_WIDTH * 0.6 { ("t end", -4.0) } else { ("t", 4.0) };
        drawing.text((at + dx, 12.0 + 14.0 * number(i)), class, name);
    }
    drawing.finish(about)
}

#[allow(clippy::cast_precision_loss)] // a few
fn number(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const ABOUT: Title<'_> = Title { id: "p1", title: "A <b> & \"c\"", description: "d's" };

    /// Every tag that opens closes, in order, and nothing but tags and text is there.
    pub(crate) fn is_well_formed(markup: &str) -> bool {
        let mut open: Vec<&str> = Vec::new();
        for piece in markup.split('<').skip(1) {
            let Some((tag, text)) = piece.split_once('>') else { return false };
            let name = tag.split([' ', '/']).find(|n| !n.is_empty()).unwrap_or("");
            if tag.matches('"').count() % 2 == 1 || text.contains('>') {
                return false;
            }
            if tag.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open.is_empty()
    }

    fn bar(share: f64) -> Option<Bar> {
        Some(Bar { share, interval: (share - 0.1, share + 0.1), claimed: Some(0.5), note: "<note>".into() })
    }

    #[test]
    fn nothing_that_is_said_can_become_markup() {
        assert_eq!(escaped("<a href=\"x\">&'\u{7}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}");
    }

    #[test]
    fn bars_are_well_formed_whatever_their_names() {
        let series =
            [Series { name: "captured", class: "a", wanted: Some(0.98) }, Series { name: "read", class: "b", wanted: None }];
        let group = |name: &str| Group { name: name.into(), count: "n = 3".into(), bars: vec![bar(0.9), None] };
        let svg = bars(ABOUT, &series, &[group("<script>alert(1)</script>"), group("b & c")]);
        assert!(is_well_formed(&svg) && !svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(
            svg.contains("<title id=\"p1t\">A &lt;b&gt; &amp; &quot;c&quot;</title><desc id=\"p1d\">d&#39;s</desc>"),
            "{svg}"
        );
        assert_eq!(svg.matches("class=\"diamond\"").count(), 3, "one a bar, one in the legend");
        assert!(is_well_formed(&bars(ABOUT, &series, &[])) && !svg.contains("NaN"));
    }

    #[test]
    fn bars_stand_as_high_as_their_shares() {
        assert!((Drawing::y(0.0) - (HEIGHT - BOTTOM)).abs() < 1e-9 && (Drawing::y(1.0) - TOP).abs() < 1e-9);
        assert!((Drawing::y(7.0) - TOP).abs() < 1e-9 && (Drawing::y(-1.0) - Drawing::y(0.0)).abs() < 1e-9);
    }

    #[test]
    fn bins_hold_every_value_once_and_are_few() {
        for values in [vec![0.64; 9], vec![-0.04, 0.0, 0.04, 0.08], (0..500).map(|i| f64::from(i) * 0.37).collect(), vec![1e9]] {
            let made = bins(&values);
            assert_eq!(made.iter().map(|b| b.count).sum::<u64>(), u64::try_from(values.len()).expect("few"), "{made:?}");
            assert!((3..=24).contains(&made.len()) && made[0].count == 0, "{}", made.len());
        }
        assert_eq!(bins(&[]), []);
        let at = bins(&[0.64, 0.64]).into_iter().find(|b| b.count == 2).expect("in one bin");
        assert!((at.from - 0.64).abs() < 1e-9, "{at:?}");
    }

    #[test]
    fn histograms_are_well_formed() {
        let made = bins(&[0.1, 0.2, 0.2, 0.9]);
        let svg = histogram(ABOUT, &made, &[(0.2, "median <0.2>".into()), (9.0, "p95".into())]);
        assert!(is_well_formed(&svg) && svg.contains("median &lt;0.2&gt;") && !svg.contains("NaN"), "{svg}");
        assert!(is_well_formed(&histogram(ABOUT, &[], &[])));
    }
}
