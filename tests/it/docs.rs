//! What the README shows is what the program sends.

use kerbside::publish::wire::{Message, ReadMessage};

use crate::support::program;

#[test]
fn the_readmes_record_is_a_record() {
    let readme = std::fs::read_to_string(program::root().join("README.md")).unwrap();
    let marked = readme.split("<!-- example: kerbside.read/1 -->").nth(1).expect("the example's marker");
    let json = marked.split("```json").nth(1).and_then(|t| t.split("```").next()).expect("the example");
    let message = ReadMessage::decode(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {json}"));
    assert_eq!(message.schema, ReadMessage::SCHEMA);
    assert_eq!(message.decoded.syntax, "gb_current");
    // No field of the example is unknown to the program: it comes back whole.
    let shown: serde_json::Value = serde_json::from_str(json).unwrap();
    let known: serde_json::Value = serde_json::to_value(&message).unwrap();
    assert_eq!(shown, known);
}

#[test]
fn the_readmes_least_configuration_is_one() {
    let readme = std::fs::read_to_string(program::root().join("README.md")).unwrap();
    let toml = readme.split("```toml").nth(1).and_then(|t| t.split("```").next()).expect("the least configuration");
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(program::demo("drive_by.mp4"), dir.path().join("clip.mp4")).unwrap();
    std::fs::copy(program::demo("hotlist.csv"), dir.path().join("hotlist.csv")).unwrap();
    let settings = kerbside::config::parse(toml, &dir.path().join("kerbside.toml")).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(settings.models_dir, dir.path().join("models"));
    assert!(settings.hotlist.local.is_some() && settings.cameras.len() == 1);
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let readme = std::fs::read_to_string(program::root().join("README.md")).unwrap();
    let promises = readme.split("## Promises").nth(1).and_then(|t| t.split("\n## ").next()).expect("the promises");
    let mut sources = String::new();
    for file in [
        "broker", "daemon", "faults", "reading", "replay", "tidy", "docs", "hotlist", "sync", "tls", "ways", "confirm",
        "command", "receiver", "schema", "cameras",
    ] {
        sources += &std::fs::read_to_string(program::root().join(format!("tests/it/{file}.rs"))).unwrap();
    }
    for file in ["broker", "certificates", "clock", "disk", "load", "network", "process"] {
        sources += &std::fs::read_to_string(program::root().join(format!("tests/torture/{file}.rs"))).unwrap();
    }
    let mut named = 0;
    for word in promises.split('`').skip(1).step_by(2).filter(|w| w.contains("::") && !w.ends_with('*') && !w.ends_with("tests"))
    {
        let test = word.rsplit("::").next().expect("a last part");
        assert!(sources.contains(&format!("fn {test}(")), "{word} is no test");
        named += 1;
    }
    assert!(named >= 6, "only {named} tests are named");
}

#[test]
fn pages_are_finished_and_their_links_lead_somewhere() {
    for page in ["README.md", "models/README.md", "benches/README.md", "models/training/README.md"] {
        let path = program::root().join(page);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(!text.contains("@@"), "{page}: a placeholder is left");
        for link in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let file = link.split('#').next().unwrap_or("");
            let is_ours = !file.is_empty() && !file.contains("://");
            assert!(!is_ours || path.parent().unwrap().join(file).exists(), "{page}: {link} leads nowhere");
        }
    }
}
