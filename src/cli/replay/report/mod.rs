//! `--report`: one page with figures, plots and pictures of everything that went wrong, to be read by a browser anywhere, offline.
//!
//! It holds marks and photographs, which are personal data: it is written into no checkout, over no file that is read, and through no
//! link, and only its owner may read it. Nothing in it depends on the machine or the moment: two runs write the same bytes.

mod gallery;
mod page;
mod pictures;
mod plots;
mod svg;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::NamedTempFile;

use self::gallery::Case;
pub(super) use self::page::Subject;
use self::pictures::View;
use super::corners::Corners;
use super::faults::faults;
use super::tally::{Judged, Tally};
use crate::cli::personal;

/// Name of the page in its folder.
const PAGE: &str = "report.html";
/// Faults that are shown with pictures: more make a page that no phone opens, some 35 kB each.
const MOST_CASES: usize = 200;

/// Where the page will be, once it is found fit for personal data.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// The page under way: made at once, so that a folder that can't be written is found before the clip is replayed.
    file: NamedTempFile,
}

impl Place {
    /// Makes the folder, and refuses what must not be written to.
    pub(super) fn create(dir: &Path, inputs: &[&Path]) -> anyhow::Result<Self> {
        let dir = personal::create_folder(dir, "--report", "a report holds photographs and marks")?;
        let path = dir.join(PAGE);
        personal::file_place(&path, "--report", inputs)?;
        if path.is_dir() {
            bail!("{}: is a folder; choose another one for --report", path.display());
        }
        let file = NamedTempFile::new_in(&dir);
        let file = file.with_context(|| format!("{}: can't be written; choose another folder for --report", dir.display()))?;
        Ok(Self { path, file })
    }

    /// Writes the page: whole or not at all. Gives its path.
    pub(super) fn write(
        mut self,
        clip: &Path,
        subject: &Subject,
        judged: Judged<'_>,
        corners: Option<&Corners>,
        tally: &Tally,
    ) -> anyhow::Result<PathBuf> {
        let faults = faults(judged);
        let shown = &faults[..faults.len().min(MOST_CASES)];
        let views: Vec<View> = shown.iter().map(|f| View::of(f, judged, corners)).collect();
        let pictures = pictures::cut(clip, &views)?;
        let cases = shown.iter().zip(views).zip(pictures).map(|((fault, view), pictures)| Case { fault: *fault, view, pictures });
        let html = page::html(subject, judged, tally, &faults, &cases.collect::<Vec<_>>());
        let written = self.file.write_all(html.as_bytes()).and_then(|()| Ok(self.file.persist(&self.path)?));
        written.with_context(|| {
            format!("{}: can't be written; make room there, or choose another folder for --report", self.path.display())
        })?;
        Ok(self.path)
    }
}
