//! Power cuts: whatever a disk makes of what was not synced, the store opens with every message it had acknowledged.
//!
//! A process does a script of steps to a real store under a recorder (`shim.c`). Its notes are replayed up to any point; of what was
//! not synced there, anything is kept, dropped, torn or reordered; and the store is opened on the image that gives. `RTC_SEED`
//! chooses the scripts and the cuts, `RTC_SOAK` multiplies them.
#![cfg(target_os = "linux")]

mod chance;
mod disk;
mod script;
mod shim;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use chance::Chance;
use disk::{Disk, Image};
use script::{Kind, Script};
use shim::{Note, What};
use tempfile::TempDir;

/// Images of single cuts, of either kind of script.
const IMAGES: usize = 750;
/// Cuts of one recording.
const IMAGES_EACH: usize = 250;
/// Images of which each recording takes a second one's beginning: the power is cut again while the store recovers.
const CUT_TWICE: usize = 2;
/// Second cuts of each of these.
const DOUBLE_EACH: usize = 13;
/// Steps done after the first cut.
const STEPS_AFTER: usize = 8;
/// Where the recorded process says how many steps are done; not part of the store.
const DONE: &str = "steps-done";
/// Tells this program that it is the recorded process: directory, kind, seed, first step, steps.
const ORDERS: &str = "RTC_POWER_ORDERS";

#[test]
fn power_cuts_between_commits_lose_nothing_acknowledged() {
    check("power_cuts_between_commits_lose_nothing_acknowledged", Kind::Commits);
}

#[test]
fn power_cuts_while_packing_lose_nothing_acknowledged() {
    check("power_cuts_while_packing_lose_nothing_acknowledged", Kind::Packing);
}

#[test]
fn a_disk_that_forgets_what_it_synced_is_noticed() {
    const NAME: &str = "a_disk_that_forgets_what_it_synced_is_noticed";
    if let Ok(orders) = std::env::var(ORDERS) {
        return carry_out(&orders);
    }
    let seed = chance::seed();
    let (bench, mut chance) = (Bench::new(NAME, Kind::Commits), Chance::new(seed));
    let script = Script::new(Kind::Commits, seed);
    let mut notes = bench.record(&Image::new(), seed, 0, script.steps.len());
    notes.retain(|note| note.what != What::Synced || note.path.is_empty());
    let lost = (0..20).any(|_| {
        let (image, done) = cut(&Image::new(), &notes, 0, &mut chance);
        disk::write(&image, &bench.image);
        std::panic::catch_unwind(|| script.check(&bench.image, done, false)).is_err()
    });
    assert!(lost, "what this test looks for can be found");
}

fn check(test: &'static str, kind: Kind) {
    if let Ok(orders) = std::env::var(ORDERS) {
        return carry_out(&orders);
    }
    let seed = chance::seed();
    let bench = Bench::new(test, kind);
    let (mut images, mut double) = (0, 0);
    for round in 0..(IMAGES / IMAGES_EACH * chance::soak()) as u64 {
        let seed = seed.wrapping_add(round);
        let mut chance = Chance::new(seed);
        let script = Script::new(kind, seed);
        let notes = bench.record(&Image::new(), seed, 0, script.steps.len());
        for nth in 0..IMAGES_EACH {
            let (image, done) = cut(&Image::new(), &notes, 0, &mut chance);
            disk::write(&image, &bench.image);
            let survived = script.check(&bench.image, done, nth % 10 == 0);
            images += 1;
            if nth < CUT_TWICE {
                double += bench.cut_again(&script, seed, &image, survived, &mut chance);
            }
        }
    }
    println!(
        "{kind:?}: {images} images and {double} double crashes, seed {seed}: nothing acknowledged is lost"
    );
}

/// Where images are made.
struct Bench {
    test: &'static str,
    kind: Kind,
    library: PathBuf,
    /// Where the recorded process works.
    work: PathBuf,
    log: PathBuf,
    image: PathBuf,
    _dir: TempDir,
}

impl Bench {
    fn new(test: &'static str, kind: Kind) -> Self {
        // In memory, where there is some: what a disk does is decided here.
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() { TempDir::with_prefix_in("rtc-power-", shm) } else { TempDir::new() };
        let dir = dir.expect("a directory for the test");
        let [work, log, image] = ["work", "log", "image"].map(|name| dir.path().join(name));
        Self { test, kind, library: shim::compile(dir.path()), work, log, image, _dir: dir }
    }

    /// What a process does to the store in `image` from step `from` on.
    fn record(&self, image: &Image, seed: u64, from: usize, steps: usize) -> Vec<Note> {
        disk::write(image, &self.work);
        let _ = std::fs::remove_file(&self.log);
        let orders = format!("{}\n{}\n{seed}\n{from}\n{steps}", self.work.display(), self.kind.name());
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", self.test]).env(ORDERS, orders);
        let output = shim::record(&mut command, &self.library, &self.work, &self.log).output();
        let output = output.expect("this program can be run");
        assert!(output.status.success(), "{output:?}");
        shim::notes(&self.log)
    }

    /// Cuts the power again, while what the first cut left is opened and written; returns how often.
    fn cut_again(
        &self,
        script: &Script,
        seed: u64,
        first: &Image,
        survived: usize,
        chance: &mut Chance,
    ) -> usize {
        let steps = script.steps.len().min(survived + STEPS_AFTER);
        let notes = self.record(first, seed, survived, steps);
        for _ in 0..DOUBLE_EACH {
            let (image, done) = cut(first, &notes, survived, chance);
            disk::write(&image, &self.image);
            script.check(&self.image, done, false);
        }
        DOUBLE_EACH
    }
}

/// Cuts the power at any of `notes`, which began on `image` with `done` steps; gives what is left, and how many steps had been done.
fn cut(image: &Image, notes: &[Note], mut done: usize, chance: &mut Chance) -> (Image, usize) {
    let mut disk = Disk::of(image);
    for note in &notes[..chance.below(notes.len() + 1)] {
        match &note.what {
            What::Written { data, .. } if note.path == DONE => {
                done = usize::from_ne_bytes(data[..].try_into().expect("a number"));
            }
            _ if note.path == DONE => {}
            _ => disk.apply(note),
        }
    }
    (disk.cut(chance), done)
}

/// Does what is recorded.
fn carry_out(orders: &str) {
    let orders: Vec<&str> = orders.lines().collect();
    let number = |at: usize| orders[at].parse::<u64>().expect("a number");
    let index = |at: usize| usize::try_from(number(at)).expect("a number of steps");
    let dir = Path::new(orders[0]);
    let mut said = std::fs::File::create(dir.join(DONE)).expect("a file");
    let mut script = Script::new(Kind::named(orders[1]), number(2));
    script.steps.truncate(index(4));
    script.carry_out(dir, index(3), |done| {
        said.write_all(&done.to_ne_bytes()).expect("it is said");
    });
}
