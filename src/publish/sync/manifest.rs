//! The signed manifest of a list: what version there is, what its content must be, and where each way to it begins.
//!
//! Wire form, one line of JSON (the retained message, and line 2 of a sealed file):
//!
//! ```text
//! {"schema":"kerbside.hotlist_signed/1","key":"<key id>","manifest":"<base64 of the manifest's JSON>","signature":"<base64, 64 bytes>"}
//! ```
//!
//! Signed is `kerbside hotlist manifest 1\n` and then the manifest's JSON, byte by byte as it stands in the base64. So nothing
//! has to be put in a canonical form before it can be checked, and the signature is checked before the JSON is looked at.
//!
//! Every number in a manifest that [`SignedManifest::verify`] let through is within the bounds named here; whether it is in date
//! ([`SignedManifest::check_current`]) and newer than what is in force is asked by whoever puts it in force.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::UtcTime;
use crate::ident::is_opaque_id;
use crate::keys::{KeyId, Recipient, SigningKey, TrustedKeys};

/// Bytes of every chunk of a payload but the last.
pub const CHUNK_BYTES: u64 = 256 * 1024;
/// Largest wire form, bytes. With 90 bytes a chunk this bounds all payloads of a manifest to about 700 MiB together.
pub const MAX_WIRE_BYTES: usize = 256 * 1024;
/// Largest encrypted payload, bytes.
pub const MAX_PAYLOAD_BYTES: u64 = 1 << 30;
/// Largest plain content, bytes.
pub const MAX_PLAIN_BYTES: u64 = 4 << 30;
/// Most rows.
pub const MAX_ENTRIES: u64 = 50_000_000;
/// Most bytes of content for one byte of payload: ten times what real lists reach, a tenth of what gzip can.
pub const MAX_EXPANSION: u64 = 100;
/// Most steps from older versions.
pub const MAX_STEPS: usize = 32;
/// Most boxes or fleets that a list is encrypted for.
pub const MAX_RECIPIENTS: usize = 1024;
/// How far in the future `created` may lie, microseconds: clocks differ, days don't.
const MAX_AHEAD_US: i64 = 24 * 3600 * 1_000_000;

/// Characters shown of what is wrong with bytes that nobody signed.
const MAX_UNSIGNED_WORDS: usize = 200;

const SIGNED_SCHEMA: &str = "kerbside.hotlist_signed/1";
const SCHEMA: &str = "kerbside.hotlist_manifest/1";
const SIGNED_PREFIX: &[u8] = b"kerbside hotlist manifest 1\n";

/// Why a manifest is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any manifest has.
    #[error("the manifest is larger than {} KiB; it is no manifest, or it names too many chunks: seal without the full list or with fewer steps", MAX_WIRE_BYTES / 1024)]
    TooLarge,
    /// The outer JSON is not as it should be.
    #[error("this is no signed manifest: {0}")]
    NotSigned(String),
    /// Nobody whom we trust has this key.
    #[error(
        "the manifest is signed with the key {key}, which is not trusted here (trusted: {trusted}); name its public key as trusted, or get the list from its owner"
    )]
    UnknownKey {
        /// The key's id.
        key: KeyId,
        /// The ids of the keys that are trusted.
        trusted: String,
    },
    /// The key is right and the signature is not.
    #[error("the signature of the manifest is wrong: it was changed after the key {key} signed it, or damaged on its way")]
    BadSignature {
        /// The key's id.
        key: KeyId,
    },
    /// Signed, and still not a manifest that keeps the rules.
    #[error("the manifest breaks a rule: {0}; its maker has to seal the list again")]
    Rule(String),
    /// Its time is over.
    #[error("the list {list} version {number} expired at {expires} (it is {now} here); get a newer one from its owner")]
    Expired {
        /// The list's id.
        list: String,
        /// Its version.
        number: u64,
        /// When it expired.
        expires: UtcTime,
        /// The time here.
        now: UtcTime,
    },
    /// It was made in the future.
    #[error(
        "the list {list} version {number} says that it was made at {created}, but it is {now} here: either this clock is wrong (check it) or the list is"
    )]
    FromTheFuture {
        /// The list's id.
        list: String,
        /// Its version.
        number: u64,
        /// When it was made.
        created: UtcTime,
        /// The time here.
        now: UtcTime,
    },
}

