//! Whether what came is to be taken: whose list, when, for whom, which version, and by which parts.

use std::io;

use sha2::{Digest, Sha256};

use super::{InForce, Keeper, MAX_CHAIN};
use crate::clock::UtcTime;
use crate::publish::sync::manifest::{Manifest, Payload, SignedManifest, Step};
use crate::publish::sync::seal::SealError;

/// What is to be done with a version that passed all checks.
pub(super) enum Verdict {
    /// It is in force already.
    Known,
    /// Take these parts.
    Take(Vec<String>),
}

/// A refusal, and whether another time or a better disk may mend it.
pub(super) struct Refusal {
    pub(super) why: String,
    pub(super) passing: bool,
}

impl Refusal {
    pub(super) fn of(why: impl Into<String>) -> Self {
        Self { why: why.into(), passing: false }
    }
}

impl From<SealError> for Refusal {
    fn from(e: SealError) -> Self {
        Self { passing: matches!(e, SealError::Io(_)), why: e.to_string() }
    }
}

impl From<io::Error> for Refusal {
    fn from(e: io::Error) -> Self {
        Self { why: format!("the disk refused: {e}"), passing: true }
    }
}

/// What a manifest is known by.
pub(super) fn digest(signed: &SignedManifest) -> [u8; 32] {
    Sha256::digest(signed.bytes()).into()
}

/// Whether a manifest's time is now. A box whose clock is not set yet will know better.
pub(super) fn current(signed: &SignedManifest, now: UtcTime) -> Result<(), Refusal> {
    let passing = now < signed.manifest().created;
    signed.check_current(now).map_err(|e| Refusal { passing, why: e.to_string() })
}

impl Keeper {
    /// Whether a version is to be taken, and which of the parts that can be had.
    pub(super) fn judge(
        &self,
        signed: &SignedManifest,
        now: UtcTime,
        parts: impl Fn(&Manifest) -> Vec<String>,
        at_hand: bool,
    ) -> Result<Verdict, Refusal> {
        let manifest = signed.manifest();
        let Some(kept) = self.lists.get(&manifest.list) else {
            return Err(Refusal::of(format!("the list {:?} is none of this box's (hotlist.lists)", manifest.list)));
        };
        // Whatever its time: it was judged when it was taken, and its expiry is told apart.
        let same = |f: &&InForce| f.number == manifest.number && f.content_sha256 == manifest.content_sha256;
        if kept.in_force.as_ref().filter(same).is_some() {
            return Ok(Verdict::Known);
        }
        current(signed, now)?;
        self.is_for_us(&manifest.list, manifest)?;
        let floor = kept.chain.number;
        if manifest.number < floor {
            let why = format!("version {} is older than version {floor}, which was in force before", manifest.number);
            return Err(Refusal::of(why));
        }
        if kept.in_force.as_ref().is_some_and(|f| f.number == manifest.number) {
            return Err(Refusal::of(format!("version {} is in force already, with another content", manifest.number)));
        }
        let digest = digest(signed);
        if let Some((_, why)) = kept.hopeless.iter().find(|(known, _)| !at_hand && *known == digest) {
            return Err(Refusal::of(why.clone()));
        }
        let parts = parts(manifest);
        let has_full = parts.iter().any(|name| name == "full") && manifest.full.is_some();
        let steps = kept.in_force.as_ref().and_then(|f| steps_from(manifest, f, &parts));
        let cost = |payloads: &mut dyn Iterator<Item = &Payload>| payloads.map(|p| p.bytes).sum::<u64>();
        let by_steps = |names: &Vec<String>| {
            let bytes = cost(&mut manifest.parts().filter(|(name, _)| names.contains(name)).map(|(_, p)| p));
            !has_full
                || (!at_hand
                    && kept.chain.files.len() < MAX_CHAIN
                    && manifest.full.as_ref().is_none_or(|full| bytes < full.bytes))
        };
        match (steps.filter(by_steps), has_full) {
            (Some(names), _) => Ok(Verdict::Take(names)),
            (None, true) => Ok(Verdict::Take(vec!["full".to_owned()])),
            (None, false) => {
                Err(Refusal::of(match (&kept.in_force, manifest.steps.iter().find(|s| parts.contains(&s.name()))) {
                    (Some(f), Some(step)) => format!(
                        "it has deltas from version {} (content {}) on only; in force is version {} (content {}): a full list is needed",
                        step.from,
                        &step.from_content_sha256[..12],
                        f.number,
                        &f.content_sha256[..12]
                    ),
                    _ => "it has deltas only, and there is no list in force that they could change: a full list is needed".into(),
                }))
            }
        }
    }

    pub(super) fn is_for_us(&self, list: &str, manifest: &Manifest) -> Result<(), Refusal> {
        if manifest.list != list {
            return Err(Refusal::of(format!("it is for the list {:?}, not {list:?}", manifest.list)));
        }
        if manifest.recipients.iter().any(|r| self.ours.contains(r)) {
            return Ok(());
        }
        Err(Refusal::of(format!("it is sealed for other boxes, not for this one ({})", self.ours.join(", "))))
    }
}

/// The names of the steps that lead from what is in force to a version, if the parts have them all.
fn steps_from(manifest: &Manifest, in_force: &InForce, parts: &[String]) -> Option<Vec<String>> {
    let first = manifest.steps.iter().position(|s| s.from == in_force.number)?;
    let steps = &manifest.steps[first..];
    let fits = steps.first().is_some_and(|s| s.from_content_sha256 == in_force.content_sha256);
    let names: Vec<String> = steps.iter().map(Step::name).collect();
    (fits && names.iter().all(|name| parts.contains(name))).then_some(names)
}
