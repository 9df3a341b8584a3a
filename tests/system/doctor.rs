//! `rtc doctor`: what is well is said to be, and what is not comes with its fix.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rtc_core::sync::RoomFrame;

use crate::forger::Forger;
use crate::home::{Home, Host, eventually};

/// Subject, health and fix of each finding.
pub(crate) fn findings(home: &Home) -> Vec<(String, String, String)> {
    let said = home.rtc(&["doctor", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let text =
        |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let all = said["findings"].as_array().expect("a list").iter();
    all.map(|finding| (text(finding, "subject"), text(finding, "health"), text(finding, "fix"))).collect()
}

#[test]
fn a_sound_daemon_has_nothing_wrong_with_it() {
    let (a, _b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert"]);
    a.ok(&["doctor"]);
    let subjects: Vec<String> = findings(&a).into_iter().map(|(subject, ..)| subject).collect();
    for subject in
        ["versions", "permissions", "disk space", "volatile place", "ports", "multicast", "store", "clock"]
    {
        assert!(subjects.iter().any(|other| other == subject), "{subject} is looked at: {subjects:?}");
    }
}

#[test]
fn what_others_may_read_is_named_with_its_fix_and_the_fix_helps() {
    let home = Home::alone();
    home.start();
    let key = home.path().join("data/identity");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("a mode");
    mode(0o644);
    assert_eq!(home.rtc(&["doctor"]).code, 1);
    let fix =
        findings(&home).into_iter().find(|(subject, health, _)| subject == "permissions" && health == "bad");
    let (_, _, fix) = fix.expect("it is found");
    assert!(fix.contains("chmod go-rwx") && fix.contains("identity"), "{fix}");
    mode(0o600);
    home.ok(&["doctor"]);
}

#[test]
fn a_message_from_the_future_is_noted_with_a_fix() {
    let home = Home::alone();
    home.start();
    let clock =
        || findings(&home).into_iter().find(|(subject, ..)| subject == "clock").expect("it is looked at");
    assert_eq!(clock().1, "good");
    let mut ahead = Forger::start(9, &home.ticket());
    ahead.until("it is let in", |seen| seen.open);
    let pen = ahead.pen();
    let mut message = pen.message(1, 1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
    message.time_ms = u64::try_from((now + Duration::from_secs(3_600)).as_millis()).ok();
    let run = pen.first(&message);
    ahead.say_of_room(RoomFrame::Run { run });
    eventually("it is on the disk", || clock().1 == "note");
    assert!(clock().2.contains("timedatectl"), "{:?}", clock());
    assert_eq!(home.rtc(&["doctor"]).code, 0, "nothing is lost by that");
}

#[test]
fn a_daemon_whose_rooms_are_gone_says_so_and_founds_no_other() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    home.rtcd(&["stop"]);
    fs::remove_dir_all(home.path().join("data/rooms")).expect("they are lost");
    home.start();
    let said = home.rtc(&["edit", "cube", "node.insert"]);
    assert!(said.code == 4 && said.err.contains("hint:"), "{said:?}");
    let doctor = home.rtc(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("rtc restore FILE"), "{doctor:?}");
}
