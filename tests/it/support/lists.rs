//! The back office's side of hotlists: a folder with keys, and the program run in it.

#![allow(unreachable_pub)] // one crate, no outside

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use super::program;

/// A folder with keys in it, where the program runs.
pub struct Bench {
    /// The folder.
    pub dir: tempfile::TempDir,
    /// The public half of `box.txt`.
    pub recipient: String,
}

impl Bench {
    pub fn new() -> Self {
        let mut bench = Self { dir: tempfile::tempdir().unwrap(), recipient: String::new() };
        bench.good(&["keygen", "signing", "-o", "signing.pem", "--public", "public.pem"]);
        bench.recipient = bench.good(&["keygen", "identity", "-o", "box.txt"]).trim().to_owned();
        bench
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.at(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap()
    }

    pub fn run(&self, args: &[&str]) -> Output {
        program::kerbside(self.dir.path()).arg("hotlist").args(args).output().expect("the program starts")
    }

    /// Runs it; it must go well. Gives stdout.
    pub fn good(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", program::stderr(&output));
        program::stdout(&output)
    }

    /// Runs it; it must be refused with this status and all of these words on stderr. Gives stderr.
    pub fn refused(&self, args: &[&str], exit: i32, words: &[&str]) -> String {
        let output = self.run(args);
        let said = program::stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: {word:?} is missing from: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    pub fn seal(&self, list: &str, number: &str, to: &str, more: &[&str]) -> String {
        let args =
            ["seal", list, "--list", "north", "--number", number, "--key", "signing.pem", "--to", &self.recipient, "-o", to];
        self.good(&[&args, more].concat())
    }

    pub fn mode(&self, name: &str) -> u32 {
        self.at(name).metadata().unwrap().permissions().mode() & 0o777
    }
}
