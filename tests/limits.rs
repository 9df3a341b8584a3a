//! docs/limits.md lists every limit with the value that the sources give it, and only tests that are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where limits are: every constant of a file of limits, elsewhere those that are called a maximum.
const SOURCES: [&str; 7] = [
    "core/src/limits.rs",
    "core/src/founding.rs",
    "core/src/ticket.rs",
    "core/src/invite.rs",
    "client/src/frame.rs",
    "daemon/src/socket/outbox.rs",
    "daemon/src/net/limits.rs",
];

/// Of those: how often something is done, which nothing can exceed.
const INTERVALS: [&str; 1] = ["HEARTBEAT_MS"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The limits of a file, and their values as written.
fn limits(path: &str) -> BTreeMap<String, String> {
    let text = read(path);
    let constant = |line: &str| {
        let (head, value) = line.split_once(" = ")?;
        let (name, _) = head.split_once("const ")?.1.split_once(':')?;
        let is_limit = name.ends_with("_MAX") || path == "core/src/limits.rs";
        (is_limit && !INTERVALS.contains(&name))
            .then(|| (name.to_owned(), value.trim_end_matches(';').to_owned()))
    };
    text.lines().filter_map(constant).collect()
}

/// The cells of the table below the title that names `path`.
fn rows(document: &str, path: &str) -> Vec<[String; 4]> {
    let section = document
        .split("\n## ")
        .find(|section| section.lines().next().is_some_and(|title| title.contains(path)));
    let section = section.unwrap_or_else(|| panic!("docs/limits.md has no section on {path}"));
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let cells = lines.map(|line| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    cells
        .map(|cells| cells.try_into().unwrap_or_else(|cells| panic!("{cells:?} are not four cells")))
        .collect()
}

#[test]
fn the_table_has_every_limit_with_its_value() {
    let document = read("docs/limits.md");
    let mut count = 0;
    for path in SOURCES {
        let told = rows(&document, path).into_iter();
        let told: BTreeMap<_, _> =
            told.map(|[name, value, ..]| (name.replace('`', ""), value.replace('`', ""))).collect();
        assert_eq!(told, limits(path), "{path}");
        count += told.len();
    }
    assert!(count > 60, "the limits are found");
}

#[test]
fn every_limit_has_a_test_and_it_is_there() {
    let document = read("docs/limits.md");
    for [name, .., test] in SOURCES.iter().flat_map(|path| rows(&document, path)) {
        let words: Vec<&str> = test.split('`').filter(|word| !word.trim().is_empty()).collect();
        let [file, function] = words[..] else { panic!("{name}: {test:?} is no file and test") };
        assert!(read(file).contains(&format!("fn {function}(")), "{name}: {file} has no {function}");
    }
}
