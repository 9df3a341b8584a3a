//! Bad messages from a peer that is a member: each is refused and logged, and changes nothing, neither for the daemon
//! that hears it nor between that daemon and an honest one.

use rtc_client::blocking::Client;
use rtc_core::api::{Ask, Reply, Status};
use rtc_core::chain::Link as ChainLink;
use rtc_core::clock::VersionVector;
use rtc_core::id::{Actor, Dot, PeerKey, RoomId};
use rtc_core::limits::MESSAGE_BYTES_MAX;
#[cfg(target_os = "linux")]
use rtc_core::limits::WAITING_BYTES_MAX;
use rtc_core::message::{Head, Message};
use rtc_core::sync::{LinkFrame, RoomFrame};
use rtc_core::ticket::{Secret, Ticket};
use rtc_core::value::Value;
use serde_json::json;

use crate::forger::{CHANNEL, Forger, Seen};
#[cfg(target_os = "linux")]
use crate::forgeries::FLOODS;
use crate::forgeries::{Attack, Case, FRAMES, MESSAGES, Outcome, Theirs};
use crate::home::{Home, Host, converged, eventually};

/// By how much one flood may make the daemon's memory grow: the buffers it may fill, and what the allocator keeps.
#[cfg(target_os = "linux")]
const FLOOD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A daemon, an honest peer of it, and a forger.
struct Stage {
    /// Not running any more: it has let everybody in.
    _owner: Home,
    victim: Home,
    honest: Home,
    to_victim: Client,
    forger: Forger,
    theirs: Theirs,
    /// What let the forger in: the head of what its messages must have seen to count, and its lamport.
    grant: (Head, u64),
}

/// What of a daemon no forgery may change.
#[derive(PartialEq, Debug)]
struct Facts {
    pid: u32,
    messages: u64,
    nodes: u64,
    state_hash: String,
}

impl Stage {
    fn set() -> Self {
        let host = Host::new();
        let (owner, victim, honest) = (host.home(), host.home(), host.home());
        for home in [&owner, &victim, &honest] {
            home.start();
        }
        victim.join(&owner);
        honest.join(&owner);
        victim.ok(&["edit", "cube", "node.insert", "--wait", "peer:2"]);
        let ticket = Ticket { addresses: victim.ticket_addresses(), ..owner.ticket() };
        let mut forger = Forger::let_in_by(&owner, 7, &ticket);
        let key = |home: &Home| home.ok(&["identity", "show"]).parse::<PeerKey>().expect("a key");
        let (owners, victims) = (key(&owner), key(&victim));
        let of = |seen: &Seen, key: PeerKey| -> Vec<(Dot, Vec<u8>)> {
            let bodies = seen.bodies.iter().filter(|(dot, _)| dot.actor.key() == key);
            bodies.map(|(dot, body)| (*dot, body.clone())).collect()
        };
        forger.until("the victim sends what it has", |seen| {
            of(seen, owners).len() == 3 && of(seen, victims).len() == 1
        });
        let (dot, body) = forger.seen(|seen| of(seen, victims)).remove(0);
        let grants = forger.seen(|seen| of(seen, owners));
        let actor = grants[0].0.actor;
        let link =
            grants.iter().fold(ChainLink::origin(&ticket.room, &actor), |link, (_, body)| link.next(body));
        let lamport = Message::decode(actor, &grants[2].1).expect("a daemon's message").lamport;
        let grant = (Head { actor, seq: 3, link: link.short() }, lamport);
        owner.rtcd(&["stop"]);
        Self {
            _owner: owner,
            grant,
            to_victim: client(&victim),
            theirs: Theirs::new(ticket.room, dot, body),
            victim,
            honest,
            forger,
        }
    }

    /// Lives through one case: nothing changes, and everything goes on.
    fn check(&mut self, (what, outcome, forge): &Case) {
        let Attack { before, frames } = forge(&self.forger.pen(), &self.theirs);
        for run in before {
            self.forger.say_of_room(RoomFrame::Run { run });
            self.forger.heard_out();
        }
        let facts = facts(&status(&self.to_victim));
        let logged = self.victim.log().len();
        frames.into_iter().for_each(|frame| self.forger.say(frame));
        let told = match outcome {
            Outcome::Refused(text) | Outcome::Cut(text) => Some(*text),
            Outcome::PassedOver => None,
        };
        match outcome {
            Outcome::Cut(_) => self.forger.come_back(),
            Outcome::Refused(_) | Outcome::PassedOver => self.forger.heard_out(),
        }
        let log = self.victim.log().split_off(logged);
        assert_eq!(self.facts(), facts, "{what} changes nothing");
        match told {
            Some(text) => assert!(log.contains(text), "{what} is logged: {log}"),
            None => assert!(!log.contains("refused"), "{what} is no refusal: {log}"),
        }
        self.goes_on(what);
    }

