//! Commands against a daemon made of a script: what they ask, what they print, and how they end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use anstream::adapter::strip_str;
use rtc_cli::exit::Exit;
use rtc_cli::failure::Failure;
use rtc_cli::output::Output;
use rtc_cli::session::Session;
use rtc_cli::{Launcher, args, command};
use rtc_client::{Places, frame};
use rtc_core::api::{Answer, ApiError, Ask, Code, Edited, Event, Hello, Node, PROTOCOL, Reply, Request};
use rtc_core::id::{Actor, Dot};
use rtc_core::value::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

/// What a command printed; shared with the output that prints it.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How the scripted daemon is to fail.
#[derive(Clone, Copy, Default)]
struct Script {
    /// Ends each connection after so many requests.
    requests_per_connection: Option<usize>,
}

/// What the scripted daemon did.
#[derive(Default)]
struct Done {
    commits: Vec<String>,
    requests: BTreeMap<String, u64>,
    connections: usize,
}

fn node(key: &str, parent: Option<&str>, children: &[&str]) -> Node {
    Node {
        key: key.into(),
        tag: "Mesh".into(),
        name: String::new(),
        parent: parent.map(str::to_owned),
        children: children.iter().map(|&child| child.to_owned()).collect(),
        properties: BTreeMap::from([("p".to_owned(), Value::numbers(&[5.0, 5.0, 0.0]).unwrap())]),
    }
}

impl Done {
    fn answer(&mut self, ask: Ask) -> Vec<Result<Reply, ApiError>> {
        let missing = || Err(ApiError::new(Code::NotFound, "there is no such thing"));
        match ask {
            Ask::Edit(edit) if edit.ops[0].otype == "node.remove" => {
                vec![Err(ApiError::new(Code::ReadOnly, "not now").with_hint("later"))]
            }
            Ask::Edit(edit) => {
                let text = edit.ops.iter().map(rtc_cli::draw::edit).collect::<Vec<_>>().join(" + ");
                let request = edit.request.unwrap();
                let repeated = self.requests.contains_key(&request);
                let next = self.requests.len() as u64 + 1;
                let seq = *self.requests.entry(request).or_insert(next);
                if !repeated {
                    self.commits.push(text);
                }
                let id = Dot { actor: Actor::from_name("me"), seq };
                vec![Ok(Reply::Edited(Edited { id, repeated, ineffective: vec![] }))]
            }
            Ask::Value { key, path, .. } if (key.as_str(), path.as_str()) == ("a", "p") => {
                vec![Ok(Reply::Value(Value::numbers(&[5.0, 5.0, 0.0]).unwrap()))]
            }
            Ask::Node { key, .. } if key == "a" => vec![Ok(Reply::Node(node("a", Some("scene"), &[])))],
            Ask::Scene { .. } => {
                let root = Node { properties: BTreeMap::new(), ..node("scene", None, &["a"]) };
                vec![Ok(Reply::Scene(vec![root])), Ok(Reply::Scene(vec![node("a", Some("scene"), &[])]))]
            }
            Ask::Watch { .. } => {
                vec![Ok(Reply::Watching {}), Ok(Reply::Event(Event::Lagged { dropped: 3 }))]
            }
            _ => vec![missing()],
        }
    }
}

