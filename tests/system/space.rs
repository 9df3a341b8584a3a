//! A full disk: edits are refused in clear words, nothing acknowledged is lost, and space heals it without a restart.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chance;
use crate::doctor::findings;
use crate::home::{Home, eventually};

/// A small disk, mounted for as long as the value lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a directory");
        let options = ["-t", "tmpfs", "-o", "size=3m,mode=700", "rtc-test"];
        let mounted = Command::new("mount").args(options).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = fs::File::create(&path).expect("a file");
        for piece in [1 << 16, 1 << 10, 1] {
            while filler.write_all(&vec![7; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The daemon below it is stopped after this; lazily, so that it goes when that is gone.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_heals_by_itself() {
    let home = Home::alone();
    let Some(disk) = SmallDisk::mount(&home.path().join("data")) else {
        chance::say("skipped: this user may not mount a small disk (needs root)");
        return;
    };
    home.start();
    let findings = findings(&home);
    let space = findings.iter().find(|(subject, ..)| subject == "disk space").expect("it is looked at");
    assert!(space.1 == "bad" && space.2.contains("make room"), "it is said before it is full: {space:?}");
    home.ok(&["edit", "log", "node.insert"]);
    let mut acknowledged = Vec::new();
    let push =
        |n: usize| home.rtc(&["edit", "log", "array.push", "lines", &format!("\"{n}\""), "--timeout", "20s"]);
    for n in 0..20 {
        assert_eq!(push(n).code, 0);
        acknowledged.push(n);
    }
    let filler = disk.fill();
    let mut n = 20;
    let refused = loop {
        let said = push(n);
        if said.code != 0 {
            break said;
        }
        acknowledged.push(n);
        n += 1;
        assert!(n < 2_000, "the disk fills up");
    };
    assert!(matches!(refused.code, 1 | 8) && refused.err.contains("full"), "{refused:?}");
    let held =
        || -> Vec<String> { serde_json::from_str(&home.ok(&["get", "log", "lines"])).expect("a list") };
    assert!(
        acknowledged.iter().all(|n| held().contains(&n.to_string())),
        "what was acknowledged is still shown"
    );
    assert!(home.room()["read_only"].as_str().is_some_and(|why| why.contains("full")), "{}", home.room());
    let pid = home.pid();
    fs::remove_file(filler).expect("there is space again");
    eventually("edits are durable again", || push(5_000).code == 0);
    assert_eq!(home.pid(), pid, "without a restart");
    acknowledged.push(5_000);
    home.kill();
    home.start();
    assert!(acknowledged.iter().all(|n| held().contains(&n.to_string())), "and they are on the disk");
    home.rtcd(&["stop"]);
}
