//! A disk whose sync fails: the room is read-only from then on and says so, and nothing is synced a second time.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::home::{Home, eventually, is_running};
use crate::shim::{self, What};

/// A daemon in the foreground, under the recorder, whose syncs can be made to fail; killed at the end if it still runs.
struct Recorded(Child);

impl Recorded {
    /// The daemon of `home`; its syncs fail while the file `fail` is there.
    fn start(home: &Home, log: &Path, fail: &Path) -> Self {
        let library = shim::compile(log.parent().expect("a directory"));
        let flags = ["run", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
        let mut command: Command = home.bare_command(env!("CARGO_BIN_EXE_rtcd"), &flags);
        command.env("RTC_SHIM_FAIL", fail).stdout(Stdio::null()).stderr(Stdio::null());
        let command = shim::record(&mut command, &library, &home.path().join("data"), log);
        let daemon = Self(command.spawn().expect("rtcd runs"));
        eventually("the daemon answers", || home.rtc(&["status"]).code == 0);
        daemon
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_failed_sync_makes_the_room_read_only_and_is_never_tried_again() {
    let home = Home::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let (log, switch) = (dir.path().join("log"), dir.path().join("fail"));
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=1"]);
    home.rtcd(&["stop"]);
    let daemon = Recorded::start(&home, &log, &switch);
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    fs::write(&switch, "").expect("the switch");
    let said = home.rtc(&["edit", "cube", "number.add", "x", "1"]);
    assert!(matches!(said.code, 1 | 8) && said.err.contains("disk"), "{said:?}");
    fs::remove_file(&switch).expect("the disk seems well again");
    let said = home.rtc(&["edit", "cube", "number.add", "x", "1"]);
    assert!(said.code == 1 && said.err.contains("hint"), "nobody believes it: {said:?}");
    assert!(home.room()["read_only"].is_string(), "{}", home.room());
    home.ok(&["get", "cube", "x"]);
    let doctor = home.rtc(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("is read-only"), "{doctor:?}");
    let pid = daemon.0.id();
    home.rtcd(&["stop"]);
    eventually("the daemon is gone", || !is_running(pid));
    let notes = shim::notes(&log);
    let failed = notes.iter().position(|note| note.what == What::SyncFailed).expect("a sync failed");
    assert!(notes[failed].path.contains("room.db"), "{:?}", notes[failed]);
    let again = notes[failed + 1..].iter().find(|note| note.path == notes[failed].path);
    assert!(again.is_none(), "the file is left alone: {again:?}");
    drop(daemon);
    home.start();
    let x: f64 = home.ok(&["get", "cube", "x"]).parse().expect("a number");
    assert!(x >= 2.0, "what was acknowledged is there: {x}");
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
}

#[test]
fn a_new_key_that_may_not_be_on_the_disk_is_used_once_it_is() {
    let home = Home::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let (log, switch) = (dir.path().join("log"), dir.path().join("fail"));
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    home.rtcd(&["stop"]);
    let _daemon = Recorded::start(&home, &log, &switch);
    let before = home.ok(&["identity", "show"]);
    fs::write(&switch, "directories").expect("the switch");
    let said = home.rtc(&["identity", "rotate"]);
    assert!(said.code != 0 && said.err.contains("identity"), "{said:?}");
    assert_eq!(home.ok(&["identity", "show"]), before, "it goes on with the key that is on the disk");
    fs::remove_file(&switch).expect("the disk is well again");
    let after = home.ok(&["identity", "rotate"]);
    assert_ne!(after, before);
    assert_eq!(home.ok(&["identity", "show"]), after);
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
}
