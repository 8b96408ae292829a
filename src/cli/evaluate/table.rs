//! The CSV that `--scores` asks for, row by row. A fault in writing neither counts as one of the picture under way nor ends the
//! measuring: it is kept, and told once the report is out.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::cli::personal;

/// The file under way.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    writer: csv::Writer<File>,
    /// Why it could not be written; nothing was since.
    fault: Option<csv::Error>,
}

impl Table {
    /// Begins the file, over an older one, but over none of those that the command reads.
    pub(super) fn create<const N: usize>(path: &Path, header: [&str; N], inputs: &[&Path]) -> anyhow::Result<Self> {
        personal::file_place(path, "--scores", inputs)?;
        let writer = csv::Writer::from_path(path)
            .with_context(|| format!("{}: can't be written; choose another --scores file", path.display()))?;
        let mut table = Self { path: path.to_owned(), writer, fault: None };
        table.row(header);
        Ok(table)
    }

    /// Adds a row, unless one before it failed.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        if self.fault.is_none() {
            self.fault = self.writer.write_record(cells).err();
        }
    }

    /// Ends the file, with the first fault if there was one.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let fault = match self.fault.take() {
            None => self.writer.flush().err().map(csv::Error::from),
            fault => fault,
        };
        match fault {
            None => Ok(()),
            Some(why) => {
                let path = self.path.display();
                Err(anyhow!("{path}: can't be written: {why}; make room there, or choose another --scores file"))
            }
        }
    }
}
