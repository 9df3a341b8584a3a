//! Every target of the fuzzer takes what once broke it, its seeds, and a few thousand mutations of these.
//!
//! What once broke something is kept in `tests/data/fuzz/<target>`. `RTC_CASES=20` tries twenty times as many.

mod daemon;
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use rtc_core::sim::Random;
use targets::Target;

/// Mutations of each target's seeds. Those that live through a whole room are dearer.
const MUTATIONS: u64 = 2_000;
const MUTATIONS_OF_ROOMS: u64 = 100;

fn all() -> Vec<Target> {
    targets::all().into_iter().chain(daemon::all()).collect()
}

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz")
}

/// Whether a target bears these bytes; if not, it says which they are.
fn bears(target: &Target, bytes: &[u8], which: &str) -> bool {
    let ended = catch_unwind(|| (target.run)(bytes));
    if ended.is_err() {
        eprintln!("{} is broken by {which}: {}", target.name, data_encoding::HEXLOWER.encode(bytes));
    }
    ended.is_ok()
}

#[test]
fn what_once_broke_something_does_no_more() {
    for target in all() {
        let Ok(files) = fs::read_dir(corpora().join(target.name)) else { continue };
        for file in files {
            let path = file.expect("a directory can be listed").path();
            let bytes = fs::read(&path).expect("a file can be read");
            assert!(bears(&target, &bytes, &path.display().to_string()), "{}", target.name);
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    let names: Vec<&str> = all().iter().map(|target| target.name).collect();
    for dir in fs::read_dir(corpora()).expect("there are corpora") {
        let name = dir.expect("a directory can be listed").file_name();
        assert!(names.iter().any(|known| name.to_str() == Some(known)), "{name:?} is no target's");
    }
}

#[test]
fn every_target_is_given_as_many_inputs_as_is_written() {
    let runs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/runs")).expect("a list");
    let mut listed: Vec<&str> = runs.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut names: Vec<&str> = all().iter().map(|target| target.name).collect();
    listed.sort_unstable();
    names.sort_unstable();
    assert_eq!(listed, names);
}

#[test]
fn mutated_seeds_break_nothing() {
    let times: u64 =
        std::env::var("RTC_CASES").map_or(1, |times| times.parse().expect("RTC_CASES is a number"));
    let words = targets::dictionary();
    let broken: Vec<&str> = all()
        .iter()
        .filter(|target| !bears_mutations(target, times, &words))
        .map(|target| target.name)
        .collect();
    assert_eq!(broken, [""; 0]);
}

/// Whether a target bears its seeds, and what little changes make of them.
fn bears_mutations(target: &Target, times: u64, words: &[String]) -> bool {
    let count = match target.name {
        "room" | "switchboard" | "replica" | "session" => MUTATIONS_OF_ROOMS,
        _ => MUTATIONS,
    };
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has seeds", target.name);
    let mutated = |number: u64| {
        let mut random = Random::new(number);
        let mut bytes = random.pick(&seeds).clone();
        (0..=random.below(4)).for_each(|_| mutate(&mut bytes, &seeds, words, &mut random));
        bears(target, &bytes, &format!("mutation {number}"))
    };
    seeds.iter().all(|seed| bears(target, seed, "a seed")) && (0..count * times).all(mutated)
}

/// Changes something somewhere, as libFuzzer does.
fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[String], random: &mut Random) {
    let at = index(random, bytes.len() + 1);
    let end = at + index(random, (bytes.len() - at).min(16) + 1);
    match random.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => {
            bytes[at] = *random.pick(&[0x80, 0x9a, 0x9b, 0xbb, 0x5b, 0x7f, 0xa1, 0xff, 0x00, 0xfb])
        }
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(at),
        4 => drop(bytes.splice(at..end, random.pick(words).bytes())),
        5 => {
            let other = random.pick(seeds);
            let from = index(random, other.len() + 1);
            let to = from + index(random, other.len() - from + 1);
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        _ => bytes.insert(at, random.bytes::<1>()[0]),
    }
}

fn index(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("it is below a usize")
}
