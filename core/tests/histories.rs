//! Long histories from a fixed seed have state hashes that never change: not from build to build, not from machine to machine, and
//! not when the table grows. Sums, rotations, texts, trees, undos: whatever drifts by one bit shows here.
//!
//! Nothing here may follow the table, a library's random numbers or how clients' edits are compiled: the messages themselves are
//! part of what is fixed. `RTC_GOLDEN=1` prints what belongs into `tests/data/histories.txt`.

use std::fmt::Write;

use rtc_core::clock::{Stamp, VersionVector};
use rtc_core::id::{Actor, Dot, PeerKey, StateHash};
use rtc_core::message::{Head, Message};
use rtc_core::naive;
use rtc_core::op::text::{Anchors, CharId, Side, Span};
use rtc_core::op::{Op, OpCode, Options, TABLE_VERSION};
use rtc_core::place::Place;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::value::Value;

const SEED: u64 = 0x0072_7463;
/// The table whose meaning the hashes are of; messages here use nothing newer.
const HASHED_TABLE_VERSION: u32 = 65;
/// Where hashes are taken, by messages so far.
const MILESTONES: [usize; 4] = [300, 2_000, 8_000, 20_000];
/// So many the plainest code can fold in a moment.
const NAIVE_MESSAGES: usize = MILESTONES[0];
const ACTORS: usize = 6;
const NODES: u64 = 60;
const DOCUMENTS: u64 = 4;

/// Each family's property, so that most ops find something to work on, and its ops. Numbers and counters, lists and sets, maps and
/// dictionaries share theirs.
const FAMILIES: [(&str, &[&str]); 9] = [
    (
        "mass",
        &[
            "number.set",
            "number.add",
            "number.multiply",
            "number.min",
            "number.max",
            "counter.increment",
            "counter.decrement",
        ],
    ),
    ("label", &["string.set", "string.concat"]),
    ("visible", &["boolean.set", "boolean.or", "boolean.and"]),
    (
        "transform.position",
        &["vector3.set", "vector3.add", "vector3.multiply", "vector3.applyEuler", "vector3.applyQuaternion"],
    ),
    ("transform.rotation", &["euler.set", "euler.add"]),
    ("transform.turn", &["quaternion.set", "quaternion.multiply"]),
    ("color", &["color.set", "color.blend"]),
    ("tags", &["array.set", "array.push", "array.union", "array.remove", "set.set", "set.add", "set.remove"]),
    ("meta", &["object.set", "object.merge", "dict.put", "dict.remove"]),
];

/// Somebody who writes.
struct Author {
    actor: Actor,
    clock: VersionVector,
    lamport: u64,
}

/// A history as it grows.
struct History {
    random: Random,
    authors: Vec<Author>,
    messages: Vec<Message>,
    /// Runs of characters: the document, the first one and how many.
    runs: Vec<(u64, CharId, u32)>,
    places: Vec<Place>,
}

fn number(integer: u64) -> Value {
    Value::number(f64::from(u32::try_from(integer).unwrap())).unwrap()
}

