//! The program under test, as a user starts it.

#![allow(unreachable_pub)] // one crate, no outside

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The project's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The bundled clip and what belongs to it.
pub fn demo(file: &str) -> PathBuf {
    root().join("models/demo").join(file)
}

/// ONNX Runtime's library, as the set-up fetched it.
pub fn onnxruntime() -> PathBuf {
    std::env::var_os("ORT_DYLIB_PATH").map_or_else(|| root().join(".deps/ort/libonnxruntime.so.1"), PathBuf::from)
}

/// The program, in a folder, with nothing of the environment that could change what it does but the runtime's path.
pub fn kerbside(cwd: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kerbside"));
    command.current_dir(cwd).env("ORT_DYLIB_PATH", onnxruntime()).env("KERBSIDE_MODELS", root().join("models"));
    command.env_remove("KERBSIDE_LOG").env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    command
}

/// Runs it to its end.
pub fn run(cwd: &Path, args: &[&str]) -> Output {
    kerbside(cwd).args(args).output().expect("the program starts")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The marks of the bundled clip, in the order of passing.
pub fn truth() -> Vec<String> {
    let mut reader = csv::Reader::from_path(demo("truth.csv")).expect("the clip's truth");
    reader.records().map(|r| r.expect("a row")[0].to_owned()).collect()
}

/// A configuration with the bundled clip as its camera.
pub fn configuration(dir: &Path, port: u16, extra: &str) -> PathBuf {
    let path = dir.join("kerbside.toml");
    let text = format!(
        "org = 'o'\ndevice = 'd'\nstate_dir = 'state'\n[models]\ndir = '{models}'\nonnxruntime = '{ort}'\n\
         [mqtt]\ntransport = 'plain'\nport = {port}\n{extra}\n[[camera]]\nid = 'road'\nkind = 'clip'\npath = '{clip}'\npace = 'lossless'\n",
        models = root().join("models").display(),
        ort = onnxruntime().display(),
        clip = demo("drive_by.mp4").display(),
    );
    std::fs::write(&path, text).expect("written");
    path
}
