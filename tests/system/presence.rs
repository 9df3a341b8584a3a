//! Who is here and what is drafted, between daemons: seen while it lasts, and on no disk.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rtc_client::Places;
use rtc_client::blocking::{Client, Replies};
use rtc_core::api::{Ask, Change, Commit, EditOp, Event, Present, Reply, Stage};
use rtc_core::value::Value;
use serde_json::Value as Json;

use crate::home::{Home, Host, converged, eventually};

/// Steps of a drag.
const STEPS: u32 = 200;
/// Steps of it that somebody waits to see.
const SEEN_STEPS: u32 = 5;

fn client(home: &Home) -> Client {
    Client::connect(&Places::of_home(home.path()).expect("places")).expect("the daemon answers")
}

/// Everything that happens in the default room.
fn watch(client: &Client) -> Replies<'_> {
    let mut events =
        client.stream(Ask::Watch { room: None, presence: true, drafts: true }).expect("it is asked");
    assert!(matches!(events.next(), Some(Ok(Reply::Watching {}))));
    events
}

/// The next event of which `look` makes something.
fn until<T>(events: &mut Replies<'_>, mut look: impl FnMut(Event) -> Option<T>) -> T {
    loop {
        let event = events.next().expect("events go on").expect("the daemon is there");
        let Reply::Event(event) = event else { panic!("not an event: {event:?}") };
        if let Some(found) = look(event) {
            return found;
        }
    }
}

fn position(x: f64) -> Value {
    Value::numbers(&[x, 0.0, 0.0]).expect("it is finite")
}

fn drag_to(x: f64) -> Ask {
    let op = EditOp {
        otype: "vector3.set".into(),
        key: "cube".into(),
        path: Some("position".into()),
        value: Some(position(x)),
        ..EditOp::default()
    };
    Ask::Stage(Stage { ops: vec![op], ..Stage::default() })
}

/// Where a draft shows the cube, if it does.
fn previewed(event: Event) -> Option<Value> {
    let Event::Draft { changes, .. } = event else { return None };
    changes.into_iter().find_map(|change| match change {
        Change::Property { value, .. } => value,
        Change::Node { .. } | Change::Removed { .. } => None,
    })
}

/// Bytes below a directory.
fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .map(
            |path| {
                if path.is_dir() { bytes_below(&path) } else { path.metadata().map_or(0, |meta| meta.len()) }
            },
        )
        .sum()
}

#[test]
fn a_drag_is_many_previews_and_one_message_and_so_one_undo() {
    let (a, b) = Host::new().joined();
    a.ok(&["edit", "cube", "node.insert", "position=[0,0,0]", "--wait", "peer"]);
    converged(&[&a, &b]);
    let rooms = a.path().join("data").join("rooms");
    let (messages, bytes) = (a.messages(), bytes_below(&rooms));
    let watcher = client(&b);
    let mut events = watch(&watcher);
    let dragger = client(&a);
    for step in 1..=STEPS {
        let reply = dragger.ask(drag_to(step.into())).expect("it can be staged");
        assert!(matches!(reply, Reply::Staged(staged) if staged.edits == 1), "{reply:?}");
        if step <= SEEN_STEPS {
            let seen =
                until(&mut events, |event| previewed(event).filter(|seen| *seen == position(step.into())));
            assert_eq!(b.ok(&["get", "cube", "position"]), "[0,0,0]", "{seen:?} is no more than a preview");
        }
    }
    until(&mut events, |event| previewed(event).filter(|seen| *seen == position(STEPS.into())));
    assert_eq!((a.messages(), b.messages()), (messages, messages));
    assert_eq!(bytes_below(&rooms), bytes, "nothing of it is on the disk");
    let who = b.json(&["who"]);
    assert_eq!((&who["sessions"][0]["staged"], &who["sessions"][0]["own"]), (&1.into(), &false.into()));
    let reply = dragger.ask(Ask::Commit(Commit::default())).expect("it can be committed");
    assert!(matches!(reply, Reply::Edited(_)), "{reply:?}");
    let committed = until(&mut events, |event| match event {
        Event::Message { message, .. } => Some(message),
        Event::Draft { edits, .. } => panic!("the draft ends after its message, not with {edits:?}"),
        _ => None,
    });
    assert_eq!(committed.ops.len(), 1);
    until(&mut events, |event| matches!(event, Event::Draft { edits, .. } if edits.is_empty()).then_some(()));
    assert_eq!(a.messages(), messages + 1);
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "position"]), format!("[{STEPS},0,0]"));
    a.ok(&["undo"]);
    converged(&[&a, &b]);
    assert_eq!(b.ok(&["get", "cube", "position"]), "[0,0,0]");
}

/// `rtc presence`, until it is dropped.
struct Shower(Child);