/// What a list's owner vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `kerbside.hotlist_manifest/1`.
    pub schema: String,
    /// The list's opaque id.
    pub list: String,
    /// Its version; counts up from 1.
    pub number: u64,
    /// When this version was made.
    #[serde(with = "moment")]
    pub created: UtcTime,
    /// From when on nothing of it may match.
    #[serde(with = "moment")]
    pub expires: UtcTime,
    /// The version before, where there was one.
    pub previous: Option<u64>,
    /// Rows of this version.
    pub entries: u64,
    /// What names the content, whichever way it came, hex: see [`ContentSum`](super::format::ContentSum).
    pub content_sha256: String,
    /// For whom the payloads are encrypted (`age1...`).
    pub recipients: Vec<String>,
    /// The whole list.
    pub full: Option<Payload>,
    /// Deltas, oldest first, each beginning where the one before ends; the last ends at `number`.
    pub steps: Vec<Step>,
}

/// Encrypted bytes, and how to know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256, hex.
    pub sha256: String,
    /// How many bytes of content come out of them.
    pub plain_bytes: u64,
    /// SHA-256 of each chunk of [`CHUNK_BYTES`], hex, in order.
    pub chunks: Vec<String>,
}

/// One delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The version that it changes.
    pub from: u64,
    /// The version that it makes.
    pub to: u64,
    /// [`Manifest::content_sha256`] of the version that it changes.
    pub from_content_sha256: String,
    /// The same of the version that it makes.
    pub to_content_sha256: String,
    /// Rows of the version that it makes.
    pub to_entries: u64,
    /// The delta.
    pub payload: Payload,
}

impl Manifest {
    /// The schema that we write and read.
    pub const SCHEMA: &'static str = SCHEMA;

    /// Its payloads and what they are called in a sealed file: `full`, then `step 41-42`, ...
    pub fn parts(&self) -> impl Iterator<Item = (String, &Payload)> {
        let full = self.full.iter().map(|payload| ("full".to_owned(), payload));
        full.chain(self.steps.iter().map(|step| (step.name(), &step.payload)))
    }

    /// Whether it keeps every rule that needs neither a clock nor another list.
    fn check(&self) -> Result<(), String> {
        let must = |ok: bool, what: &dyn Fn() -> String| if ok { Ok(()) } else { Err(what()) };
        must(self.schema == SCHEMA, &|| format!("its schema is {:?}, this program knows {SCHEMA:?}", self.schema))?;
        must(is_opaque_id(&self.list), &|| format!("the list id {:?} is not 1 to 32 of a-z, 0-9, - and _", self.list))?;
        must(self.number >= 1, &|| "versions count from 1".into())?;
        must(self.expires > self.created, &|| format!("it expires at {} but was made at {}", self.expires, self.created))?;
        must(self.previous.is_none_or(|p| p < self.number), &|| "its previous version is not older".into())?;
        must(self.entries <= MAX_ENTRIES, &|| format!("{} rows are more than {MAX_ENTRIES}", self.entries))?;
        hash(&self.content_sha256, "content_sha256")?;
        must((1..=MAX_RECIPIENTS).contains(&self.recipients.len()), &|| {
            format!("it is encrypted for {} recipients; allowed are 1 to {MAX_RECIPIENTS}", self.recipients.len())
        })?;
        self.recipients.iter().try_for_each(|r| r.parse::<Recipient>().map(drop))?;
        must(self.full.is_some() || !self.steps.is_empty(), &|| "it has neither the full list nor a step".into())?;
        self.parts().try_for_each(|(name, payload)| payload.check().map_err(|e| format!("part {name:?}: {e}")))?;
        must(self.steps.len() <= MAX_STEPS, &|| format!("{} steps are more than {MAX_STEPS}", self.steps.len()))?;
        for step in &self.steps {
            must(step.to > step.from && step.from >= 1, &|| format!("the {} leads nowhere", step.name()))?;
            must(step.to_entries <= MAX_ENTRIES, &|| format!("{} rows are more than {MAX_ENTRIES}", step.to_entries))?;
            hash(&step.from_content_sha256, "from_content_sha256")?;
            hash(&step.to_content_sha256, "to_content_sha256")?;
        }
        for pair in self.steps.windows(2) {
            let joined = pair[0].to == pair[1].from && pair[0].to_content_sha256 == pair[1].from_content_sha256;
            must(joined, &|| format!("the {} does not begin where the {} ends", pair[1].name(), pair[0].name()))?;
        }
        if let Some(last) = self.steps.last() {
            let ends = (last.to, &last.to_content_sha256, last.to_entries);
            must(ends == (self.number, &self.content_sha256, self.entries), &|| {
                format!("the {} does not end at version {}", last.name(), self.number)
            })?;
            must(self.previous == Some(last.from), &|| format!("its previous version is not where the {} begins", last.name()))?;
        }
        Ok(())
    }
}