    /// The forger is heard where it is honest, and the honest peer is as well.
    fn goes_on(&mut self, what: &str) {
        let before = self.facts();
        let pen = self.forger.pen();
        let (head, lamport) = self.grant;
        let run = pen.first(&Message { clock: vec![head], ..pen.message(1, lamport + 1) });
        self.forger.say_of_room(RoomFrame::Run { run });
        self.forger.heard_out();
        let after = self.facts();
        let counted = (after.pid, after.messages, after.nodes);
        assert_eq!(counted, (before.pid, before.messages + 1, before.nodes + 1), "heard after {what}");
        self.honest.ok(&["edit", "cube", "number.add", "edits", "1", "--wait", "peer"]);
        assert_eq!(self.facts().messages, before.messages + 2, "{what} leaves nothing behind");
    }

    /// In the end, the honest peer has what was accepted, and nothing else.
    fn agree(&self) {
        converged(&[&self.victim, &self.honest]);
    }

    fn facts(&self) -> Facts {
        facts(&status(&self.to_victim))
    }
}

impl Theirs {
    fn new(room: RoomId, dot: Dot, body: Vec<u8>) -> Self {
        let link = ChainLink::origin(&room, &dot.actor).next(&body).short();
        let lamport = Message::decode(dot.actor, &body).expect("a daemon's message").lamport;
        Self { head: Head { actor: dot.actor, seq: dot.seq, link }, lamport, body }
    }
}

fn client(home: &Home) -> Client {
    let places = rtc_client::Places::of_home(home.path()).expect("places");
    Client::connect(&places).expect("the daemon answers")
}

