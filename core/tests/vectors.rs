//! Every vector gives its scene, in both dialects and under every delivery order tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use rtc_core::dialect::{Order, Vector};
use rtc_core::naive;
use rtc_core::value::Value;

/// Seeded shuffles with duplicates, besides the file's order and its reverse.
const SHUFFLES: u64 = 20;

/// The vectors of all files but the scene events, which are no messages.
fn vectors() -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/vectors");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| {
        file.extension().is_some_and(|ext| ext == "json") && !file.ends_with("scene__events.json")
    });
    files.sort();
    let read = |file: &PathBuf| -> Vec<Value> { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    files.iter().flat_map(read).collect()
}

/// Runs `check` over all vectors; gives how many there are.
fn check_all(check: impl Fn(&Vector) -> Result<(), String>) -> usize {
    let (mut passed, mut failures) = (0, Vec::new());
    for value in vectors() {
        let vector = Vector::read(&value).unwrap_or_else(|error| panic!("{value:?}: {error}"));
        assert_eq!(vector.unsupported, None, "{}", vector.name);
        match check(&vector) {
            Ok(()) => passed += 1,
            Err(difference) => failures.push(format!("{}: {difference}", vector.name)),
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures, among them:\n{}",
        failures.len(),
        failures[..failures.len().min(10)].join("\n")
    );
    passed
}

#[test]
fn every_delivery_order_gives_the_expected_scene() {
    let count = check_all(|vector| vector.check(SHUFFLES).map_err(|difference| difference.to_string()));
    assert_eq!(count, 1918);
}

#[test]
fn the_naive_fold_gives_the_expected_scene() {
    let count = check_all(|vector| {
        let folded = naive::fold(&vector.history.root, &vector.history.messages);
        vector.compare(&folded.scene, Order::Given).map_err(|difference| difference.to_string())
    });
    assert_eq!(count, 1918);
}

/// What the translation relies on: a session's own clock entry numbers its messages.
#[test]
fn own_clock_entries_are_dense_and_unique() {
    check_all(|vector| {
        let numbers: BTreeSet<_> = vector.history.messages.iter().map(|message| message.dot()).collect();
        let gapless = numbers.iter().all(|dot| {
            dot.seq == 1 || numbers.contains(&rtc_core::id::Dot { actor: dot.actor, seq: dot.seq - 1 })
        });
        let given = numbers.len() == vector.history.messages.len();
        if given && gapless { Ok(()) } else { Err("numbers repeat or have gaps".to_owned()) }
    });
}
