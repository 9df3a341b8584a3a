//! The recorder: a small C library that a program is started with, and the notes that it takes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing a program did to a file below the recorded directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Note {
    pub(crate) path: String,
    pub(crate) what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Created,
    Cut { len: usize },
    Written { at: usize, data: Vec<u8> },
    Synced,
    SyncFailed,
    Unlinked,
    Renamed { to: String },
}

/// Compiles the recorder into `dir`.
pub(crate) fn compile(dir: &Path) -> PathBuf {
    let library = dir.join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/shim.c");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .expect("there is a C compiler, which the bundled SQLite needs anyway");
    assert!(status.success(), "the recorder compiles");
    library
}

/// Lets `command` start with the recorder, which notes in the file `log` what happens below `dir`.
pub(crate) fn record<'a>(
    command: &'a mut Command,
    library: &Path,
    dir: &Path,
    log: &Path,
) -> &'a mut Command {
    command.env("LD_PRELOAD", library).env("RTC_SHIM_DIR", dir).env("RTC_SHIM_LOG", log)
}

/// Reads what was noted.
pub(crate) fn notes(log: &Path) -> Vec<Note> {
    let bytes = std::fs::read(log).expect("the recorder took notes");
    let (mut rest, mut notes) = (&bytes[..], Vec::new());
    while let Some((&kind, after)) = rest.split_first() {
        rest = after;
        let path_bytes = u32::from_ne_bytes(*take(&mut rest)) as usize;
        let number = usize::try_from(u64::from_ne_bytes(*take(&mut rest))).expect("64 bits");
        let data_bytes = u32::from_ne_bytes(*take(&mut rest)) as usize;
        let (path, after) = rest.split_at(path_bytes);
        let (data, after) = after.split_at(data_bytes);
        rest = after;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("our paths are text");
        let what = match kind {
            b'c' => What::Created,
            b't' => What::Cut { len: number },
            b'w' => What::Written { at: number, data: data.to_vec() },
            b's' => What::Synced,
            b'f' => What::SyncFailed,
            b'u' => What::Unlinked,
            b'r' => What::Renamed { to: text(data) },
            other => panic!("no kind of note: {other}"),
        };
        notes.push(Note { path: text(path), what });
    }
    notes
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> &'a [u8; N] {
    let (taken, after) = rest.split_first_chunk().expect("a whole note");
    *rest = after;
    taken
}
