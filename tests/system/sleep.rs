//! Rooms that nobody has use for leave memory: a daemon with such rooms answers as one with all of them awake, and loses nothing.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::chance::{Chance, say, seed, soak};
use crate::home::{Home, Host, converged, eventually};
use crate::metrics::{free_port, scrape, value};

/// Rounds of kill -9 around the moments at which a room falls asleep and wakes.
const ROUNDS: usize = 12;

/// Lets the home's daemon put rooms to sleep after a second.
fn restless(home: &Home) -> &Home {
    configured(home, "room_idle_s = 1\n")
}

fn configured<'a>(home: &'a Home, settings: &str) -> &'a Home {
    fs::write(home.path().join("config.toml"), settings).expect("a file can be written");
    home.start()
}

/// Names of the rooms that sleep.
fn asleep(home: &Home) -> BTreeSet<String> {
    let rooms = home.json(&["room", "list"]);
    let rooms = rooms["rooms"].as_array().expect("rooms").iter();
    let asleep = rooms.filter(|room| room["asleep"] == true);
    asleep.map(|room| room["name"].as_str().expect("a name").to_owned()).collect()
}

fn all_sleep(home: &Home, rooms: usize) {
    eventually("all rooms sleep", || asleep(home).len() == rooms);
}

/// Journals that the home's daemon has open.
fn open_journals(home: &Home) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", home.pid())).expect("its files");
    let open = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    open.filter(|file| file.ends_with("room.db")).count()
}

#[test]
fn rooms_out_of_use_are_closed_and_answer_as_if_they_were_not() {
    let home = Home::alone();
    let port = free_port();
    configured(&home, &format!("room_idle_s = 1\nmetrics = \"{port}\"\n"));
    home.ok(&["room", "create", "lab"]);
    let first = home.ok(&["edit", "cube", "node.insert", "x=1", "--room", "home"]);
    home.ok(&["edit", "ball", "node.insert", "tag=Mesh", "--room", "lab"]);
    let told = |home: &Home| {
        let mut rooms = home.json(&["room", "list"])["rooms"].clone();
        let rooms = rooms.as_array_mut().expect("rooms");
        rooms.iter_mut().for_each(|room| _ = room.as_object_mut().expect("a room").remove("asleep"));
        rooms.clone()
    };
    let before = told(&home);
    all_sleep(&home, 2);
    eventually("their journals are closed", || open_journals(&home) == 0);
    assert_eq!(told(&home), before, "what is told of rooms wakes none");
    assert!(home.ok(&["status"]).contains("asleep"));
    let text = scrape(port);
    let numbers = ["rtc_rooms", "rtc_rooms_asleep", "rtc_messages"].map(|name| value(&text, name));
    assert_eq!(numbers, [2.0, 2.0, 2.0]);
    assert_eq!(asleep(&home).len(), 2);
    assert_eq!(home.ok(&["get", "cube", "x", "--room", "home"]), "1");
    assert_eq!(asleep(&home), ["lab".to_owned()].into(), "only the one that was asked for wakes");
    all_sleep(&home, 2);
    let second = home.ok(&["edit", "cube", "number.add", "x", "1", "--room", "home"]);
    let number = |id: &str| id.rsplit_once(':').map(|(actor, seq)| (actor.to_owned(), seq.to_owned()));
    let ((actor, one), (same, two)) = (number(&first).expect("an id"), number(&second).expect("an id"));
    assert_eq!((actor, one.as_str(), two.as_str()), (same, "1", "2"), "numbers go on");
    all_sleep(&home, 2);
    let hash = told(&home);
    home.rtcd(&["stop"]);
    home.start();
    assert_eq!(
        (told(&home), asleep(&home).len(), open_journals(&home)),
        (hash, 2, 0),
        "asleep from the start"
    );
    assert_eq!(home.ok(&["get", "cube", "x", "--room", "home"]), "2");
    let said = home.ok(&["backup", &home.path().join("all.rtc").display().to_string()]);
    assert_eq!(said.lines().count(), 2, "what needs all rooms wakes all: {said}");
}

