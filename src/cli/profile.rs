//! The camera calibration profile that a command is given where there is no configuration to name one.

use std::path::PathBuf;

use anyhow::anyhow;

use super::Failure;
use crate::config::Calibration;

/// The option.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ProfileArg {
    /// Calibration profile of the camera (TOML): plates are looked for in its region only, and what it masks is painted black before
    /// anything has the picture
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
}

impl ProfileArg {
    /// Reads the profile, where there is one.
    pub(super) fn load(&self) -> Result<Option<Calibration>, Failure> {
        let load = |path: &PathBuf| Calibration::load(path).map_err(|faults| Failure::config(anyhow!(faults.join("\n"))));
        self.calibration.as_ref().map(load).transpose()
    }
}
