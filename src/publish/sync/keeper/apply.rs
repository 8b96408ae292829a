//! From sealed files to the list in force: at the start, and when a new version is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::incoming::Incoming;
use super::judge::{Refusal, current, digest};
use super::told::Told;
use super::{Happening, InForce, Keeper, Kept, MAX_HOPELESS, TRY_AGAIN, Way, about};
use crate::anpr::hotlist::{Delta, Hotlist, HotlistVersion};
use crate::clock::{MonoTime, UtcTime};
use crate::publish::sync::format::ContentSum;
use crate::publish::sync::manifest::{Manifest, SignedManifest};
use crate::publish::sync::seal::{SealError, SealedFile, delta_from, full_with_sum};
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
        let loaded = match kept.store.chain() {
            Ok(Some(chain)) => {
                kept.store.clean(&chain);
                kept.chain = chain;
                if kept.chain.files.is_empty() { Ok(None) } else { self.load_chain(id, &kept.store, &kept.chain).map(Some) }
            }
            lost => self.recover(id, kept, lost.err()),
        };
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

    /// Without a chain the files are tried that are here: the newest full list, and what follows it. Its number stays the floor even
    /// when they are of no use.
    fn recover(&self, id: &str, kept: &mut Kept, fault: Option<io::Error>) -> Result<Option<(InForce, SignedManifest)>, Refusal> {
        let mut files = Vec::new();
        let (mut first, mut floor) = (0, 0);
        for name in kept.store.found() {
            let Ok(file) = SealedFile::open(&kept.store.path(&name), &self.trust) else { continue };
            let manifest = file.signed().manifest();
            if manifest.list == id {
                floor = floor.max(manifest.number);
                if file.full().is_some() {
                    first = files.len();
                }
                files.push(name);
            }
        }
        let why = fault.map_or_else(|| "chain.json is missing".to_owned(), |e| e.to_string());
        let loaded = if files.is_empty() {
            let nothing = kept.store.found().is_empty() && !kept.store.path("chain.json").exists();
            if nothing { Ok(None) } else { Err(Refusal::of(why.clone())) }
        } else {
            let chain = Chain::of(floor, files.split_off(first));
            let loaded = self.load_chain(id, &kept.store, &chain).map(Some);
            kept.chain = if loaded.is_ok() { chain } else { Chain::of(floor, Vec::new()) };
            loaded.map_err(|e| Refusal::of(format!("{why}; {}", e.why)))
        };
        if floor > 0 {
            match kept.store.write(&kept.chain) {
                Ok(()) => kept.store.clean(&kept.chain),
                Err(e) => tracing::warn!(list = id, "the chain of a hotlist can't be written anew: {e}"),
            }
        }
        loaded
    }

    pub(super) fn load_chain(&self, id: &str, store: &Store, chain: &Chain) -> Result<(InForce, SignedManifest), Refusal> {
        let open = |name: &String| SealedFile::open(&store.path(name), &self.trust);
        let Some((first, rest)) = chain.files.split_first() else { return Err(Refusal::of("its chain is empty")) };
        let file = open(first)?;
        let mut signed = file.signed().clone();
        self.is_for_us(id, signed.manifest())?;
        let reader = file.full().ok_or_else(|| Refusal::of("its chain does not begin with a full list"))?;
        let (mut hotlist, mut sum) = full_with_sum(reader, signed.manifest(), &self.identity)?;
        let mut changes = Vec::new();
        let mut at = (signed.manifest().number, signed.manifest().content_sha256.clone());
        for name in rest {
            let file = open(name)?;
            self.is_for_us(id, file.signed().manifest())?;
            at = self.walk(&file, at, &mut sum, |delta| changes.push(delta))?;
            signed = file.signed().clone();
        }
        let manifest = signed.manifest();
        if at.0 != manifest.number || at.0 != chain.number {
            return Err(Refusal::of(format!("its files lead to version {}, not {}", at.0, chain.number)));
        }
        if !rest.is_empty() {
            hotlist = changed(&hotlist, &Delta::of_steps(changes), manifest)?;
        }
        Ok((InForce { hotlist: Arc::new(hotlist), number: at.0, content_sha256: at.1, sum, way: Way::Start }, signed))
    }

    /// Hands over the deltas of a file from a version on; gives the version that they lead to.
    fn walk(
        &self,
        file: &SealedFile,
        from: (u64, String),
        sum: &mut ContentSum,
        mut each: impl FnMut(Delta),
    ) -> Result<(u64, String), Refusal> {
        let (mut number, mut content) = from;
        while let Some((at, reader)) = file.step(number) {
            let step = &file.signed().manifest().steps[at];
            if step.from_content_sha256 != content {
                return Err(Refusal::of(format!("its delta from version {number} was made for another content of that version")));
            }
            let delta = delta_from(reader, step, &self.identity)?;
            sum.change(&delta);
            if sum.id() != step.to_content_sha256 {
                return Err(Refusal::of("its deltas make another content than was signed"));
            }
            each(delta);
            (number, content) = (step.to, step.to_content_sha256.clone());
        }
        Ok((number, content))
    }

    /// Puts a version in force once all its chunks are here.
    pub(super) fn finish(&mut self, list: &str, now: UtcTime, mono: MonoTime) -> Vec<Happening> {
        let Some(kept) = self.lists.get_mut(list) else { return Vec::new() };
        let Some(incoming) = &kept.incoming else { return Vec::new() };
        let whole = incoming.missing.is_empty() && incoming.not_before.is_none_or(|t| mono >= t);
        if !whole && now < incoming.signed.manifest().expires {
            return Vec::new();
        }
        let signed = incoming.signed.clone();
        let happening = |event| about(event, Way::Mqtt, Some(list), Some(&signed));
        // While its chunks came, its time may have run out.
        let current = current(&signed, now);
        let in_time = current.is_ok();
        let taken = current.and_then(|()| kept.assemble()).and_then(|()| self.apply(list, Way::Mqtt));
        let Some(kept) = self.lists.get_mut(list) else { return Vec::new() };
        let refusal = match taken {
            Ok(hotlist) => return vec![Happening { in_force: Some(hotlist), ..happening(AuditEvent::HotlistApplied) }],
            Err(refusal) => refusal,
        };
        kept.store.discard();
        kept.refusal = Some((refusal.why.clone(), now));
        if let Some(incoming) = kept.incoming.as_mut().filter(|_| refusal.passing) {
            // A chunk that turned out to be damaged was removed: it is missing again.
            incoming.look(&kept.store);
            incoming.not_before = incoming.missing.is_empty().then(|| mono.plus(TRY_AGAIN));
            // The time stands in the words about a wrong clock.
            let trouble = if in_time { refusal.why.clone() } else { "the clock".to_owned() };
            let is_new = kept.trouble.replace(trouble.clone()) != Some(trouble);
            let told = Happening { reason: Some(refusal.why), ..happening(AuditEvent::HotlistRefused) };
            return if is_new { vec![told] } else { Vec::new() };
        }
        let by_steps = kept.incoming.take().is_some_and(|i| i.parts.iter().all(|part| part != "full"));
        if in_time && by_steps && signed.manifest().full.is_some() {
            // Its deltas are no good here. The whole list may be.
            kept.incoming = Some(Incoming::new(signed.clone(), vec!["full".to_owned()], &kept.store));
            let why = format!("{}; the whole list is fetched instead", refusal.why);
            return vec![Happening { reason: Some(why), ..happening(AuditEvent::HotlistRefused) }];
        }
        kept.store.prune(&BTreeSet::new());
        // The same manifest would come to the same end, and is offered at each connection.
        if in_time {
            if kept.hopeless.len() >= MAX_HOPELESS {
                kept.hopeless.remove(0);
            }
            kept.hopeless.push((digest(&signed), refusal.why.clone()));
        }
        let is_new = kept.told.is_new(list, signed.bytes(), false, mono);
        let told = Happening { reason: Some(refusal.why), ..happening(AuditEvent::HotlistRefused) };
        if is_new { vec![told] } else { Vec::new() }
    }

    /// Makes the list of a draft, commits it, puts it in force. On any error all is as before.
    pub(super) fn apply(&mut self, list: &str, way: Way) -> Result<Arc<Hotlist>, Refusal> {
        let Some(kept) = self.lists.get(list) else { return Err(Refusal::of("it is none of this box's lists")) };
        // We put it together out of what was checked: when it is damaged now, the disk is to blame.
        let file = SealedFile::open(&kept.store.draft(), &self.trust)
            .map_err(|e| Refusal { passing: matches!(e, SealError::File { .. } | SealError::Io(_)), why: e.to_string() })?;
        let manifest = file.signed().manifest();
        let full = file.full().map(|reader| full_with_sum(reader, manifest, &self.identity)).transpose()?;
        let in_place = full.is_some();
        let (hotlist, sum) = match (full, &kept.in_force) {
            (Some(full), _) => full,
            (None, Some(base)) => {
                let (mut changes, mut sum) = (Vec::new(), base.sum);
                let from = (base.number, base.content_sha256.clone());
                let (number, content) = self.walk(&file, from, &mut sum, |delta| changes.push(delta))?;
                if number != manifest.number || content != manifest.content_sha256 {
                    return Err(Refusal::of(format!("its deltas lead to version {number}, not to {}", manifest.number)));
                }
                (changed(&base.hotlist, &Delta::of_steps(changes), manifest)?, sum)
            }
            (None, None) => return Err(Refusal::of("it has deltas only, and no list is in force")),
        };
        let hotlist = Arc::new(hotlist);
        let (number, content_sha256) = (manifest.number, manifest.content_sha256.clone());
        let chain = kept.store.commit(&kept.chain, number, in_place)?;
        if let Some(kept) = self.lists.get_mut(list) {
            kept.chain = chain;
            kept.in_force = Some(InForce { hotlist: Arc::clone(&hotlist), number, content_sha256, sum, way });
            kept.refusal = None;
            kept.hopeless.clear();
            kept.trouble = None;
            kept.expiry_told = false;
            // Nothing that is on its way in or waits may take its place but what is newer.
            kept.later.take_if(|later| later.number <= number);
            kept.incoming.take_if(|incoming| incoming.signed.manifest().number <= number);
            if kept.incoming.is_none() {
                kept.store.prune(&BTreeSet::new());
            }
        }
        Ok(hotlist)
    }
}

