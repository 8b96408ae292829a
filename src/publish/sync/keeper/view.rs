//! A look at the lists of a box without its lock, for people who ask while the daemon runs.

use std::path::Path;
use std::sync::Arc;

use super::{Keeper, KeeperError, KeeperOptions};
use crate::anpr::hotlist::Hotlist;
use crate::publish::sync::store::Store;

/// The lists in force by what is on disk, each checked as at a start; with the reasons why others can't be shown. Changes nothing.
///
/// # Errors
/// When the folder can't be read.
pub fn view(options: KeeperOptions) -> Result<(Vec<Arc<Hotlist>>, Vec<String>), KeeperError> {
    let KeeperOptions { lists, trust, identity, dir } = options;
    let keeper = Keeper::without_lists(trust, identity, None);
    let (mut shown, mut faults) = (Vec::new(), Vec::new());
    for id in lists {
        // A list may be replaced while it is being read: then its files are gone, and the new chain is read.
        let tries = 3;
        for attempt in 1..=tries {
            match one(&keeper, &id, &dir) {
                Ok(list) => {
                    shown.extend(list);
                    break;
                }
                Err(why) if attempt == tries => faults.push(format!("{id}: {why}")),
                Err(_) => {}
            }
        }
    }
    Ok((shown, faults))
}

fn one(keeper: &Keeper, id: &str, dir: &Path) -> Result<Option<Arc<Hotlist>>, String> {
    let store = Store::at(dir.join(id));
    let Some(chain) = store.chain().map_err(|e| e.to_string())?.filter(|chain| !chain.files.is_empty()) else { return Ok(None) };
    keeper.load_chain(id, &store, &chain).map(|(in_force, _)| Some(in_force.hotlist)).map_err(|refusal| refusal.why)
}
