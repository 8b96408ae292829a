//! Where photographs and marks may be written: they are personal data, which may not come into a project, so a place inside a
//! checkout is refused.

use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};

/// Refuses a place inside a checkout. `option` gave it, `what` would lie there.
pub(super) fn outside_checkouts(place: &Path, option: &str, what: &str) -> anyhow::Result<()> {
    let Some(checkout) = checkout_around(place)
        .with_context(|| format!("{}: leads nowhere; choose another place for {option}", place.display()))?
    else {
        return Ok(());
    };
    bail!(
        "{}: lies inside the checkout {}; {what}, which may not come into a project: choose a place outside for {option}",
        place.display(),
        checkout.display()
    );
}

/// Makes the folder that `option` gave; `what` would lie there.
pub(super) fn create_folder(dir: &Path, option: &str, what: &str) -> anyhow::Result<PathBuf> {
    outside_checkouts(dir, option, what)?;
    std::fs::create_dir_all(dir).with_context(|| format!("{}: can't be made; choose another {option} folder", dir.display()))?;
    Ok(dir.to_owned())
}

/// Refuses a link as the file that `option` gave, and a file that the command reads: either would be overwritten unseen.
pub(super) fn file_place(place: &Path, option: &str, inputs: &[&Path]) -> anyhow::Result<()> {
    let name = place.display();
    if place.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) {
        bail!("{name}: is a link; give the file itself for {option}");
    }
    if let Some(input) = inputs.iter().find(|input| is_same(place, input)) {
        bail!("{name}: is {}, which is read here and would be overwritten; choose another place for {option}", input.display());
    }
    Ok(())
}

/// Whether both paths lead to one file, however they are spelt.
fn is_same(a: &Path, b: &Path) -> bool {
    a.metadata().ok().zip(b.metadata().ok()).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// The checkout that a place is in or would be in: the nearest folder above with a `.git`, links resolved.
fn checkout_around(place: &Path) -> std::io::Result<Option<PathBuf>> {
    Ok(resolved(place)?.ancestors().find(|p| p.join(".git").exists()).map(Path::to_owned))
}

/// Where a place is or would be. Links are followed as far as it exists; only in what is still to be made, where there are none, may
/// `..` be taken by its letters.
fn resolved(place: &Path) -> std::io::Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in std::path::absolute(place)?.components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
        // A link that leads nowhere exists too: it is an error here.
        if path.symlink_metadata().is_ok() {
            path = path.canonicalize()?;
        }
    }
    Ok(path)
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
        // `..` after a folder that is still to be made, and links that lead to nothing yet.
        assert!(refused(outside.join("new/../../project/sheets")) && !refused(inside.join("new/../../../outside/sheets")));
        std::os::unix::fs::symlink(inside.join("new.csv"), outside.join("dangling.csv")).expect("linked");
        assert!(refused(outside.join("dangling.csv")));
    }

    #[test]
    fn files_overwrite_no_link_and_nothing_that_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let (truth, link) = (dir.path().join("truth.csv"), dir.path().join("link.csv"));
        std::fs::write(&truth, "file,text\n").expect("written");
        std::os::unix::fs::symlink(dir.path().join("nothing.csv"), &link).expect("linked");
        let refused = |place: PathBuf| file_place(&place, "--scores", &[&truth]).is_err();
        assert!(refused(truth.clone()) && refused(dir.path().join("./truth.csv")) && refused(link));
        assert!(!refused(dir.path().join("new.csv")));
    }
}