impl Step {
    /// What it is called in a sealed file.
    pub fn name(&self) -> String {
        format!("step {}-{}", self.from, self.to)
    }
}

impl Payload {
    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_PAYLOAD_BYTES).contains(&self.bytes) {
            return Err(format!("{} bytes; allowed are 1 to {MAX_PAYLOAD_BYTES}", self.bytes));
        }
        if self.plain_bytes > MAX_PLAIN_BYTES {
            return Err(format!("{} bytes of content; allowed are {MAX_PLAIN_BYTES}", self.plain_bytes));
        }
        if self.plain_bytes / MAX_EXPANSION > self.bytes {
            let (plain, bytes) = (self.plain_bytes, self.bytes);
            return Err(format!("{bytes} bytes become {plain}: more than {MAX_EXPANSION} for one, as no real list does"));
        }
        if self.bytes.div_ceil(CHUNK_BYTES) != self.chunks.len() as u64 {
            return Err(format!("{} chunks don't hold {} bytes", self.chunks.len(), self.bytes));
        }
        hash(&self.sha256, "sha256")?;
        self.chunks.iter().try_for_each(|chunk| hash(chunk, "chunk"))
    }
}

/// Whether a text is a SHA-256 as we write it.
fn hash(text: &str, name: &str) -> Result<(), String> {
    let good = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(format!("{name} is no SHA-256 (64 hex digits, lower case)")) }
}

/// Times in manifests: RFC 3339.
mod moment {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::clock::UtcTime;

    pub(super) fn serialize<S: Serializer>(time: &UtcTime, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UtcTime, D::Error> {
        let text = String::deserialize(from)?;
        UtcTime::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no time (RFC 3339)")))
    }
}

/// The outer JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    schema: String,
    key: String,
    manifest: String,
    signature: String,
}

impl Wire {
    /// Its key, the signed JSON and the signature. Nothing in it is to be believed yet.
    fn open(bytes: &[u8]) -> Result<(KeyId, Vec<u8>, [u8; 64]), ManifestError> {
        if bytes.len() > MAX_WIRE_BYTES {
            return Err(ManifestError::TooLarge);
        }
        // Nobody vouches for these bytes, and the words go into logs and messages: kept short, and on one line.
        let no = |why: String| {
            let shown: String = why.chars().take(MAX_UNSIGNED_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
            ManifestError::NotSigned(shown)
        };
        if bytes.contains(&b'\n') {
            return Err(no("it has more than one line".into()));
        }
        let wire: Self = serde_json::from_slice(bytes).map_err(|e| no(e.to_string()))?;
        if wire.schema != SIGNED_SCHEMA {
            return Err(no(format!("its schema is {:?}, this program knows {SIGNED_SCHEMA:?}", wire.schema)));
        }
        let key = KeyId::parse(&wire.key).ok_or_else(|| no("its key id is not 16 hex digits".into()))?;
        let manifest = STANDARD.decode(&wire.manifest).map_err(|e| no(format!("manifest is no base64: {e}")))?;
        let signature = STANDARD.decode(&wire.signature).map_err(|e| no(format!("signature is no base64: {e}")))?;
        let signature = signature.try_into().map_err(|s: Vec<u8>| no(format!("its signature has {} bytes, not 64", s.len())))?;
        Ok((key, manifest, signature))
    }
}

/// A manifest whose signature and rules were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    key: KeyId,
    wire: Vec<u8>,
}

