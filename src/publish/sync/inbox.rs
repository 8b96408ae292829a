//! Sealed files handed to a running daemon: left in a folder, answered there. Used by the hotlist thread and by `kerbside hotlist apply`.
//!
//! A file is renamed into the folder, so that it is there whole (`NAME.sealed`). Who serves it renames it once more (`NAME.taken`), so
//! that no file is ever served twice, whatever fails then; `NAME.answer` says what became of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::keeper::Happening;
use super::seal::SealedFile;
use super::store::write_whole;
use crate::publish::wire::AuditEvent;

/// Folder of the inbox, below that of the lists; no id of a list has a dot.
pub const FOLDER: &str = ".inbox";
/// An answer that nobody fetched is removed after so long.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// What is said of a file to whoever handed it in: `taken` or `refused`, and in words.
pub fn answer(happening: &Happening) -> String {
    let list = happening.list.as_deref().unwrap_or("?");
    let version = happening.number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    match (happening.event, &happening.reason) {
        (AuditEvent::HotlistApplied, _) => {
            format!("taken: version {version} of the list {list} is in force, {} entries", happening.entries.unwrap_or(0))
        }
        (_, why) => format!("refused: {}", why.as_deref().unwrap_or("no reason given")),
    }
}

/// Serves every file that waits: `apply` says what became of it. A file is removed once it was answered. Anything but a plain file
/// (a pipe would never end) is left alone.
pub fn serve(folder: &Path, mut apply: impl FnMut(&Path) -> Option<String>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_file())) {
        let path = entry.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("sealed") => {
                let taken = path.with_extension("taken");
                if let Err(e) = std::fs::rename(&path, &taken) {
                    tracing::warn!("a file handed in can't be taken: {e}");
                    continue;
                }
                let answer = apply(&taken).unwrap_or_else(|| "refused: no reason given".to_owned());
                let removed = std::fs::remove_file(&taken);
                if let Err(e) = write_whole(&path.with_extension("answer"), answer.as_bytes()).and(removed) {
                    tracing::warn!("a file handed in can't be answered: {e}");
                }
            }
            Some("answer" | "tmp" | "part" | "taken") if is_old(&path) => {
                if let Err(e) = std::fs::remove_file(&path) {
                    tracing::warn!("an old answer can't be removed: {e}");
                }
            }
            _ => {}
        }
    }
}

fn is_old(path: &Path) -> bool {
    let modified = std::fs::metadata(path).and_then(|m| m.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > FORGET_AFTER))
}

/// Leaves a copy of a file in the folder of a running daemon and waits for the answer. What is no sealed file is refused before
/// it takes room there.
///
/// # Errors
/// When the folder can't be written, or there is no answer in time.
pub fn hand_in(folder: &Path, file: &Path, patience: Duration) -> io::Result<String> {
    if let Err(e) = SealedFile::unverified(file) {
        return Ok(format!("refused: {e}"));
    }
    let name = format!("{}", uuid::Uuid::now_v7());
    let at = |extension: &str| -> PathBuf { folder.join(format!("{name}.{extension}")) };
    if let Err(e) = std::fs::copy(file, at("part")) {
        drop(std::fs::remove_file(at("part")));
        return Err(e);
    }
    // What is in it is encrypted and signed; the daemon may run as another user.
    #[cfg(unix)]
    std::fs::set_permissions(at("part"), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    std::fs::rename(at("part"), at("sealed"))?;
    let until = Instant::now() + patience;
    while Instant::now() < until {
        match std::fs::read_to_string(at("answer")) {
            Ok(answer) => {
                std::fs::remove_file(at("answer"))?;
                return Ok(answer);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => std::thread::sleep(Duration::from_millis(50)),
            Err(e) => return Err(e),
        }
    }
    // Taken back if it was not looked at; if it is being looked at just now, the state topic tells of it.
    drop(std::fs::remove_file(at("sealed")));
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "the daemon that holds the lists gave no answer; its log and the list's state topic say more",
    ))
}
