//! A camera's user and password: read from a file at each opening, never from a URL, never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use super::CameraError;
use crate::keys::read_secret;

/// Where credentials come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsFile {
    /// The file: one line, `user:password`.
    pub path: PathBuf,
    /// Whether its mode must keep others out (a systemd credential is kept by systemd).
    pub check_mode: bool,
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl CredentialsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, open to others, or not one line of `user:password`.
    pub fn load(&self) -> Result<Credentials, CameraError> {
        let text = read_secret(&self.path, self.check_mode).map_err(|e| CameraError::Lost(e.to_string()))?;
        parse(&text, &self.path)
    }
}

fn parse(text: &str, path: &Path) -> Result<Credentials, CameraError> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let (line, more) = (lines.next(), lines.next());
    match line.and_then(|line| line.split_once(':')) {
        // Control characters would end a header line of a request.
        Some((user, password)) if more.is_none() && !user.is_empty() && !line.is_some_and(|l| l.contains(char::is_control)) => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        _ => Err(CameraError::Lost(format!("the credentials file {} is not one line of user:password", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_line_is_taken_as_it_is_and_nothing_else() {
        let read = |text: &str| parse(text, Path::new("cam.txt"));
        let odd = read("o'p er:a b\"c\\d!e@ü:x \n").unwrap();
        assert_eq!((odd.user.as_str(), odd.password.as_str()), ("o'p er", "a b\"c\\d!e@ü:x "));
        assert_eq!(format!("{odd:?}"), "Credentials(..)");
        for bad in ["", "\n", "user", ":secret", "a:secret\nb:secret", "a:sec\u{7}ret"] {
            let e = read(bad).unwrap_err().to_string();
            assert!(e.contains("cam.txt is not one line of user:password") && !e.contains("sec"), "{e}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cam.txt");
        std::fs::write(&path, "a:b\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        let file = CredentialsFile { path: path.clone(), check_mode: true };
        assert!(file.load().unwrap_err().to_string().contains("chmod 0400"));
        mode(0o600);
        assert_eq!(file.load().unwrap().user, "a");
        mode(0o644);
        assert!(CredentialsFile { check_mode: false, ..file }.load().is_ok());
    }
}
