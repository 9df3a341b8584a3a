//! Bits that flip on a resting disk: never a wrong value, never a loss unsaid, and everything comes back from a peer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::chance::{self, Chance};
use crate::crash::copy;
use crate::home::{Home, Host, converged, eventually, signal};

/// Flips in all, unless `RTC_SOAK` says more; half of them by each of two pairs of daemons at the same time.
const FLIPS: usize = 200;
const PAIRS: usize = 2;
/// In one flip of this many, any file is as likely as any other: the small ones would hardly ever be hit otherwise.
const ANY_FILE: usize = 4;

/// What came of the flips.
#[derive(Default, Debug)]
struct Tally {
    flips: usize,
    /// The daemon did not start, and named the file.
    refused: usize,
    /// The room was closed, with the reason.
    closed: usize,
    /// The room opened, and the doctor found it all the same.
    found: usize,
    /// Nothing that matters was hit.
    harmless: usize,
}

#[test]
fn a_flipped_bit_is_served_to_nobody_found_and_fetched_back_from_a_peer() {
    let seed = chance::seed();
    let flips = FLIPS * chance::soak() / PAIRS;
    let pairs: Vec<_> = (0..PAIRS as u64)
        .map(|pair| std::thread::spawn(move || Pair::new().flip(flips, Chance::new(seed + pair))))
        .collect();
    for pair in pairs {
        let tally = pair.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        chance::say(&format!("flipped bits, seed {seed}: {tally:?}"));
        assert!(tally.closed + tally.found > 0 && tally.flips == flips, "something that matters is hit");
    }
}

/// A daemon whose disk rots, and a peer of it.
struct Pair {
    rotten: Home,
    sound: Home,
    /// What the rotten one's data were.
    data: tempfile::TempDir,
    hash: String,
    messages: u64,
}

impl Pair {
    fn new() -> Self {
        let (rotten, sound) = Host::new().joined();
        for (home, name) in [(&rotten, "rotten"), (&sound, "sound")] {
            home.ok(&["edit", name, "node.insert", "tag=Mesh", "x=1"]);
            let lines = (0..120).map(|n| {
                let text = format!("{name} {n} ").repeat(1 + n % 40);
                format!(r#"{{"key":"{name}","otype":"array.push","path":"lines","value":"{text}"}}"#)
            });
            home.pipe(&["edit", "-"], &lines.collect::<Vec<_>>().join("\n"));
        }
        let hash = converged(&[&rotten, &sound]);
        let messages = rotten.messages();
        rotten.rtcd(&["stop"]);
        let data = tempfile::tempdir().expect("a directory");
        copy(&rotten.path().join("data"), data.path());
        Self { rotten, sound, data, hash, messages }
    }

    fn flip(self, flips: usize, mut chance: Chance) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..flips {
            self.flip_one(&mut chance, &mut tally);
            tally.flips += 1;
        }
        tally
    }

    fn flip_one(&self, chance: &mut Chance, tally: &mut Tally) {
        let home = self.rotten.path().join("data");
        fs::remove_dir_all(&home).expect("the last one's data");
        fs::create_dir(&home).expect("a directory");
        copy(self.data.path(), &home);
        set_private(&home);
        let (file, at, bit) = flip_a_bit(&home, chance);
        let what = format!("bit {bit} of byte {at} of {}", file.display());
        // The peer is there, but says nothing: what is seen is what is on the disk.
        let peer = self.sound.pid();
        signal(peer, "STOP");
        let started = self.rotten.rtcd(&["start", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"]);
        if started.code != 0 {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(started.err.contains(&name), "{what} is named: {started:?}");
            tally.refused += 1;
            return signal(peer, "CONT");
        }
        let room = self.rotten.room();
        let is_closed = room["read_only"].is_string();
        let is_whole = (room["state_hash"].as_str(), room["messages"].as_u64())
            == (Some(&*self.hash), Some(self.messages));
        assert!(is_closed || is_whole, "{what}: a wrong scene is shown: {room}");
        let doctor = self.rotten.rtc(&["doctor", "--timeout", "60s"]);
        assert!(!is_closed || doctor.code == 1, "{what} is found: {doctor:?}");
        signal(peer, "CONT");
        match (is_closed, doctor.code) {
            (true, _) => tally.closed += 1,
            (false, 1) => tally.found += 1,
            (false, _) => tally.harmless += 1,
        }
        if doctor.code == 1 {
            let repaired = self.rotten.rtc(&["doctor", "--repair"]);
            assert_eq!(repaired.code, 0, "{what}: {repaired:?}");
            eventually("what was lost is back", || self.rotten.messages() == self.messages);
            assert_eq!(self.rotten.state_hash(), self.hash, "{what}");
            let doctor = self.rotten.rtc(&["doctor"]);
            assert_eq!(doctor.code, 0, "{what}: all is well afterwards: {doctor:?}");
        }
        let stopped = self.rotten.rtcd(&["stop"]);
        assert_eq!(stopped.code, 0, "{what}: {stopped:?}");
    }
}

/// Flips one bit of one file, and says which.
fn flip_a_bit(dir: &Path, chance: &mut Chance) -> (PathBuf, usize, u32) {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(&dir).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            match fs::metadata(&path).expect("metadata") {
                found if found.is_dir() => dirs.push(path),
                found => files.push((path, usize::try_from(found.len()).expect("a length"))),
            }
        }
    }
    files.retain(|(_, len)| *len > 0);
    files.sort();
    let (path, at) = if chance.below(ANY_FILE) == 0 {
        let (path, len) = &files[chance.below(files.len())];
        (path, chance.below(*len))
    } else {
        let mut at = chance.below(files.iter().map(|(_, len)| len).sum());
        let hit = files.iter().find(|(_, len)| {
            let is_here = at < *len;
            at -= if is_here { 0 } else { *len };
            is_here
        });
        (&hit.expect("one of the files").0, at)
    };
    let bit = u32::try_from(chance.below(8)).expect("a bit");
    let mut bytes = fs::read(path).expect("the file");
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).expect("it is written");
    (path.clone(), at, bit)
}

/// Directories as the daemon makes them.
fn set_private(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("permissions");
}
