//! Files of format version 1 are opened for ever; what a later version wrote is refused, or kept until it means something.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Once;

use rtc_core::op::OpCode;
use rtc_core::sync::RoomFrame;

use crate::crash::copy;
use crate::forger::Forger;
use crate::home::{Home, Host, converged, eventually};

/// A data directory as a daemon of format version 1 left it, and the scene it shows as `rtc export` prints it. Until the first release
/// `RTC_UPDATE_DATA=1 cargo test --test system upgrade` makes both anew.
const DATA: &str = "tests/data/data-1";
const SCENE: &str = "tests/data/data-1.json";
/// Where SQLite keeps `user_version`, the version of a room's tables.
const USER_VERSION_AT: usize = 60;

fn golden() -> Home {
    if std::env::var_os("RTC_UPDATE_DATA").is_some() {
        static MADE: Once = Once::new();
        MADE.call_once(make_golden);
    }
    let home = Home::alone();
    let data = home.path().join("data");
    fs::create_dir(&data).expect("a directory");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(DATA), &data);
    // Of modes, version control keeps only whether a file is a program.
    make_private(&data);
    home
}

/// Writes [`DATA`] and [`SCENE`] anew: only before anybody has data of that version.
fn make_golden() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "tag=Mesh", "x=2", "label=\"a cube\""]);
    let turns = r#"{"key":"cube","otype":"counter.increment","path":"turns","value":1}"#;
    a.pipe(&["edit", "-"], &vec![turns; 4_500].join("\n"));
    b.ok(&["edit", "cube", "number.add", "x", "1"]);
    b.ok(&["edit", "cube", "text.init", "title", "hello"]);
    a.ok(&["undo", b.json(&["edit", "gone", "node.insert"])["id"].as_str().expect("an id")]);
    converged(&[&a, &b]);
    let data = a.path().join("data");
    let file = data.join("rooms").join(a.room()["room"].as_str().expect("an id")).join("room.db");
    let scene = a.ok(&["export"]);
    // Once the old messages are packed the file is a fraction of what it was.
    eventually("the room is packed", || {
        a.rtcd(&["stop"]);
        let bytes = fs::metadata(&file).expect("the room").len();
        a.start();
        bytes < 500_000
    });
    a.rtcd(&["stop"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let _ = fs::remove_dir_all(root.join(DATA));
    fs::create_dir_all(root.join(DATA)).expect("a directory");
    copy(&data, &root.join(DATA));
    fs::write(root.join(SCENE), scene + "\n").expect("the scene");
}

fn make_private(path: &Path) {
    let is_dir = path.is_dir();
    fs::set_permissions(path, fs::Permissions::from_mode(if is_dir { 0o700 } else { 0o600 })).expect("modes");
    if is_dir {
        fs::read_dir(path)
            .expect("a directory")
            .for_each(|entry| make_private(&entry.expect("an entry").path()));
    }
}

#[test]
fn a_data_directory_of_version_1_opens_and_goes_on() {
    let home = golden();
    home.start();
    let scene = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCENE)).expect("the scene");
    assert_eq!(home.ok(&["export"]), scene.trim_end());
    let doctor = home.ok(&["doctor"]);
    assert!(doctor.contains("each whole and signed"), "{doctor}");
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    home.rtcd(&["stop"]);
    home.start();
    assert_eq!(home.ok(&["get", "cube", "x"]), "4");
}

#[test]
fn a_newer_format_is_refused_with_a_sentence_and_left_as_it_is() {
    let home = golden();
    let rooms = fs::read_dir(home.path().join("data/rooms")).expect("rooms");
    let files: Vec<_> = rooms.map(|room| room.expect("a room").path().join("room.db")).collect();
    for file in &files {
        let mut bytes = fs::read(file).expect("the file");
        bytes[USER_VERSION_AT + 3] = 200;
        fs::write(file, bytes).expect("it is written");
    }
    let before: Vec<_> = files.iter().map(|file| fs::read(file).expect("the file")).collect();
    home.start();
    let why = home.room()["read_only"].as_str().expect("a reason").to_owned();
    assert!(why.contains("has format 200") && why.contains("use the newer rtc"), "{why}");
    home.rtcd(&["stop"]);
    let after: Vec<_> = files.iter().map(|file| fs::read(file).expect("the file")).collect();
    assert!(before == after, "it is left as it is");
}

#[test]
fn an_unknown_operation_of_a_newer_peer_is_kept_passed_on_and_shown() {
    let (a, b) = Host::new().joined();
    let mut newer = Forger::start(9, &a.ticket());
    newer.until("it is let in", |seen| seen.open);
    let pen = newer.pen();
    let mut message = pen.message(1, 1);
    message.ops[0].code = OpCode(0x7e01);
    let run = pen.first(&message);
    newer.say_of_room(RoomFrame::Run { run });
    let shows_it = |home: &Home| home.ok(&["log", "--json"]).contains("unknown.32257");
    eventually("it is shown and passed on", || shows_it(&a) && shows_it(&b));
    let hash = converged(&[&a, &b]);
    for home in [&a, &b] {
        home.rtcd(&["stop"]);
        home.start();
        assert!(shows_it(home), "it is kept");
        assert_eq!(home.state_hash(), hash);
    }
}
