//! Manifests: what is signed is what is read, and every rule has one that breaks it.

use super::*;
use crate::keys::Identity;

fn payload(bytes: u64) -> Payload {
    let chunks = vec!["c".repeat(64); usize::try_from(bytes.div_ceil(CHUNK_BYTES)).unwrap()];
    Payload { bytes, sha256: "b".repeat(64), plain_bytes: bytes * 5, chunks }
}

fn step(from: u64, to_entries: u64, hashes: [&str; 2]) -> Step {
    let [from_content_sha256, to_content_sha256] = hashes.map(|h| h.repeat(64));
    Step { from, to: from + 1, from_content_sha256, to_content_sha256, to_entries, payload: payload(300) }
}

fn good() -> Manifest {
    Manifest {
        schema: SCHEMA.into(),
        list: "north".into(),
        number: 42,
        created: UtcTime::parse("2026-11-22").unwrap(),
        expires: UtcTime::parse("2026-12-20").unwrap(),
        previous: Some(41),
        entries: 7,
        content_sha256: "a".repeat(64),
        recipients: vec![Identity::generate().recipients().next().unwrap().to_string()],
        full: Some(payload(CHUNK_BYTES + 1)),
        steps: vec![step(40, 9, ["e", "f"]), step(41, 7, ["f", "a"])],
    }
}

#[test]
fn what_is_signed_is_what_is_read() {
    let key = SigningKey::generate().unwrap();
    let trust = TrustedKeys::default().and(&key);
    let signed = SignedManifest::sign(good(), &key).unwrap();
    let read = SignedManifest::verify(&[signed.bytes(), b"\n"].concat(), &trust).unwrap();
    assert_eq!(read, signed);
    assert_eq!((read.key(), &read.manifest().list[..]), (key.id(), "north"));
    assert_eq!(SignedManifest::unverified(signed.bytes()).unwrap(), signed);
    assert_eq!(read.manifest().parts().map(|(name, _)| name).collect::<Vec<_>>(), ["full", "step 40-41", "step 41-42"]);
}

#[test]
fn no_byte_can_be_changed() {
    let key = SigningKey::generate().unwrap();
    let trust = TrustedKeys::default().and(&key);
    let wire = SignedManifest::sign(good(), &key).unwrap().bytes().to_owned();
    for at in 0..wire.len() {
        for flip in [1, 0x20] {
            let mut bad = wire.clone();
            bad[at] ^= flip;
            assert!(SignedManifest::verify(&bad, &trust).is_err(), "byte {at}");
        }
        assert!(SignedManifest::verify(&wire[..at], &trust).is_err(), "cut at {at}");
    }
    let said = SignedManifest::verify(&wire, &TrustedKeys::default()).unwrap_err().to_string();
    assert!(said.contains(&key.id().to_string()) && said.contains("(trusted: none)"), "{said}");
    let other = TrustedKeys::default().and(&SigningKey::generate().unwrap());
    assert!(matches!(SignedManifest::verify(&wire, &other), Err(ManifestError::UnknownKey { .. })));
    assert_eq!(
        SignedManifest::verify(&vec![b' '; MAX_WIRE_BYTES * 2], &trust).unwrap_err().to_string().split(':').next(),
        Some("this is no signed manifest")
    );
    assert_eq!(SignedManifest::verify(&vec![b'x'; MAX_WIRE_BYTES + 1], &trust), Err(ManifestError::TooLarge));
}

#[test]
fn every_rule_is_kept_even_by_those_who_hold_the_key() {
    let key = SigningKey::generate().unwrap();
    type Break = fn(&mut Manifest);
    let breaks: [(Break, &str); 23] = [
        (|m| m.schema = "kerbside.hotlist_manifest/2".into(), "this program knows"),
        (|m| m.list = "../etc".into(), "list id"),
        (|m| m.number = 0, "count from 1"),
        (|m| m.expires = m.created, "expires at"),
        (|m| m.previous = Some(42), "not older"),
        (|m| m.previous = Some(40), "not where the step 41-42 begins"),
        (|m| m.entries = MAX_ENTRIES + 1, "rows are more than"),
        (|m| m.content_sha256 = "A".repeat(64), "content_sha256"),
        (|m| m.recipients.clear(), "0 recipients"),
        (|m| m.recipients = vec!["age1x".into()], "no recipient"),
        (|m| (m.full, m.steps) = (None, vec![]), "neither"),
        (|m| m.full = Some(payload(MAX_PAYLOAD_BYTES + 1)), "\"full\": 1073741825 bytes"),
        (|m| m.full = Some(Payload { bytes: 0, ..payload(1) }), "0 bytes"),
        (|m| m.full = Some(Payload { plain_bytes: MAX_PLAIN_BYTES + 1, ..payload(MAX_PAYLOAD_BYTES) }), "bytes of content"),
        (|m| m.full = Some(Payload { plain_bytes: 100_100, ..payload(1000) }), "more than 100 for one"),
        (|m| m.full = Some(Payload { chunks: vec![], ..payload(1000) }), "0 chunks"),
        (|m| m.steps[0].payload.chunks[0] = "../../../etc/passwd".into(), "\"step 40-41\": chunk is no SHA-256"),
        (|m| m.steps[0].to = 40, "leads nowhere"),
        (|m| m.steps[0].to_entries = u64::MAX, "rows are more than"),
        (|m| m.steps[1].from_content_sha256 = "0".repeat(64), "does not begin where"),
        (|m| drop(m.steps.pop()), "does not end at version 42"),
        (|m| m.steps[1].to_entries = 8, "does not end at version 42"),
        (|m| m.steps = vec![step(41, 7, ["a", "a"]); 33], "33 steps"),
    ];
    for (spoil, says) in breaks {
        let mut bad = good();
        spoil(&mut bad);
        let said = SignedManifest::sign(bad, &key).unwrap_err().to_string();
        assert!(said.contains(says), "{says:?} is missing from: {said}");
    }
}

#[test]
fn the_clock_is_asked_apart() {
    let key = SigningKey::generate().unwrap();
    let signed = SignedManifest::sign(good(), &key).unwrap();
    let at = |text| signed.check_current(UtcTime::parse(text).unwrap());
    assert_eq!(at("2026-11-22T10:00:00Z"), Ok(()));
    assert_eq!(at("2026-11-21T01:00:00Z"), Ok(()), "23 hours are a time zone, not a fault");
    let said = at("2026-11-20T01:00:00Z").unwrap_err().to_string();
    assert!(said.contains("this clock is wrong") && said.contains("or the list is"), "{said}");
    let said = at("2026-12-20").unwrap_err().to_string();
    assert!(said.contains("north version 42 expired at 2026-12-20T00:00:00.000Z"), "{said}");
}

#[test]
fn what_nobody_signed_is_told_of_in_few_words_on_one_line() {
    let key = r#","key":"0000000000000000","manifest":"","signature":""}"#;
    let long = format!(r#"{{"schema":"{}"{key}"#, "\\u0007x".repeat(20_000));
    let forged = format!(r#"{{"a\nERROR all lists are gone":1{key}"#);
    for wire in [long, forged] {
        let said = SignedManifest::verify(wire.as_bytes(), &TrustedKeys::default()).unwrap_err().to_string();
        assert!(said.starts_with("this is no signed manifest: "), "{said}");
        assert!(said.len() < 1000 && !said.contains(char::is_control), "{said}");
    }
}