impl SignedManifest {
    /// Checks the wire form: size, outer JSON, key, signature, and only then the manifest and its rules. White space at either
    /// end is passed over.
    ///
    /// # Errors
    /// At the first of them that is wrong.
    pub fn verify(bytes: &[u8], trust: &TrustedKeys) -> Result<Self, ManifestError> {
        let wire = bytes.trim_ascii();
        let (key, json, signature) = Wire::open(wire)?;
        match trust.verify(key, &signed_bytes(&json), &signature) {
            None => {
                let ids: Vec<_> = trust.ids().map(|id| id.to_string()).collect();
                let trusted = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
                Err(ManifestError::UnknownKey { key, trusted })
            }
            Some(false) => Err(ManifestError::BadSignature { key }),
            Some(true) => Ok(Self { manifest: manifest(&json)?, key, wire: wire.to_owned() }),
        }
    }

    /// The same without a look at the signature: to show people what a file says of itself, and for nothing else.
    ///
    /// # Errors
    /// When it is no manifest or breaks a rule.
    pub fn unverified(bytes: &[u8]) -> Result<Self, ManifestError> {
        let wire = bytes.trim_ascii();
        let (key, json, _) = Wire::open(wire)?;
        Ok(Self { manifest: manifest(&json)?, key, wire: wire.to_owned() })
    }

    /// Signs a manifest.
    ///
    /// # Errors
    /// When it breaks a rule that [`Self::verify`] would refuse it for.
    pub fn sign(manifest: Manifest, key: &SigningKey) -> Result<Self, ManifestError> {
        manifest.check().map_err(ManifestError::Rule)?;
        let json = serde_json::to_vec(&manifest).map_err(|e| ManifestError::Rule(e.to_string()))?;
        let signature = key.sign(&signed_bytes(&json));
        let wire = Wire {
            schema: SIGNED_SCHEMA.to_owned(),
            key: key.id().to_string(),
            manifest: STANDARD.encode(&json),
            signature: STANDARD.encode(signature),
        };
        let wire = serde_json::to_vec(&wire).map_err(|e| ManifestError::Rule(e.to_string()))?;
        if wire.len() > MAX_WIRE_BYTES {
            return Err(ManifestError::TooLarge);
        }
        Ok(Self { manifest, key: key.id(), wire })
    }

    /// Whether its time is now.
    ///
    /// # Errors
    /// When it has expired, or was made more than 24 h in the future.
    pub fn check_current(&self, now: UtcTime) -> Result<(), ManifestError> {
        let Manifest { list, number, created, expires, .. } = &self.manifest;
        if now >= *expires {
            return Err(ManifestError::Expired { list: list.clone(), number: *number, expires: *expires, now });
        }
        if *created > now.plus_micros(MAX_AHEAD_US) {
            return Err(ManifestError::FromTheFuture { list: list.clone(), number: *number, created: *created, now });
        }
        Ok(())
    }

    /// What was signed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// The exact wire form.
    pub fn bytes(&self) -> &[u8] {
        &self.wire
    }
}

fn signed_bytes(json: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, json].concat()
}

fn manifest(json: &[u8]) -> Result<Manifest, ManifestError> {
    let manifest: Manifest = serde_json::from_slice(json).map_err(|e| ManifestError::Rule(e.to_string()))?;
    manifest.check().map_err(ManifestError::Rule)?;
    Ok(manifest)
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
