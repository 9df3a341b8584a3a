//! What lints cannot hold: who depends on whom, how long files are, and that every file says what it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file before its tests: past that there is a second idea inside.
const FILE_LINES_MAX: usize = 500;
/// Lines of ARCHITECTURE.md: it is a map, not the country.
const ARCHITECTURE_LINES_MAX: usize = 150;
/// All that core may build on: nothing of it does IO.
const CORE_DEPENDENCIES: [&str; 8] = [
    "blake3",
    "chacha20poly1305",
    "data-encoding",
    "ed25519-dalek",
    "libm",
    "miniz_oxide",
    "serde",
    "thiserror",
];
/// Names that say nothing: whatever is in such a file belongs somewhere else.
const DRAWERS: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "types"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file of the project.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = ["core", "client", "daemon", "cli", "src", "tests", "examples", "fuzz"]
        .map(|dir| root().join(dir))
        .into();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory can be listed");
            open.extend(
                entries.map(|entry| entry.expect("an entry").path()).filter(|path| !path.ends_with("target")),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    assert!(found.len() > 50, "the sources are found");
    found
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let text = read(manifest);
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn core_depends_on_nothing_that_does_io() {
    let found = dependencies("core/Cargo.toml");
    assert_eq!(found, CORE_DEPENDENCIES.map(str::to_owned).into());
}

#[test]
fn the_cli_does_not_know_the_daemon() {
    for manifest in ["cli/Cargo.toml", "client/Cargo.toml"] {
        assert!(!dependencies(manifest).contains("rtc-daemon"), "{manifest}");
    }
    assert!(!dependencies("daemon/Cargo.toml").contains("rtc-cli"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("a source can be read");
        let name = path.strip_prefix(root()).expect("below the root").display();
        assert!(text.starts_with("//!"), "{name} does not begin by saying what it is");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(lines <= FILE_LINES_MAX, "{name} has {lines} lines before its tests");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        assert!(!DRAWERS.contains(&stem), "{name} is a drawer, not a noun");
    }
}

#[test]
fn the_map_stays_a_map() {
    let lines = read("ARCHITECTURE.md").lines().count();
    assert!(lines <= ARCHITECTURE_LINES_MAX, "ARCHITECTURE.md has {lines} lines");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/protocol.md",
        "docs/storage.md",
        "docs/performance.md",
        "docs/reliability.md",
        "docs/trust.md",
    ];
    for document in documents {
        let text = read(document);
        let dir = root().join(document).parent().expect("below the root").to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let local = !target.is_empty() && !target.contains("://");
            assert!(!local || dir.join(target).exists(), "{document} links to {target}");
        }
    }
}