impl Shower {
    fn start(home: &Home, name: &str) -> Self {
        let mut command = home.command(&["presence", &format!("name={name}"), "selection=cube"]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc can be run"))
    }
}

impl Drop for Shower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_here_is_gone_with_the_program_and_with_the_daemon() {
    let (a, b) = Host::new().joined();
    let is_seen = |home: &Home, name: &str| home.ok(&["who"]).contains(&format!("{name} on"));
    let ann = Shower::start(&a, "Ann");
    eventually("Ann is seen on both sides", || is_seen(&a, "Ann") && is_seen(&b, "Ann"));
    assert!(b.ok(&["who"]).contains("selects cube"));
    let bob = Shower::start(&b, "Bob");
    eventually("so is Bob", || is_seen(&a, "Bob") && is_seen(&b, "Bob"));
    drop(ann);
    eventually("Ann is gone with her program", || !is_seen(&a, "Ann") && !is_seen(&b, "Ann"));
    assert!(is_seen(&a, "Bob"));
    let carol = Shower::start(&a, "Carol");
    eventually("Carol is seen", || is_seen(&b, "Carol"));
    let watcher = client(&b);
    let mut events = watch(&watcher);
    let is_carol = |event| match event {
        Event::Presence { session, fields, .. } if fields.get("name") == Some(&"Carol".into()) => {
            Some(session)
        }
        _ => None,
    };
    let carols = until(&mut events, is_carol);
    a.kill();
    until(&mut events, |event| match event {
        Event::Presence { session, fields, .. } if session == carols && fields.is_empty() => Some(()),
        _ => None,
    });
    assert!(!is_seen(&b, "Carol"));
    drop((carol, bob));
    // Who comes later is told what is shown by then.
    let shower = client(&b);
    let fields = [("name".to_owned(), "Dan".into())].into();
    shower.ask(Ask::Present(Present { room: None, fields })).expect("it can be shown");
    a.start();
    eventually("Dan is seen by who comes later", || is_seen(&a, "Dan"));
}

#[test]
fn watchers_are_told_line_by_line_of_what_they_asked_for_alone() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=1"]);
    let watched = |args: &[&str]| {
        let mut command = home.command(&[&["watch", "--json"], args].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("rtc can be run");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("it is text");
        assert!(first.contains("rtc.watching/1"), "{first}");
        (Shower(child), lines.map(|line| serde_json::from_str::<Json>(&line.expect("text")).expect("JSON")))
    };
    let (_plain, mut plain) = watched(&[]);
    let (_drafts, mut drafts) = watched(&["--drafts"]);
    home.ok(&["edit", "--stage", "cube", "number.add", "x", "1"]);
    let draft = drafts.next().expect("a line");
    let expected = r#"[{"property":{"key":"cube","path":"x","value":2}}]"#;
    assert_eq!(draft["draft"]["changes"], serde_json::from_str::<Json>(expected).expect("JSON"), "{draft}");
    // Who comes later is told of it at once, as are those who asked for presence.
    let (_late, mut late) = watched(&["--drafts", "--presence"]);
    assert_eq!(late.next().expect("a line")["draft"]["edits"], draft["draft"]["edits"]);
    let _ann = Shower::start(&home, "Ann");
    assert_eq!(late.next().expect("a line")["presence"]["fields"]["name"], "Ann");
    home.ok(&["commit"]);
    for lines in [&mut plain as &mut dyn Iterator<Item = Json>, &mut drafts, &mut late] {
        let message = lines.next().expect("a line");
        assert_eq!(message["message"]["ops"][0]["otype"], "number.add", "{message}");
    }
    assert!(drafts.next().expect("a line")["draft"]["edits"].as_array().expect("a list").is_empty());
}

#[test]
fn a_draft_is_staged_seen_committed_and_cancelled_from_the_command_line() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "x=1"]);
    let messages = home.messages();
    assert_eq!(home.json(&["edit", "--stage", "cube", "number.add", "x", "2"])["edits"], 1);
    home.ok(&["edit", "--stage", "lamp", "node.insert", "tag=Light", "parent=cube"]);
    assert_eq!(home.ok(&["get", "cube", "x"]), "1");
    assert_eq!(home.ok(&["get", "cube", "x", "--preview"]), "3");
    assert!(home.ok(&["tree", "--preview"]).contains("lamp") && !home.ok(&["tree"]).contains("lamp"));
    assert_eq!(home.json(&["get", "lamp", "--preview"])["parent"], "cube");
    // A second one beside it.
    home.ok(&["edit", "--stage", "--draft", "other", "cube", "number.set", "x", "9"]);
    assert_eq!(home.ok(&["get", "cube", "x", "--preview=other"]), "9");
    assert_eq!(home.json(&["cancel", "--draft", "other"])["edits"], 1);
    assert_eq!(home.rtc(&["get", "cube", "x", "--preview=other"]).code, 4);
    assert_eq!(home.rtc(&["log", "--at", "now", "--preview"]).code, 2);
    assert_eq!(home.messages(), messages);
    home.ok(&["commit", "-m", "both"]);
    assert_eq!(home.messages(), messages + 1);
    assert_eq!(
        (home.ok(&["get", "cube", "x"]), home.json(&["get", "lamp"])["tag"].clone()),
        ("3".into(), "Light".into())
    );
    let said = home.rtc(&["commit"]);
    assert!(
        said.code == 4 && said.err.contains("nothing is staged") && said.err.contains("hint:"),
        "{said:?}"
    );
    // What cannot be committed any more stays until it can.
    home.ok(&["edit", "--stage", "cube", "number.add", "x", "1"]);
    home.ok(&["edit", "cube", "node.remove"]);
    assert_eq!(home.rtc(&["commit"]).code, 4);
    home.ok(&["undo"]);
    home.ok(&["commit"]);
    assert_eq!(home.ok(&["get", "cube", "x"]), "4");
    // A drag by lines: each is all of the draft.
    let line =
        |x: u32| format!("{{\"key\":\"cube\",\"otype\":\"number.add\",\"path\":\"x\",\"value\":{x}}}\n");
    home.pipe(&["edit", "--stage", "--replace", "-"], &(1..=50).map(line).collect::<String>());
    home.ok(&["commit"]);
    assert_eq!((home.ok(&["get", "cube", "x"]), home.messages()), ("54".into(), messages + 5));
    let said = home.rtc(&["edit", "--stage", "gone", "number.add", "x", "1"]);
    assert!(said.code == 4 && said.err.contains("gone"), "{said:?}");
}