fn status(client: &Client) -> Status {
    match client.ask(Ask::Status {}).expect("the daemon answers") {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

fn facts(status: &Status) -> Facts {
    let room = &status.rooms[0];
    let state_hash = room.state_hash.to_string();
    Facts { pid: status.pid, messages: room.messages, nodes: room.nodes, state_hash }
}

#[test]
fn bad_messages_from_a_member_are_refused_and_change_nothing() {
    let mut stage = Stage::set();
    MESSAGES.iter().for_each(|case| stage.check(case));
    stage.agree();
    // What a peer may say and nobody means, a time of 2^64-1, can still be looked at.
    stage.victim.ok(&["log"]);
    stage.victim.ok(&["log", "--json"]);
}

#[test]
fn bad_frames_from_a_member_end_its_connection_or_nothing_and_change_nothing() {
    let mut stage = Stage::set();
    FRAMES.iter().for_each(|case| stage.check(case));
    stage.agree();
}

#[test]
fn a_message_whose_past_never_comes_waits_as_long_as_its_sender_stays() {
    let mut stage = Stage::set();
    let before = stage.facts();
    let pen = stage.forger.pen();
    let nobody = Head { actor: Actor::from_name("nobody"), seq: 5, link: [0; 16] };
    let run = pen.first(&Message { clock: vec![nobody], ..pen.message(1, 2) });
    stage.forger.say_of_room(RoomFrame::Run { run });
    stage.forger.heard_out();
    assert_eq!(stage.facts(), before);
    assert_eq!(status(&stage.to_victim).rooms[0].waiting, 1);
    stage.goes_on("a message that waits");
    drop(stage.forger);
    eventually("nothing waits any more", || status(&stage.to_victim).rooms[0].waiting == 0);
}

#[cfg(target_os = "linux")]
#[test]
fn no_flood_of_a_member_fills_the_memory_or_keeps_an_honest_peer_away() {
    let mut stage = Stage::set();
    // Something to ask for.
    for _ in 0..4 {
        let pen = stage.forger.pen();
        let mut message = pen.message(1, 1);
        message.ops[0].value = Value::Text("x".repeat(MESSAGE_BYTES_MAX - 1024));
        let run = pen.first(&message);
        stage.forger.say_of_room(RoomFrame::Run { run });
    }
    stage.forger.heard_out();
    stage.goes_on("a large scene");
    let resident = |stage: &Stage| status(&stage.to_victim).resident_bytes.expect("Linux tells");
    for (what, flood) in FLOODS {
        let (facts, before) = (stage.facts(), resident(&stage));
        flood(&mut stage.forger);
        stage.forger.outlived();
        assert_eq!(stage.facts(), facts, "{what}");
        let after = resident(&stage);
        println!("{what}: {} KiB became {} KiB", before / 1024, after / 1024);
        assert!(after < before + FLOOD_BYTES_MAX, "{what}: {before} bytes became {after}");
        let waiting = usize::try_from(status(&stage.to_victim).rooms[0].waiting).expect("few");
        // What waits here is almost as long as a message may be; and of one peer, a quarter of all may wait.
        assert!(waiting * MESSAGE_BYTES_MAX < WAITING_BYTES_MAX / 2, "{what}: {waiting} messages wait");
        stage.goes_on(what);
    }
    stage.agree();
}

#[test]
fn a_stranger_learns_nothing_not_even_by_a_number_of_bytes() {
    let host = Host::new();
    let home = host.home();
    home.start();
    home.ok(&["edit", "cube", "node.insert"]);
    let ticket = home.ticket();
    let mut stranger = Forger::knowing(8, &ticket, Secret([7; 32]));
    stranger.until("the stranger has tried its own secret", |seen| seen.opening.is_some());
    stranger.heard_out();
    let said = stranger.seen(|seen| seen.said.clone());
    assert!(matches!(said[..], [LinkFrame::Hello { .. }, LinkFrame::Pong { .. }]), "{said:?}");
    let wrong = stranger.seen(|seen| seen.opening.clone());
    let Some(LinkFrame::Open { tag: wrong_tag, proof: wrong_proof, .. }) = wrong else {
        panic!("the stranger has tried its own secret")
    };
    // A room nobody has; our tag of it; our own words, again.
    let tries = [([3; 16], [3; 32]), (wrong_tag, [3; 32]), (wrong_tag, wrong_proof)];
    let mut answers = Vec::new();
    for (ours, (tag, proof)) in (10..).zip(tries) {
        let before = stranger.seen(|seen| seen.said.len());
        stranger.say(LinkFrame::Open { channel: ours, tag, proof }.encode());
        for channel in [ours, CHANNEL, 1000] {
            let held = VersionVector::default();
            let exact = RoomFrame::Vector { held, runs_taken: 0, exact: true };
            stranger.say(LinkFrame::Room { channel, frame: exact }.encode());
            let digests = vec![(channel, [0; 16])];
            stranger.say(LinkFrame::Beat { ping: 0, digests }.encode());
        }
        stranger.heard_out();
        answers.push(
            stranger.seen(|seen| {
                seen.said[before..].iter().map(|frame| frame.encode().len()).collect::<Vec<_>>()
            }),
        );
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(stranger.seen(|seen| seen.bodies.is_empty() && seen.digests == 0 && !seen.open));

    let mut member = Forger::start(9, &ticket);
    member.until("a member is sent what there is", |seen| !seen.bodies.is_empty());
    let book = || {
        let places = rtc_client::Places::of_home(home.path()).expect("places");
        let text = std::fs::read_to_string(places.data_dir.join("peers")).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default()
    };
    let preferred = |key: String| {
        let lines = book()["peers"].as_array().cloned().unwrap_or_default();
        lines.iter().any(|line| line["peer"] == key && line["preferred"] == true)
    };
    eventually("a place is kept for the member", || preferred(member.key().to_string()));
    assert!(!preferred(stranger.key().to_string()), "but not for the stranger");
}

/// A member says one thing to one daemon and another, under the same number, to the other.
#[test]
fn a_fork_is_proven_to_everybody_and_stays_so() {
    let mut stage = Stage::set();
    let ticket = Ticket { addresses: stage.honest.ticket_addresses(), ..stage.forger.ticket().clone() };
    let mut twin = Forger::knowing(7, &ticket, stage.forger.secret());
    twin.until("the honest peer lets it in", |seen| seen.open);
    let (head, lamport) = stage.grant;
    let pen = stage.forger.pen();
    let message = Message { clock: vec![head], ..pen.message(1, lamport + 1) };
    let other = Message { note: Some("another".to_owned()), ..message.clone() };
    let (run, other) = (pen.first(&message), pen.first(&other));
    let forks = |home: &Home| home.room()["forks"].clone();
    assert_eq!((forks(&stage.victim), forks(&stage.honest)), (json!([]), json!([])));
    let before = stage.facts();
    stage.forger.say_of_room(RoomFrame::Run { run });
    twin.say_of_room(RoomFrame::Run { run: other });
    for home in [&stage.victim, &stage.honest] {
        eventually("the fork is proven", || forks(home) != json!([]));
    }
    let fork = forks(&stage.victim);
    let (dot, own, branches) = (&fork[0]["message"], &fork[0]["own"], &fork[0]["branches"]);
    assert_eq!(
        (dot, own, branches.as_array().map(Vec::len)),
        (&json!(message.dot()), &json!(false), Some(2))
    );
    eventually("both are there", || stage.facts().messages == before.messages + 2);
    converged(&[&stage.victim, &stage.honest]);
    assert_eq!(forks(&stage.honest), fork);
    let key = stage.forger.key().to_string();
    let told = stage.victim.ok(&["status"]);
    assert!(
        told.contains(&format!("two messages are {}:1: its machine runs twice, or lies", &key[..8])),
        "{told}"
    );
    let why = stage.victim.ok(&["why", &key]);
    assert!(why.contains("it has signed two messages"), "{why}");
    stage.victim.rtcd(&["stop"]);
    stage.victim.start();
    assert_eq!(forks(&stage.victim), fork, "it is remembered");
}
