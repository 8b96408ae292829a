//! From sealed files to the list in force: at the start, and when a new version is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::incoming::Incoming;
use super::judge::Refusal;
use super::{Happening, InForce, Keeper, Kept, TRY_AGAIN, Way, about};
use crate::anpr::hotlist::{Delta, Hotlist, HotlistVersion};
use crate::clock::{MonoTime, UtcTime};
use crate::publish::sync::manifest::{Manifest, SignedManifest};
use crate::publish::sync::seal::{SealedFile, delta_from, full_from};
use crate::publish::sync::store::{Chain, Store};
use crate::publish::wire::AuditEvent;

impl Keeper {
    pub(super) fn load_list(&self, id: &str, kept: &mut Kept, now: UtcTime) -> Option<Happening> {
        let said = |event, reason: Option<String>| Happening {
            event,
            way: Way::Start,
            list: Some(id.to_owned()),
            number: None,
            entries: None,
            key: None,
            reason,
            in_force: None,
        };
        let loaded = kept.store.chain().map_err(Refusal::from).and_then(|chain| {
            kept.chain = chain;
            if kept.chain.files.is_empty() { Ok(None) } else { self.load_chain(id, kept).map(Some) }
        });
        match loaded {
            Ok(None) => None,
            Ok(Some((in_force, signed))) => {
                let happening = Happening {
                    number: Some(in_force.number),
                    entries: Some(signed.manifest().entries),
                    key: Some(signed.key().to_string()),
                    in_force: Some(Arc::clone(&in_force.hotlist)),
                    ..said(AuditEvent::HotlistApplied, None)
                };
                kept.in_force = Some(in_force);
                Some(happening)
            }
            Err(refusal) => {
                let why = format!("what was kept on disk can't be used: {}; it is fetched again", refusal.why);
                kept.refusal = Some((why.clone(), now));
                Some(said(AuditEvent::HotlistRefused, Some(why)))
            }
        }
    }

    pub(super) fn load_chain(&self, id: &str, kept: &Kept) -> Result<(InForce, SignedManifest), Refusal> {
        let open = |name: &String| SealedFile::open(&kept.store.path(name), &self.trust);
        let Some((first, rest)) = kept.chain.files.split_first() else { return Err(Refusal::of("its chain is empty")) };
        let file = open(first)?;
        let mut signed = file.signed().clone();
        self.is_for_us(id, signed.manifest())?;
        let reader = file.full().ok_or_else(|| Refusal::of("its chain does not begin with a full list"))?;
        let mut hotlist = full_from(reader, signed.manifest(), &self.identity)?;
        let mut changes = Delta::default();
        let mut at = (signed.manifest().number, signed.manifest().content_sha256.clone());
        for name in rest {
            let file = open(name)?;
            self.is_for_us(id, file.signed().manifest())?;
            at = self.walk(&file, at, |delta| changes.then(delta))?;
            signed = file.signed().clone();
        }
        let manifest = signed.manifest();
        if at.0 != manifest.number || at.0 != kept.chain.number {
            return Err(Refusal::of(format!("its files lead to version {}, not {}", at.0, kept.chain.number)));
        }
        if !rest.is_empty() {
            hotlist = changed(&hotlist, &changes, manifest)?;
        }
        Ok((InForce { hotlist: Arc::new(hotlist), number: at.0, content_sha256: at.1 }, signed))
    }

    /// Hands over the deltas of a file from a version on; gives the version that they lead to.
    fn walk(&self, file: &SealedFile, from: (u64, String), mut each: impl FnMut(Delta)) -> Result<(u64, String), Refusal> {
        let (mut number, mut content) = from;
        while let Some((at, reader)) = file.step(number) {
            let step = &file.signed().manifest().steps[at];
            if step.from_content_sha256 != content {
                return Err(Refusal::of(format!("its delta from version {number} was made for another content of that version")));
            }
            each(delta_from(reader, step, &self.identity)?);
            (number, content) = (step.to, step.to_content_sha256.clone());
        }
        Ok((number, content))
    }

