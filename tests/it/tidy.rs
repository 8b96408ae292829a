//! The rules of the house that a machine can hold: who may use whom, which file may name which crate, how long a file
//! may be. The table of ranks stands in `src/lib.rs`; this test is what makes it true.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rooms by rank. `use crate::` may point to a lower rank, or stay in its own room.
const RANKS: [(&str, u8); 13] = [
    ("clock", 0),
    ("geometry", 0),
    ("ident", 0),
    ("keys", 0),
    ("frame", 1),
    ("anpr", 1),
    ("outbox", 1),
    ("vision", 2),
    ("camera", 2),
    ("publish", 2),
    ("config", 3),
    ("runtime", 4),
    ("cli", 5),
];

/// Crates that only these files (or folders) may name: the boundaries of the house.
const OWNERS: [(&str, &[&str]); 15] = [
    ("ort::", &["src/vision/onnx.rs"]),
    ("rumqttc", &["src/publish/mqtt/"]),
    ("rumqttd", &["src/cli/demo_broker.rs"]),
    ("rusqlite", &["src/outbox/", "src/publish/receiver/"]),
    ("videoio", &["src/camera/opencv.rs"]),
    ("opencv::", &["src/vision/", "src/camera/opencv.rs"]),
    ("serde", &["src/publish/wire", "src/publish/sync/", "src/config/raw.rs", "src/vision/manifest.rs", "src/cli/"]),
    ("tokio", &["src/publish/", "src/runtime/", "src/cli/"]),
    ("libc::", &["src/clock.rs", "src/main.rs"]),
    ("age::", &["src/keys", "src/publish/sync/"]),
    ("ed25519_dalek", &["src/keys.rs"]),
    ("flate2", &["src/publish/sync/"]),
    ("chacha20poly1305", &["src/outbox/"]),
    ("rustls", &["src/publish/mqtt/"]),
    ("schemars", &["src/publish/wire", "src/cli/schema"]),
];

/// What the pure core has never heard of.
const CORE_KNOWS_NOT: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::sync::Mutex",
    "SystemTime",
    "Instant::now",
    "tracing::",
    "serde",
    "opencv",
    "crate::frame",
];

/// Above this many lines ask what else lives in a file; lower it as files shrink.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a folder of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("src"), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|p| {
            let name = p.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_owned();
            let text = std::fs::read_to_string(&p).expect("readable");
            (name, text)
        })
        .collect()
}

/// Lines that are code: no comments, and nothing of what stands in quotes.
fn code(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(str::trim).filter(|l| !l.starts_with("//")).map(|l| l.split('"').step_by(2).collect::<Vec<_>>().join("\"\""))
}

fn room(file: &str) -> &str {
    let inner = file.strip_prefix("src/").expect("a source");
    inner.split_once('/').map_or_else(|| inner.trim_end_matches(".rs"), |(room, _)| room)
}

#[test]
fn rooms_use_only_lower_ranks() {
    let ranks: BTreeMap<_, _> = RANKS.into_iter().collect();
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let own = room(&file);
        if own == "main" || own == "lib" {
            continue;
        }
        let rank =
            ranks.get(own).unwrap_or_else(|| panic!("{file}: room {own:?} has no rank; add it to the table and to src/lib.rs"));
        for line in code(&text) {
            for used in line.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if let Some(other) = ranks.get(name.as_str())
                    && name != own
                    && other >= rank
                {
                    faults.push(format!("{file}: {own} (rank {rank}) uses {name} (rank {other}): {line}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_are_named_where_they_belong() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for (name, owners) in OWNERS {
            if owners.iter().any(|o| file.starts_with(o)) {
                continue;
            }
            // `xort::` is not `ort::`.
            let names = |line: &String| {
                line.match_indices(name).any(|(i, _)| !line[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            };
            faults.extend(code(&text).filter(names).map(|l| format!("{file}: names {name}: {l}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut faults = Vec::new();
    for (file, text) in sources().into_iter().filter(|(f, _)| f.starts_with("src/anpr/")) {
        for word in CORE_KNOWS_NOT {
            faults.extend(code(&text).filter(|l| l.contains(word)).map(|l| format!("{file}: {word}: {l}")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_are_short_and_open_with_what_they_are_for() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{file}: {lines} lines, at most {MAX_LINES}: what else lives there?"));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{file}: opens without saying what it is for"));
        }
    }
    let main = std::fs::read_to_string(root().join("src/main.rs")).expect("main.rs").lines().count();
    assert!(main < 60, "src/main.rs has {main} lines; it only hands over to cli");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_top_level_holds_nothing_else() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "Makefile",
        "LICENSE",
        "README.md",
        "src",
        "models",
        "calibration",
        "systemd",
        "benches",
        "tests",
    ];
    // Made by building and by the demo, never tracked.
    let made = ["target", "demo-out"];
    let strangers: Vec<String> = std::fs::read_dir(root())
        .expect("the root")
        .map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|n| !n.starts_with('.') && !allowed.contains(&n.as_str()) && !made.contains(&n.as_str()))
        .collect();
    assert!(strangers.is_empty(), "not in the layout: {strangers:?}");
}
