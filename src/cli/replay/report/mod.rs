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
use crate::frame::mask::Mask;

/// Name of the page in its folder.
const PAGE: &str = "report.html";
/// Faults that are shown with pictures: more make a page that no phone opens, some 35 kB each.
const MOST_CASES: usize = 200;

/// Where the page will be, once it is found fit for personal data.
#[derive(Clone, Debug)]
pub(super) struct Place {
    dir: PathBuf,
    path: PathBuf,
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
        // A folder that can't be written is found now and not after the clip; the file goes at once, as a replay may be cut short.
        NamedTempFile::new_in(&dir)
            .with_context(|| format!("{}: can't be written; choose another folder for --report", dir.display()))?;
        Ok(Self { dir, path })
    }

    /// Writes the page: whole or not at all. Gives its path. The clip comes with what of its pictures nobody is to see.
    pub(super) fn write(
        &self,
        clip: (&Path, Option<&Mask>),
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
        let write = || -> std::io::Result<()> {
            let mut file = NamedTempFile::new_in(&self.dir)?;
            file.write_all(html.as_bytes())?;
            file.persist(&self.path)?;
            Ok(())
        };
        let told =
            || format!("{}: can't be written; make room there, or choose another folder for --report", self.path.display());
        write().with_context(told)?;
        Ok(self.path.clone())
    }
}