impl Kept {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            chain: Chain::default(),
            in_force: None,
            incoming: None,
            later: None,
            hopeless: Vec::new(),
            told: Told::default(),
            trouble: None,
            refusal: None,
            expiry_told: false,
        }
    }

    /// Puts the chunks of the incoming version together as a sealed file.
    fn assemble(&self) -> Result<(), Refusal> {
        let Some(incoming) = &self.incoming else { return Err(Refusal::of("nothing is on its way in")) };
        let mut draft = File::create(self.store.draft())?;
        SealedFile::begin(&incoming.signed, &incoming.parts, &mut draft)?;
        // All chunks are looked at even when one is damaged: a power cut spoils many at once.
        let mut damaged = None;
        for (name, payload) in incoming.payloads() {
            let mut bytes = 0;
            for chunk in self.store.payload(payload) {
                match chunk {
                    Ok(chunk) if damaged.is_none() => {
                        bytes += chunk.len() as u64;
                        draft.write_all(&chunk)?;
                    }
                    Ok(_) => {}
                    Err(e) => damaged = Some(e),
                }
            }
            if damaged.is_none() && bytes != payload.bytes {
                return Err(Refusal::of(format!(
                    "the chunks of its part {name:?} have {bytes} bytes, signed are {}",
                    payload.bytes
                )));
            }
        }
        damaged.map_or(Ok(()), |e| Err(e.into()))
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
