//! The `[hotlist]` table: the list kept by hand, the sealed lists of the back office, and how far matching goes.

use std::path::PathBuf;
use std::time::Duration;

use super::raw::RawConfig;
use super::resolve::Checker;
use crate::anpr::hotlist::{MatchOptions, Substitutions};
use crate::publish::topic::Topics;
use crate::publish::wire::MAX_LISTS;

/// Name of the systemd credential that holds the box's identity (`LoadCredentialEncrypted=`).
pub const IDENTITY_CREDENTIAL: &str = "kerbside-hotlist-identity";

/// Where systemd keeps the credentials of the running service; root may look there.
const SERVICE_CREDENTIALS: &str = "/run/credentials/kerbside.service";

/// Where hotlists come from and how they are used.
#[derive(Clone, Debug)]
pub struct HotlistSettings {
    /// The list kept by hand, and its id.
    pub local: Option<(PathBuf, String)>,
    /// Lists that the back office signs and seals.
    pub sealed: Option<SealedSettings>,
    /// How far matching goes.
    pub matching: MatchOptions,
    /// A sealed list older than this is an alarm.
    pub stale_after: Duration,
}

/// How sealed lists are got, opened and trusted.
#[derive(Clone, Debug)]
pub struct SealedSettings {
    /// Ids of the lists that this box takes, at least one.
    pub lists: Vec<String>,
    /// PEM files with the public keys that are trusted, at least one.
    pub trust: Vec<PathBuf>,
    /// File with the box's age identity.
    pub identity: PathBuf,
    /// Whether the file's mode must keep others out (a systemd credential is kept by systemd).
    pub check_mode: bool,
    /// Topics under which manifests and chunks are published: the box's own, or its fleet's.
    pub topics: Topics,
}

/// Checks and resolves the table.
pub(super) fn resolve(c: &mut Checker<'_>, raw: &RawConfig) -> HotlistSettings {
    let own = &raw.hotlist;
    let local = (!own.file.is_empty()).then(|| {
        c.id("hotlist.list", &own.list);
        (c.existing("hotlist.file", &own.file), own.list.clone())
    });
    let matching = MatchOptions {
        max_substitutions: c.integer("hotlist.max_substitutions", own.max_substitutions, 0, 2),
        substitutions: c.choice(
            "hotlist.substitutions",
            &own.substitutions,
            &[("look_alike", Substitutions::LookAlike), ("any", Substitutions::Any)],
        ),
        max_edits: c.integer("hotlist.max_edits", own.max_edits, 0, 1),
        min_likelihood_ratio: c.number("hotlist.min_likelihood_ratio", own.min_likelihood_ratio, 0.001, 1.0),
    };
    let stale_after = Duration::from_hours(c.integer("hotlist.stale_after_h", own.stale_after_h, 1, 8_760));
    let sealed = sealed(c, raw);
    if let (Some((_, id)), Some(sealed)) = (&local, &sealed)
        && sealed.lists.contains(id)
    {
        c.fault(
            "hotlist.list",
            format!("\"{id}\" is a sealed list too (hotlist.lists); give the list of hotlist.file another id"),
        );
    }
    let count = sealed.as_ref().map_or(0, |s| s.lists.len()) + usize::from(local.is_some());
    if count > MAX_LISTS {
        c.fault("hotlist.lists", format!("{count} lists in all, at most {MAX_LISTS} can be in force together"));
    }
    HotlistSettings { local, sealed, matching, stale_after }
}

/// Where the service manager keeps a credential, if it gives it.
pub(super) fn credential(name: &str) -> PathBuf {
    let dir = std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| SERVICE_CREDENTIALS.into());
    PathBuf::from(dir).join(name)
}

fn sealed(c: &mut Checker<'_>, raw: &RawConfig) -> Option<SealedSettings> {
    let own = &raw.hotlist;
    if own.lists.is_empty() {
        // An identity is of use without lists too: it wraps the key of what waits on disk.
        for (key, is_set) in [("trust", !own.trust.is_empty()), ("fleet", !own.fleet.is_empty())] {
            if is_set {
                c.fault(format!("hotlist.{key}"), "there is no sealed list to go with it; name one in hotlist.lists");
            }
        }
        return None;
    }
    let mut lists = own.lists.clone();
    lists.sort();
    for id in &lists {
        c.id("hotlist.lists", id);
    }
    if lists.windows(2).any(|pair| pair[0] == pair[1]) {
        c.fault("hotlist.lists", "one id stands there twice");
    }
    if own.trust.is_empty() {
        c.fault("hotlist.trust", "it is empty; sealed lists need the public key (PEM file) of whoever signs them");
    }
    let trust = own.trust.iter().map(|file| c.existing("hotlist.trust", file)).collect();
    let (identity, check_mode) = if own.identity.is_empty() {
        // Whether it is there is seen when it is opened: a command that needs none must work from a shell that has none.
        (credential(IDENTITY_CREDENTIAL), false)
    } else {
        (c.existing("hotlist.identity", &own.identity), true)
    };
    let owner = if own.fleet.is_empty() { &raw.device } else { &own.fleet };
    if !own.fleet.is_empty() {
        c.id("hotlist.fleet", &own.fleet);
    }
    // Faults of the ids were told above or with `org` and `device`.
    let topics = Topics::new(&raw.org, owner).ok()?;
    Some(SealedSettings { lists, trust, identity, check_mode, topics })
}