    /// Puts a version in force once all its chunks are here.
    pub(super) fn finish(&mut self, list: &str, now: UtcTime, mono: MonoTime) -> Vec<Happening> {
        let Some(kept) = self.lists.get_mut(list) else { return Vec::new() };
        let ready = |i: &&mut Incoming| i.missing.is_empty() && i.not_before.is_none_or(|t| mono >= t);
        let Some(incoming) = kept.incoming.as_mut().filter(ready) else { return Vec::new() };
        let signed = incoming.signed.clone();
        // While its chunks came, its time may have run out, or a file may have brought a newer one.
        let still = signed.check_current(now).map_err(|e| Refusal::of(e.to_string()));
        let taken = still.and_then(|()| kept.assemble()).and_then(|()| self.apply(list));
        let Some(kept) = self.lists.get_mut(list) else { return Vec::new() };
        match taken {
            Ok(hotlist) => {
                kept.incoming = None;
                kept.store.prune(&BTreeSet::new());
                let happening = about(AuditEvent::HotlistApplied, Way::Mqtt, Some(list), Some(&signed));
                vec![Happening { in_force: Some(hotlist), ..happening }]
            }
            Err(refusal) => {
                let was_told = kept.refusal.as_ref().is_some_and(|(why, _)| *why == refusal.why);
                kept.refusal = Some((refusal.why.clone(), now));
                if refusal.passing {
                    // A chunk that turned out to be damaged was removed: it is missing again.
                    if let Some(incoming) = &mut kept.incoming {
                        incoming.look(&kept.store);
                        incoming.not_before = Some(mono.plus(TRY_AGAIN));
                    }
                } else {
                    kept.incoming = None;
                    kept.store.prune(&BTreeSet::new());
                    // The same manifest would come to the same end.
                    self.is_new(Sha256::digest(signed.bytes()).into());
                }
                let happening = about(AuditEvent::HotlistRefused, Way::Mqtt, Some(list), Some(&signed));
                (!was_told).then_some(Happening { reason: Some(refusal.why), ..happening }).into_iter().collect()
            }
        }
    }

    /// Makes the list of a draft, commits it, puts it in force. On any error all is as before.
    pub(super) fn apply(&mut self, list: &str) -> Result<Arc<Hotlist>, Refusal> {
        let Some(kept) = self.lists.get(list) else { return Err(Refusal::of("it is none of this box's lists")) };
        let file = SealedFile::open(&kept.store.draft(), &self.trust)?;
        let manifest = file.signed().manifest();
        let full = file.full().map(|reader| full_from(reader, manifest, &self.identity)).transpose()?;
        let in_place = full.is_some();
        let hotlist = match (full, &kept.in_force) {
            (Some(hotlist), _) => hotlist,
            (None, Some(base)) => {
                let mut changes = Delta::default();
                let (number, content) =
                    self.walk(&file, (base.number, base.content_sha256.clone()), |delta| changes.then(delta))?;
                if number != manifest.number || content != manifest.content_sha256 {
                    return Err(Refusal::of(format!("its deltas lead to version {number}, not to {}", manifest.number)));
                }
                changed(&base.hotlist, &changes, manifest)?
            }
            (None, None) => return Err(Refusal::of("it has deltas only, and no list is in force")),
        };
        let hotlist = Arc::new(hotlist);
        let (number, content_sha256) = (manifest.number, manifest.content_sha256.clone());
        let chain = kept.store.commit(&kept.chain, number, in_place)?;
        if let Some(kept) = self.lists.get_mut(list) {
            kept.chain = chain;
            kept.in_force = Some(InForce { hotlist: Arc::clone(&hotlist), number, content_sha256 });
            kept.refusal = None;
            kept.expiry_told = false;
        }
        Ok(hotlist)
    }
}

impl Kept {
    pub(super) fn new(store: Store) -> Self {
        Self { store, chain: Chain::default(), in_force: None, incoming: None, later: None, refusal: None, expiry_told: false }
    }

    /// Puts the chunks of the incoming version together as a sealed file.
    fn assemble(&self) -> Result<(), Refusal> {
        let Some(incoming) = &self.incoming else { return Err(Refusal::of("nothing is on its way in")) };
        let mut draft = File::create(self.store.draft())?;
        SealedFile::begin(&incoming.signed, &incoming.parts, &mut draft)?;
        for (_, payload) in incoming.payloads() {
            for chunk in self.store.payload(payload) {
                draft.write_all(&chunk?)?;
            }
        }
        Ok(())
    }
}

/// A list with a delta applied, held against what its owner signed.
fn changed(base: &Hotlist, delta: &Delta, manifest: &Manifest) -> Result<Hotlist, Refusal> {
    let version = HotlistVersion { list: manifest.list.clone(), version: manifest.number.to_string() };
    let hotlist = base.changed(delta, version).map_err(|e| Refusal::of(e.to_string()))?;
    if hotlist.len() as u64 != manifest.entries {
        return Err(Refusal::of(format!("its deltas make {} entries, signed are {}", hotlist.len(), manifest.entries)));
    }
    Ok(hotlist.dated(Some(manifest.created), Some(manifest.expires)))
}