async fn serve(listener: &UnixListener, script: Script, done: &Mutex<Done>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        done.lock().unwrap().connections += 1;
        let hello = Hello { protocol: PROTOCOL, agent: "rtcd 0.0.0".into(), pid: Some(1) };
        stream.write_all(&frame::encode(&hello).unwrap()).await.unwrap();
        let _: Option<Hello> = frame::read(&mut stream).await.unwrap();
        let mut left = script.requests_per_connection.unwrap_or(usize::MAX);
        while left > 0
            && let Ok(Some(request)) = frame::read::<Request>(&mut stream).await
        {
            left -= 1;
            let results = done.lock().unwrap().answer(request.ask);
            // What was done last is lost on the way.
            let last = results.len();
            for (number, result) in results.into_iter().enumerate().filter(|_| left > 0) {
                let answer = Answer { id: request.id, more: number + 1 < last, result };
                if stream.write_all(&frame::encode(&answer).unwrap()).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// Runs a command line against the script: what it printed, how it ended, and what the daemon did.
async fn run(script: Script, line: &[&str]) -> (String, Result<(), Failure>, Done) {
    run_with_input(script, line, String::new()).await
}

async fn run_with_input(script: Script, line: &[&str], input: String) -> (String, Result<(), Failure>, Done) {
    let home = TempDir::new().unwrap();
    let mut places = Places::of_home(home.path()).unwrap();
    places.socket = home.path().join("socket");
    let listener = UnixListener::bind(&places.socket).unwrap();
    let words = ["rtc"].iter().chain(line).map(OsString::from);
    let cli = args::parse(words).unwrap();
    let printed = Printed::default();
    let out = Output::new(Box::new(printed.clone()), cli.globals.json, false);
    let launcher = Launcher { program: "/nonexistent".into(), args: vec![] };
    let session = Session::new(cli.globals, out, launcher).at(places).reading(Cursor::new(input));
    let done = Mutex::new(Done::default());
    let ended = tokio::select! {
        ended = command::run(cli.command, session) => ended,
        () = serve(&listener, script, &done) => unreachable!("the script never ends"),
    };
    let text = String::from_utf8(printed.0.lock().unwrap().clone()).unwrap();
    (strip_str(&text).to_string(), ended, done.into_inner().unwrap())
}

async fn check(line: &[&str], expected: &str, exit: Exit) {
    let (printed, ended, _) = run(Script::default(), line).await;
    let code = ended.map_or_else(|failure| failure.exit, |()| Exit::Ok);
    assert_eq!((printed.as_str(), code), (expected, exit), "{line:?}");
}

#[tokio::test]
async fn a_value_is_a_line_of_json_and_a_missing_one_is_nothing() {
    check(&["get", "a", "p"], "[5,5,0]\n", Exit::Ok).await;
    check(&["get", "a", "q"], "", Exit::NotFound).await;
    check(&["get", "b"], "", Exit::NotFound).await;
    let value = "{\"schema\":\"rtc.value/1\",\"key\":\"a\",\"path\":\"p\",\"value\":[5,5,0]}\n";
    check(&["get", "a", "p", "--json"], value, Exit::Ok).await;
    check(&["--json", "get", "a", "p"], value, Exit::Ok).await;
}

#[tokio::test]
async fn an_edit_prints_its_id_and_a_refused_one_nothing() {
    let id = Dot { actor: Actor::from_name("me"), seq: 1 };
    check(&["edit", "a", "number.add", "x", "-1.5e-3"], &format!("{id}\n"), Exit::Ok).await;
    check(&["edit", "a", "node.remove"], "", Exit::Refused).await;
    check(&["edit", "a", "number.add", "x", "one"], "", Exit::Usage).await;
}

#[tokio::test]
async fn an_edit_lost_with_its_connection_is_made_once() {
    let script = Script { requests_per_connection: Some(1) };
    let (printed, ended, done) = run(script, &["edit", "a", "number.add", "x", "1"]).await;
    // The script loses every answer, so the second attempt fails too; but there is one edit.
    assert_eq!(ended.unwrap_err().exit, Exit::Unanswered);
    assert_eq!((printed.as_str(), done.commits.len(), done.connections), ("", 1, 2));
}

fn adds(count: usize) -> String {
    let line = |n| format!("{{\"key\":\"n{n:06}\",\"otype\":\"number.add\",\"path\":\"x\",\"value\":1}}\n");
    (0..count).map(line).collect()
}

#[tokio::test]
async fn lines_become_commits_in_order_whatever_happens_to_the_connection() {
    let count = 20_000;
    for requests_per_connection in [None, Some(700)] {
        let script = Script { requests_per_connection };
        let (printed, ended, done) = run_with_input(script, &["edit", "-"], adds(count)).await;
        assert_eq!(ended, Ok(()));
        assert_eq!((printed.lines().count(), done.commits.len()), (count, count));
        assert!(done.commits.is_sorted());
        let numbers: Vec<u64> = printed.lines().map(|id| id.parse::<Dot>().unwrap().seq).collect();
        assert!(numbers.is_sorted());
    }
}

#[tokio::test]
async fn a_refused_line_is_left_out_and_one_that_is_no_edit_ends_the_reading() {
    let remove = "{\"key\":\"a\",\"otype\":\"node.remove\"}\n";
    let input = adds(1) + "\n" + remove + &adds(1);
    let (printed, ended, done) = run_with_input(Script::default(), &["edit", "-"], input).await;
    assert_eq!(ended.unwrap_err().exit, Exit::Refused);
    assert_eq!((printed.lines().count(), done.commits.len()), (2, 2));
    let input = adds(2) + "nonsense\n" + &adds(2);
    let (printed, ended, done) = run_with_input(Script::default(), &["edit", "-", "--json"], input).await;
    assert_eq!(ended.unwrap_err().exit, Exit::Usage);
    assert_eq!((printed.lines().count(), done.commits.len()), (2, 2));
}

#[tokio::test]
async fn an_import_survives_broken_connections_in_order_and_without_repetition() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("scene.json");
    let count = 5_000;
    let children: Vec<String> = (0..count).map(|n| format!("\"n{n:05}\"")).collect();
    let nodes: Vec<String> = (0..count).map(|n| format!("\"n{n:05}\":{{\"tag\":\"T\"}}")).collect();
    let graph = format!(
        "{{\"rootKey\":\"r\",\"nodes\":{{\"r\":{{\"children\":[{}]}},{}}}}}",
        children.join(","),
        nodes.join(",")
    );
    std::fs::write(&file, graph).unwrap();
    let script = Script { requests_per_connection: Some(4) };
    let (_, ended, done) = run(script, &["import", file.to_str().unwrap()]).await;
    assert_eq!(ended, Ok(()));
    assert!(done.connections > 2);
    let keys: Vec<&str> = done
        .commits
        .iter()
        .flat_map(|commit| commit.split(" + "))
        .map(|edit| edit.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(keys.len(), count);
    assert!(keys.is_sorted());
}

#[tokio::test]
async fn a_scene_comes_as_a_tree_as_objects_and_as_a_graph() {
    check(&["tree"], "scene Mesh\n└── a Mesh\n", Exit::Ok).await;
    check(&["tree", "--props"], "scene Mesh\n└── a Mesh\n        p = [5,5,0]\n", Exit::Ok).await;
    let (printed, ..) = run(Script::default(), &["tree", "--json"]).await;
    assert_eq!(printed.lines().count(), 2);
    assert!(printed.lines().all(|line| line.starts_with("{\"schema\":\"rtc.node/1\",\"key\":")));
    let (printed, ..) = run(Script::default(), &["export"]).await;
    let graph: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(graph["rootKey"], "scene");
    assert_eq!(graph["nodes"]["a"]["p"], serde_json::json!([5, 5, 0]));
}

#[tokio::test]
async fn what_was_missed_is_told_as_an_event() {
    let expected =
        "{\"schema\":\"rtc.watching/1\"}\n{\"schema\":\"rtc.event/1\",\"lagged\":{\"dropped\":3}}\n";
    check(&["watch", "--json"], expected, Exit::Ok).await;
}

#[tokio::test]
async fn without_a_daemon_and_autostart_nothing_is_started() {
    let home = TempDir::new().unwrap();
    let places = Places::of_home(home.path()).unwrap();
    let cli = args::parse(["rtc", "--no-autostart", "status"].map(OsString::from)).unwrap();
    let out = Output::new(Box::new(Printed::default()), false, false);
    let launcher = Launcher { program: "/nonexistent".into(), args: vec![] };
    let session = Session::new(cli.globals, out, launcher).at(places);
    let failure = command::run(cli.command, session).await.unwrap_err();
    assert_eq!(failure.exit, Exit::NoDaemon);
    assert!(failure.hint.unwrap().contains("rtc start"));
}
