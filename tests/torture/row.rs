//! One line of the table.

use std::path::PathBuf;

/// Whether this is the long run.
pub(crate) fn full() -> bool {
    std::env::var("KERBSIDE_TORTURE").is_ok_and(|v| v == "full")
}

/// What a scenario came to.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) faults: String,
    /// Numbers that the box gave.
    pub(crate) sent: u64,
    /// Of these, the ones that the back office has stored.
    pub(crate) received: u64,
    /// Arrivals beyond the first of each.
    pub(crate) duplicates: u64,
    /// Numbers that the box declared missing.
    pub(crate) declared: u64,
    /// Numbers that nobody accounts for.
    pub(crate) lost: u64,
    /// Messages that contradict others, or that the box did not sign.
    pub(crate) conflicts: u64,
    pub(crate) chain: String,
    pub(crate) note: String,
}

/// Where rows lie: `target/torture`.
pub(crate) fn folder() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    target.parent().expect("the target folder").join("torture")
}

impl Row {
    fn line(cells: [&str; 9]) -> String {
        let [scenario, faults, sent, received, duplicates, gaps, lost, conflicts, rest] = cells;
        format!(
            "{scenario:<24} {faults:<38} {sent:>8} {received:>8} {duplicates:>10} {gaps:>6} {lost:>6} {conflicts:>9}  {rest}\n"
        )
    }

    /// Leaves it where `make torture` finds it, with the table's head.
    pub(crate) fn write(&self) {
        let dir = folder();
        std::fs::create_dir_all(&dir).unwrap();
        let head = ["scenario", "faults", "sent", "received", "duplicates", "gaps", "lost", "conflicts", "chain, note"];
        std::fs::write(dir.join("00-head.row"), Self::line(head)).unwrap();
        let numbers =
            [self.sent, self.received, self.duplicates, self.declared, self.lost, self.conflicts].map(|n| n.to_string());
        let [sent, received, duplicates, declared, lost, conflicts] = numbers.each_ref().map(String::as_str);
        let rest = [self.chain.as_str(), self.note.as_str()].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("; ");
        let name = self.scenario.replace(' ', "-");
        let line = Self::line([&self.scenario, &self.faults, sent, received, duplicates, declared, lost, conflicts, &rest]);
        print!("{line}");
        std::fs::write(dir.join(format!("{name}.row")), line).unwrap();
    }

    /// What all of this is for.
    pub(crate) fn assert_nothing_lost(&self, log: &str) {
        assert!(self.sent > 0 && self.lost == 0 && self.conflicts == 0 && self.chain == "unbroken", "{self:#?}\n{log}");
    }
}

/// A scenario that this machine does not permit leaves a row too.
pub(crate) fn skipped(scenario: &str, why: &str) {
    let row = Row {
        scenario: scenario.to_owned(),
        faults: "none: left out".into(),
        sent: 0,
        received: 0,
        duplicates: 0,
        declared: 0,
        lost: 0,
        conflicts: 0,
        chain: String::new(),
        note: why.to_owned(),
    };
    row.write();
}