impl History {
    fn new(seed: u64) -> Self {
        let author = |i: usize| {
            let key = PeerKey([u8::try_from(i / 2).unwrap() + 1; 32]);
            Author { actor: Actor::new(key, i as u64), clock: VersionVector::default(), lamport: 0 }
        };
        Self {
            random: Random::new(seed),
            authors: (0..ACTORS).map(author).collect(),
            messages: Vec::new(),
            runs: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Adds one message by somebody, who may hear of somebody else's work first.
    fn step(&mut self) {
        let me = self.author();
        if self.random.per_mille(300) {
            let from = self.author();
            let (clock, lamport) = (self.authors[from].clock.clone(), self.authors[from].lamport);
            self.authors[me].clock.join(&clock);
            self.authors[me].lamport = lamport.max(self.authors[me].lamport);
        }
        let Author { actor, clock, lamport } = &mut self.authors[me];
        *lamport += 1;
        let others = clock.iter().filter(|(other, _)| other != actor);
        let mut message = Message {
            actor: *actor,
            seq: clock.get(actor) + 1,
            lamport: *lamport,
            clock: others.map(|(actor, seq)| Head { actor, seq, link: [0; 16] }).collect(),
            time_ms: None,
            request: None,
            note: None,
            ops: Vec::new(),
        };
        clock.raise(message.actor, message.seq);
        if self.random.per_mille(20) {
            message.request = Some(format!("request-{}", self.random.below(40)));
        }
        for index in 0..u32::try_from(1 + self.random.below(3)).unwrap() {
            let stamp = Stamp { lamport: message.lamport, actor: message.actor, seq: message.seq, index };
            let op = self.op(me, stamp);
            message.ops.push(op);
        }
        self.messages.push(message);
    }

    fn author(&mut self) -> usize {
        usize::try_from(self.random.below(ACTORS as u64)).unwrap()
    }

    fn op(&mut self, me: usize, stamp: Stamp) -> Op {
        match self.random.below(100) {
            0..18 => self.node_op(stamp),
            18..40 => self.text_op(me, stamp),
            40..44 => self.meta_op(),
            44..45 => Op { code: OpCode(0x7701), ..op("node.remove", self.node(), None) },
            _ => self.property_op(),
        }
    }

    fn node(&mut self) -> String {
        format!("node-{}", self.random.below(NODES))
    }

    fn node_op(&mut self, stamp: Stamp) -> Op {
        let mut options = Options::new();
        if self.random.per_mille(700) {
            options.insert("parent".to_owned(), self.node().into());
        }
        if self.random.per_mille(400) {
            let mut beside = || match self.places.len() as u64 {
                0 => None,
                len => Some(self.places[usize::try_from(self.random.below(len)).unwrap()].clone()),
            };
            let (low, high) = (beside(), beside());
            if let Ok(place) = Place::between(low.as_ref(), high.as_ref(), stamp) {
                options.insert("place".to_owned(), place.write());
                self.places.push(place);
                self.places.drain(..self.places.len().saturating_sub(64));
            }
        }
        match self.random.below(10) {
            0..4 => {
                options.insert("tag".to_owned(), "Mesh".into());
                let initial = [("mass".to_owned(), self.number()), ("label".to_owned(), self.word())];
                Op { value: Value::Map(initial.into()), options, ..op("node.insert", self.node(), None) }
            }
            // Not the documents: they are to grow long.
            4 => {
                let number = DOCUMENTS + self.random.below(NODES - DOCUMENTS);
                op("node.remove", format!("node-{number}"), None)
            }
            _ => {
                if options.is_empty() {
                    options.insert("parent".to_owned(), "scene".into());
                }
                Op { options, ..op("node.move", self.node(), None) }
            }
        }
    }

    /// Writing into one of few documents, beside characters that the author knows of, most of the time.
    fn text_op(&mut self, me: usize, stamp: Stamp) -> Op {
        let document = self.random.below(DOCUMENTS);
        let own = Dot { actor: stamp.actor, seq: stamp.seq };
        let key = format!("node-{document}");
        let (name, brings, takes) = match self.random.below(1_000) {
            0..3 => ("text.init", true, false),
            3..620 => ("text.insert", true, false),
            620..900 => ("text.delete", false, true),
            _ => ("text.replace", true, true),
        };
        let mut op = op(name, key, Some("body"));
        if name != "text.init" && brings {
            let anchors = Anchors {
                side: match (self.character(me, document), self.random.below(3)) {
                    (Some(id), 0) => Side::Before(id),
                    (id, _) => Side::After(id),
                },
                until: match self.random.below(3) {
                    0 => None,
                    1 => Some(None),
                    _ => Some(self.character(me, document)),
                },
            };
            anchors.write(&mut op.options, own);
        }
        if takes {
            let spans = self.character(me, document).map(|first| {
                let more = u32::try_from(self.random.below(4)).unwrap();
                Span { first, last: CharId { offset: first.offset + more, ..first } }.write(own)
            });
            op.options.insert("spans".to_owned(), Value::List(spans.into_iter().collect()));
        }
        if brings {
            let word = self.word();
            let len = u32::try_from(word.as_text().unwrap().chars().count()).unwrap();
            self.runs.push((document, CharId { dot: own, index: stamp.index, offset: 0 }, len));
            op.value = word;
        }
        op
    }

    /// A character of the document, mostly of the newest ones and mostly one that the author knows of.
    fn character(&mut self, me: usize, document: u64) -> Option<CharId> {
        for _ in 0..8 {
            let newest = (self.runs.len() as u64).min(200);
            if newest == 0 {
                return None;
            }
            let back = usize::try_from(1 + self.random.below(newest)).unwrap();
            let (of, id, len) = self.runs[self.runs.len() - back];
            let offset = u32::try_from(self.random.below(len.into())).unwrap();
            if of == document && self.authors[me].clock.covers(&id.dot) {
                return Some(CharId { offset, ..id });
            }
        }
        None
    }

    fn meta_op(&mut self) -> Op {
        let name = if self.random.per_mille(600) { "meta.undo" } else { "meta.redo" };
        let newest = (self.messages.len() as u64).min(500);
        if newest == 0 {
            return op("node.insert", self.node(), None);
        }
        let back = usize::try_from(1 + self.random.below(newest)).unwrap();
        let target = self.messages[self.messages.len() - back].dot().to_string();
        Op { options: [("target".to_owned(), target.into())].into(), ..op(name, String::new(), None) }
    }

    fn property_op(&mut self) -> Op {
        let (mut path, names) = *self.random.pick(&FAMILIES);
        let name = *self.random.pick(names);
        if self.random.per_mille(20) {
            path = self.random.pick(&FAMILIES).0;
        }
        let value = self.argument(name);
        let mut options = Options::new();
        match name {
            "string.concat" if self.random.per_mille(500) => {
                options.insert("separator".to_owned(), ", ".into());
            }
            "vector3.applyEuler" if self.random.per_mille(500) => {
                options.insert("order".to_owned(), "ZYX".into());
            }
            "array.remove" if self.random.per_mille(300) => {
                options.insert("all".to_owned(), true.into());
            }
            _ => {}
        }
        Op { value, options, ..op(name, self.node(), Some(path)) }
    }

    fn argument(&mut self, name: &str) -> Value {
        let (family, verb) = name.split_once('.').unwrap();
        match (family, verb) {
            _ if self.random.per_mille(10) => Value::List(vec![self.word()]),
            (_, "applyQuaternion") => self.numbers(4),
            ("number", _) => self.number(),
            ("counter", _) => number(self.random.below(5)),
            ("string", _) | ("dict", "remove") => self.word(),
            ("boolean", _) => self.random.per_mille(500).into(),
            ("vector3" | "euler", _) => self.numbers(3),
            ("quaternion", _) => self.numbers(4),
            ("color", _) => format!("#{:06x}", self.random.below(1 << 24)).into(),
            (_, "push" | "remove" | "add") => self.word(),
            ("array" | "set", _) => Value::List((0..self.random.below(4)).map(|_| self.word()).collect()),
            ("dict", _) => {
                Value::Map([("key".to_owned(), self.word()), ("value".to_owned(), self.number())].into())
            }
            ("object", _) => {
                let entry = |_| (self.word().as_text().unwrap().to_owned(), self.number());
                Value::Map((0..2).map(entry).collect())
            }
            _ => panic!("no argument for {name}"),
        }
    }

    /// Sums of these depend on their order.
    fn number(&mut self) -> Value {
        let tenths = f64::from(u32::try_from(self.random.below(2_001)).unwrap()) - 1_000.0;
        Value::number(tenths / *self.random.pick(&[10.0, 7.0, 1_000.0])).unwrap()
    }

    fn numbers(&mut self, len: usize) -> Value {
        Value::List((0..len).map(|_| self.number()).collect())
    }

    fn word(&mut self) -> Value {
        (*self.random.pick(&["a", "be", "sea", "d\u{e9}j\u{e0}", "\u{1f980}", "of ", "and "])).into()
    }
}

fn op(name: &str, key: String, path: Option<&str>) -> Op {
    let code = OpCode::named(name).unwrap_or_else(|| panic!("{name} is in the table"));
    Op { code, key, path: path.map(str::to_owned), value: Value::Null, options: Options::new() }
}

fn hash(replica: &Replica) -> StateHash {
    let scene = replica.image();
    assert_eq!(replica.state_hash(), scene.hash_at(TABLE_VERSION));
    scene.hash_at(HASHED_TABLE_VERSION)
}

/// The hashes at the milestones, of messages that come one by one and in causal order.
fn check(messages: &[Message]) -> String {
    let mut replica = Replica::new(Root::default());
    let mut lines = String::new();
    let mut from = 0;
    for milestone in MILESTONES {
        for message in &messages[from..milestone] {
            replica.apply(message);
        }
        from = milestone;
        writeln!(lines, "{milestone} {}", hash(&replica)).unwrap();
    }
    let ops: usize = messages.iter().map(|message| message.ops.len()).sum();
    let void = replica.ineffective_ops();
    assert!(void * 4 < ops, "{void} of {ops} ops have no effect: the history shows little");
    lines
}

#[test]
fn long_histories_keep_their_state_hashes_in_every_build() {
    let mut history = History::new(SEED);
    while history.messages.len() < MILESTONES[MILESTONES.len() - 1] {
        history.step();
    }
    let found = check(&history.messages);
    if std::env::var_os("RTC_GOLDEN").is_some() {
        print!("{found}");
        return;
    }
    assert_eq!(found, include_str!("../../tests/data/histories.txt"));

    let first = &history.messages[..NAIVE_MESSAGES];
    let naive = naive::fold(&Root::default(), first).scene.hash_at(HASHED_TABLE_VERSION);
    assert_eq!(Some(format!("{NAIVE_MESSAGES} {naive}").as_str()), found.lines().next());

    // One actor's messages and half of everybody's come late, the newest batch first.
    let whole = &history.messages[..MILESTONES[2]];
    let (late, early): (Vec<&Message>, Vec<&Message>) =
        whole.iter().partition(|message| message.seq % 2 == 0 || message.actor.epoch() == 5);
    let mut replica = Replica::new(Root::default());
    replica.apply_all(early);
    for batch in late.rchunks(1_000) {
        replica.apply_all(batch.iter().copied());
    }
    assert_eq!(Some(format!("{} {}", whole.len(), hash(&replica)).as_str()), found.lines().nth(2));
}
