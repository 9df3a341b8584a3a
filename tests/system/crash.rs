//! Killed processes, restarts and retries: what was acknowledged stays, and nothing is there twice.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::chance::{say, soak};
use crate::home::{Home, Host, converged};

/// Homes that are killed, so that their journals stay short, and how often each is.
const HOMES: usize = 5;
const ROUNDS: usize = 20;
/// Edits that are answered before the kill.
const ANSWERS: usize = 20;
/// Edits that are sent, without waiting for answers: some are always under way.
const LINES: usize = 400;

#[test]
fn kill_9_under_a_stream_of_edits_loses_no_acknowledged_one() {
    for _ in 0..HOMES * soak() {
        killed_under_a_stream();
    }
    say(&format!("{} rounds of kill -9: nothing acknowledged is lost", HOMES * soak() * ROUNDS));
}

fn killed_under_a_stream() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "log", "node.insert"]);
    let mut acknowledged = 0;
    for round in 1..=ROUNDS {
        let mut edit = home.command(&["edit", "-", "--json"]);
        let edit = edit.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut edit = edit.spawn().expect("rtc edit runs");
        let mut stdin = edit.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || {
            // Ends when the daemon is killed and with it the client.
            for n in 0..LINES {
                let line =
                    format!(r#"{{"key":"log","otype":"array.push","path":"lines","value":"{round}-{n}"}}"#);
                if writeln!(stdin, "{line}").is_err() {
                    return;
                }
            }
        });
        let mut answers = BufReader::new(edit.stdout.take().expect("piped")).lines();
        for _ in 0..ANSWERS {
            let line = answers.next().expect("an answer").expect("text");
            assert!(line.contains("rtc.edited"), "{line}");
            acknowledged += 1;
        }
        home.kill();
        acknowledged +=
            answers.map_while(Result::ok).filter(|line| line.contains("rtc.edited")).count() as u64;
        edit.wait().expect("it ends");
        writer.join().expect("the writer ends with its pipe");
        home.start();
        let lines: Vec<String> = serde_json::from_str(&home.ok(&["get", "log", "lines"])).unwrap();
        assert!(lines.len() as u64 >= acknowledged, "{} of {acknowledged} are left", lines.len());
        // The stream was in order, so what survived of each round is its beginning.
        let mine = lines.iter().filter_map(|line| line.strip_prefix(&format!("{round}-")));
        assert!(mine.enumerate().all(|(n, text)| text == n.to_string()));
    }
}

#[test]
fn a_restart_resumes_where_it_was() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    let before = converged(&[&a, &b]);
    let addresses = a.json(&["status"])["listening"].clone();
    a.rtcd(&["stop"]);
    a.start();
    assert_eq!(a.state_hash(), before);
    assert_eq!(a.json(&["status"])["listening"], addresses, "the port is remembered");
    b.ok(&["edit", "cube", "number.add", "x", "1"]);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    converged(&[&a, &b]);
    assert_eq!(a.ok(&["get", "cube", "x"]), "3");
}

/// The epoch of the newest message: the part of its id that changes when numbers might be used twice.
fn actor_of_newest(home: &Home) -> String {
    let log = home.json(&["log", "--limit", "1"]);
    let id = log["id"].as_str().or_else(|| log["messages"][0]["id"].as_str()).expect("an id").to_owned();
    id.split(':').next().expect("actor:number").to_owned()
}

#[test]
fn an_epoch_goes_on_over_restarts_and_ends_with_a_reboot_or_a_restored_backup() {
    let host = Host::new();
    let home = host.home();
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    let first = actor_of_newest(&home);
    home.rtcd(&["stop"]);
    home.start();
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    assert_eq!(actor_of_newest(&home), first, "nothing was lost");
    home.rtcd(&["stop"]);
    host.reboot();
    home.start();
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    let second = actor_of_newest(&home);
    assert_ne!(second, first, "memory forgot which number was told last");
    // A backup that misses the last edit is restored.
    home.rtcd(&["stop"]);
    let backup = tempfile::tempdir().unwrap();
    copy(home.path(), backup.path());
    home.start();
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    home.rtcd(&["stop"]);
    copy(backup.path(), home.path());
    home.start();
    home.ok(&["edit", "cube", "number.add", "x", "1"]);
    assert_ne!(actor_of_newest(&home), second, "a number was told that the restored journal does not hold");
    assert_eq!(home.ok(&["get", "cube", "x"]), "3");
}

/// Makes `to` a copy of `from`, sockets and locks left out.
pub(crate) fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a file type");
        if kind.is_dir() {
            std::fs::create_dir_all(&target).expect("a directory");
            let mode = std::fs::metadata(&source).expect("metadata").permissions();
            std::fs::set_permissions(&target, mode).expect("permissions");
            copy(&source, &target);
        } else if kind.is_file() {
            let _ = std::fs::remove_file(&target);
            std::fs::copy(&source, &target).expect("a copy");
        }
    }
    for entry in std::fs::read_dir(to).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !from.join(path.file_name().expect("a name")).exists() {
            std::fs::remove_file(path).expect("what the backup had not is gone");
        }
    }
}
