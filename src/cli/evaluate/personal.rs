//! Where photographs and marks may be written: they are personal data, which may not come into a project, so a place inside a
//! checkout is refused.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Refuses a place inside a checkout. `option` gave it, `what` would lie there.
pub(super) fn outside_checkouts(place: &Path, option: &str, what: &str) -> anyhow::Result<()> {
    let Some(checkout) = checkout_around(place).with_context(|| format!("{}: no path for {option}", place.display()))? else {
        return Ok(());
    };
    bail!(
        "{}: lies inside the checkout {}; {what}, which may not come into a project: choose a place outside for {option}",
        place.display(),
        checkout.display()
    );
}

/// Makes the folder that `--sheets` gave.
pub(super) fn create_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    outside_checkouts(dir, "--sheets", "contact sheets hold photographs")?;
    std::fs::create_dir_all(dir).with_context(|| format!("{}: can't be made; choose another --sheets folder", dir.display()))?;
    Ok(dir.to_owned())
}

/// The checkout that a place is in or would be in: the nearest folder above with a `.git`, links resolved.
fn checkout_around(place: &Path) -> std::io::Result<Option<PathBuf>> {
    let absolute = std::path::absolute(place)?;
    // Links are followed as far as the place exists; what is still to be made has none.
    let exists = absolute.ancestors().find_map(|a| a.canonicalize().ok());
    let has_git = |p: &&Path| p.join(".git").exists();
    let above = exists.as_deref().and_then(|e| e.ancestors().find(has_git));
    Ok(above.or_else(|| absolute.ancestors().find(has_git)).map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_inside_a_checkout_are_known_through_links_and_before_they_exist() {
        let dir = tempfile::tempdir().expect("a folder");
        let (inside, outside) = (dir.path().join("project/deep"), dir.path().join("outside"));
        std::fs::create_dir_all(&inside).expect("made");
        std::fs::create_dir_all(&outside).expect("made");
        std::fs::create_dir(dir.path().join("project/.git")).expect("made");
        std::os::unix::fs::symlink(&inside, outside.join("link")).expect("linked");
        let refused = |p: PathBuf| outside_checkouts(&p, "--sheets", "they hold photographs").is_err();
        assert!(refused(inside.clone()) && refused(inside.join("still/to/come")) && refused(outside.join("link/new.csv")));
        assert!(!refused(outside.join("sheets")));
    }
}
