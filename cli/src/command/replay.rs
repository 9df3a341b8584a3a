//! `rtc replay`: folds messages of vuer.rtc from JSON files. Local: it needs no daemon, and changes nothing.

use std::path::PathBuf;

use rtc_core::bundle::Bundle;
use rtc_core::dialect::{History, Vector, describe};
use rtc_core::replica::Replica;
use rtc_core::value::Value;
use serde::Serialize;

use crate::draw::{RED, RESET, plain};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::session::Session;

/// Delivery orders a check tries besides that of the file and the reverse.
const SHUFFLES: u64 = 20;

/// What `rtc replay` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  rtc replay history.json
  rtc replay --check vectors/*.json

A file holds a list of messages, or a list of vectors: objects with `messages` and the `expected`
scene. Both dialects are understood: that of the package vuer (`otype`) and of vuer-rtc (`ot`).
Or it is what `rtc verify --peers` kept, which --check folds and compares with what each peer saw.

Without --check, prints each scene as a line of JSON. With --check, folds each vector's messages in
the order of the file, reversed, and in 20 shuffles with duplicates; prints what differs, and at the
end `N passed, N failed, N skipped`. Vectors with operations that this version does not know are
skipped, and their files are named.")]
pub struct Args {
    /// Files with messages or vectors
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Compare with the scenes the vectors expect
    #[arg(long)]
    check: bool,
}

/// What is in a file, in its order.
enum Content {
    /// One history.
    Messages(Vec<Value>),
    /// Histories with the scenes they must give.
    Vectors(Vec<Value>),
    /// What was kept where peers saw different scenes.
    Bundle(Box<Bundle>),
    /// Something without messages, of which this version can check nothing.
    Other(usize),
}

/// What `--json` prints of a scene.
#[derive(Serialize)]
struct Replayed<'a> {
    file: &'a str,
    name: Option<&'a str>,
    scene: Value,
}

/// What `--json` prints of a check.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// What `--json` prints of a vector that fails.
#[derive(Serialize)]
struct Failed<'a> {
    file: &'a str,
    name: &'a str,
    reason: &'a str,
}

/// What `--json` prints of vectors that cannot be checked.
#[derive(Serialize)]
struct Skipped<'a> {
    file: &'a str,
    count: usize,
    reason: &'a str,
}

/// Folds or checks every file.
pub fn run(args: Args, session: &mut Session) -> Result<(), Failure> {
    let mut tally = Tally::default();
    for path in &args.files {
        let file = path.display().to_string();
        let content = read(path, &file)?;
        if args.check {
            check(&file, content, &mut tally, session)?;
        } else {
            print(&file, content, session)?;
        }
    }
    if !args.check {
        return Ok(());
    }
    if session.out.json {
        session.out.object("rtc.replay-check/1", &tally)?;
    } else {
        let Tally { passed, failed, skipped } = tally;
        session.out.line(format!("{passed} passed, {failed} failed, {skipped} skipped"))?;
    }
    if tally.failed > 0 { Err(Failure::silent(Exit::Refused)) } else { Ok(()) }
}

fn read(path: &std::path::Path, file: &str) -> Result<Content, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(file, &error))?;
    if let Ok(bundle) = serde_json::from_str(&text) {
        return Ok(Content::Bundle(Box::new(bundle)));
    }
    let content = serde_json::from_str(&text).map_err(|error| bad_file(file, &error.to_string()))?;
    let Value::List(items) = content else {
        return Err(bad_file(file, "expected a list of messages or of vectors"));
    };
    let has =
        |name: &str| items.first().and_then(Value::as_map).is_some_and(|first| first.contains_key(name));
    if has("messages") {
        Ok(Content::Vectors(items))
    } else if has("ops") {
        Ok(Content::Messages(items))
    } else if items.iter().all(|item| item.as_map().is_some()) {
        Ok(Content::Other(items.len()))
    } else {
        Err(bad_file(file, "expected a list of messages or of vectors"))
    }
}

fn bad_file(file: &str, error: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{file}: {error}"))
        .with_hint("`rtc replay --help` tells what a file holds")
}

fn print(file: &str, content: Content, session: &mut Session) -> Result<(), Failure> {
    let histories = match content {
        Content::Messages(messages) => vec![(None, messages)],
        Content::Vectors(vectors) => vectors
            .iter()
            .map(parts)
            .collect::<Option<_>>()
            .ok_or_else(|| bad_file(file, "a vector without a list of messages"))?,
        Content::Bundle(bundle) => {
            let replica = bundle.fold().map_err(|error| bad_file(file, &error.to_string()))?;
            return print_scene(file, None, describe(&replica.image()), session);
        }
        Content::Other(_) => {
            session.say(format!("{}: holds no messages, skipped", plain(file)));
            return Ok(());
        }
    };
    for (name, messages) in histories {
        let history = History::read(&messages).map_err(|error| bad_file(file, &error.to_string()))?;
        print_scene(file, name.as_deref(), fold(&history), session)?;
    }
    Ok(())
}

fn print_scene(file: &str, name: Option<&str>, scene: Value, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(session.out.object("rtc.replayed/1", &Replayed { file, name, scene })?);
    }
    Ok(session.out.line(crate::draw::json(&scene))?)
}

/// Compares what a bundle's messages show here with what each peer saw of them.
fn check_bundle(
    file: &str,
    bundle: &Bundle,
    tally: &mut Tally,
    session: &mut Session,
) -> Result<(), Failure> {
    let found = bundle.fold().map_err(|error| bad_file(file, &error.to_string()))?.state_hash();
    for (peer, seen) in &bundle.seen {
        if *seen == found {
            tally.passed += 1;
            continue;
        }
        tally.failed += 1;
        let reason = format!("it saw {seen}, the messages show {found}");
        print_failed(&Failed { file, name: &peer.to_string(), reason: &reason }, session)?;
    }
    Ok(())
}

/// A vector's name and messages.
fn parts(vector: &Value) -> Option<(Option<String>, Vec<Value>)> {
    let vector = vector.as_map()?;
    let name = vector.get("name").and_then(Value::as_text).map(str::to_owned);
    Some((name, vector.get("messages")?.as_list()?.to_vec()))
}

fn fold(history: &History) -> Value {
    let mut replica = Replica::new(history.root.clone());
    replica.apply_all(&history.messages);
    describe(&replica.image())
}

fn check(file: &str, content: Content, tally: &mut Tally, session: &mut Session) -> Result<(), Failure> {
    let vectors = match content {
        Content::Vectors(vectors) => vectors,
        Content::Messages(_) => {
            return Err(bad_file(file, "messages without an expected scene cannot be checked"));
        }
        Content::Bundle(bundle) => return check_bundle(file, &bundle, tally, session),
        Content::Other(count) => {
            tally.skipped += count;
            return print_skipped(&Skipped { file, count, reason: "they hold no messages" }, session);
        }
    };
    let mut skipped: Vec<String> = Vec::new();
    for value in &vectors {
        let (name, verdict) = match Vector::read(value) {
            Ok(vector) => match vector.unsupported.clone() {
                Some(operation) => {
                    tally.skipped += 1;
                    skipped.push(operation);
                    continue;
                }
                None => (vector.name.clone(), vector.check(SHUFFLES).map_err(|error| error.to_string())),
            },
            Err(error) => ("a vector".to_owned(), Err(error.to_string())),
        };
        match verdict {
            Ok(()) => tally.passed += 1,
            Err(reason) => {
                tally.failed += 1;
                print_failed(&Failed { file, name: &name, reason: &reason }, session)?;
            }
        }
    }
    if skipped.is_empty() {
        return Ok(());
    }
    let count = skipped.len();
    skipped.sort();
    skipped.dedup();
    print_skipped(&Skipped { file, count, reason: &skipped.join(", ") }, session)
}

fn print_skipped(skipped: &Skipped<'_>, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(session.out.object("rtc.replay-skipped/1", skipped)?);
    }
    let Skipped { file, count, reason } = skipped;
    session.say(format!("{}: {count} skipped: {}", plain(file), plain(reason)));
    Ok(())
}

fn print_failed(failed: &Failed<'_>, session: &mut Session) -> Result<(), Failure> {
    if session.out.json {
        return Ok(session.out.object("rtc.replay-failure/1", failed)?);
    }
    let Failed { file, name, reason } = failed;
    Ok(session.out.line(format!("{RED}{}{RESET} ({}): {}", plain(name), plain(file), plain(reason)))?)
}