#[test]
fn a_room_that_sleeps_stays_in_touch_with_its_members() {
    let host = Host::new();
    let (a, b, c) = (host.home(), host.home(), host.home());
    restless(&a);
    restless(&b);
    b.join(&a);
    a.ok(&["edit", "cube", "node.insert", "x=1"]);
    let hash = converged(&[&a, &b]);
    let ticket = a.ok(&["invite"]).lines().last().expect("a ticket").to_owned();
    let sleeps = |home: &Home| home.room()["asleep"] == true;
    let both_sleep = || eventually("both rooms sleep", || sleeps(&a) && sleeps(&b));
    both_sleep();
    assert_eq!((a.state_hash(), a.room()["peers_connected"].as_u64()), (hash, Some(1)));
    eventually("they are in sync asleep", || a.json(&["status"])["in_sync"] == true);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    eventually("the edit arrives", || b.ok(&["get", "cube", "x"]) == "2");
    both_sleep();
    b.rtcd(&["stop"]);
    a.ok(&["edit", "cube", "number.add", "x", "1"]);
    eventually("the room sleeps", || sleeps(&a));
    b.start();
    eventually("what came meanwhile is fetched from who sleeps", || b.ok(&["get", "cube", "x"]) == "3");
    both_sleep();
    c.start();
    c.ok(&["join", &ticket]);
    converged(&[&a, &b, &c]);
    assert_eq!(c.ok(&["get", "cube", "x"]), "3", "an invitation is redeemed by a room that slept");
}

#[test]
fn kill_9_as_a_room_falls_asleep_or_wakes_loses_nothing_and_gives_no_number_twice() {
    let home = Home::alone();
    restless(&home);
    home.ok(&["edit", "log", "node.insert"]);
    let mut chance = Chance::new(seed());
    let (mut ids, mut told) = (BTreeSet::new(), 0);
    for round in 0..ROUNDS * soak() {
        let line = format!("\"{round}\"");
        assert!(
            ids.insert(home.ok(&["edit", "log", "array.push", "lines", &line])),
            "a number is given twice"
        );
        told += 1;
        match chance.below(3) {
            // Around the moment at which it falls asleep.
            0 => std::thread::park_timeout(Duration::from_millis(950 + chance.below(150) as u64)),
            // As soon as it sleeps.
            1 => all_sleep(&home, 1),
            // While it wakes, for an edit that nobody hears the answer to.
            _ => {
                all_sleep(&home, 1);
                let mut edit = home.command(&["edit", "log", "array.push", "lines", "\"unheard\""]);
                let mut edit = edit.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc runs");
                std::thread::park_timeout(Duration::from_millis(chance.below(30) as u64));
                home.kill();
                edit.wait().expect("it ends");
                home.start();
                continue;
            }
        }
        home.kill();
        home.start();
        let lines: Vec<String> = serde_json::from_str(&home.ok(&["get", "log", "lines"])).expect("a list");
        let heard = lines.iter().filter(|line| *line != "unheard").count();
        assert_eq!(heard, told, "round {round}");
    }
    let log = home.ok(&["log", "--limit", "100000", "--json"]);
    assert!(
        ids.iter().all(|id| log.contains(&format!("\"id\":\"{id}"))),
        "nothing acknowledged is lost: {log}"
    );
    say(&format!("{} rounds of kill -9 around sleep: nothing acknowledged is lost", ROUNDS * soak()));
}

#[test]
fn a_room_that_cannot_be_opened_is_tried_again() {
    let home = Home::alone();
    restless(&home);
    home.ok(&["edit", "cube", "node.insert", "x=1"]);
    all_sleep(&home, 1);
    eventually("its journal is closed", || open_journals(&home) == 0);
    let (here, away) = (home.path().join("data/rooms"), home.path().join("data/rooms-away"));
    fs::rename(&here, &away).expect("it can be moved");
    let get = home.command(&["get", "cube", "x"]).stdout(Stdio::piped()).spawn().expect("rtc runs");
    eventually("it could not be opened", || home.log().contains("which is tried again"));
    fs::rename(&away, &here).expect("it can be moved back");
    let said = get.wait_with_output().expect("it ends").stdout;
    assert_eq!(String::from_utf8_lossy(&said).trim(), "1");
}
