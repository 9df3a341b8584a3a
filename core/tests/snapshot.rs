//! What a snapshot decides by itself, when it needs its history, and what happens to bytes that are none.

use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::op::{Op, OpCode};
use rtc_core::replica::{Replica, SnapshotError, Stretch};
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::value::Value;
use rtc_core::view::MessageView;

const ROOM: RoomId = RoomId([1; 32]);

/// Somebody who edits a room that may be put away in between.
struct Writer {
    replica: Replica,
    author: Author,
    bodies: Vec<Vec<u8>>,
}

impl Writer {
    fn new() -> Self {
        let author = Author::new(&ROOM, Actor::from_name("m"));
        Self { replica: Replica::new(Root::default()), author, bodies: Vec::new() }
    }

    /// A room with two nodes, one below the other, and a removed one.
    fn with_scene() -> Self {
        let mut writer = Self::new();
        writer.edit("node.insert", "a", None, Value::Null);
        writer.edit("node.insert", "gone", None, Value::Null);
        writer.edit("node.remove", "gone", None, Value::Null);
        writer.edit("number.set", "a", Some("x"), number(1.0));
        writer.edit("string.set", "a", Some("title"), "plain".into());
        writer
    }

    fn edit(&mut self, otype: &str, key: &str, path: Option<&str>, value: Value) -> Dot {
        let edit = EditOp {
            otype: otype.into(),
            key: key.into(),
            path: path.map(str::to_owned),
            value: Some(value),
            ..EditOp::default()
        };
        let Self { replica, author, bodies } = self;
        author.commit(&[edit], About::default(), replica, |made| bodies.push(made.body.clone())).unwrap()
    }

    fn snapshot(&self) -> Vec<u8> {
        let history = Stretch::pack(self.author.actor(), 1, &self.bodies).unwrap();
        self.replica.snapshot(&history).unwrap()
    }

    fn put_away(&mut self) {
        self.replica = Replica::open(self.snapshot()).unwrap();
        assert!(self.replica.is_cold());
    }

    /// A message of somebody who has seen the first `seen` ones.
    fn message_of(&self, name: &str, seen: u64, lamport: u64, op: (&str, &str, &str, Value)) -> Message {
        let (otype, key, path, value) = op;
        let head = Head { actor: self.author.actor(), seq: seen, link: [0; 16] };
        Message {
            actor: Actor::from_name(name),
            seq: 1,
            lamport,
            clock: if seen > 0 { vec![head] } else { vec![] },
            time_ms: None,
            request: None,
            note: None,
            ops: vec![Op {
                code: OpCode::named(otype).unwrap(),
                key: key.into(),
                path: Some(path.into()),
                value,
                options: Default::default(),
            }],
        }
    }
}

fn number(number: f64) -> Value {
    Value::number(number).unwrap()
}

#[test]
fn own_edits_of_properties_need_no_history() {
    let mut writer = Writer::with_scene();
    writer.put_away();
    writer.edit("number.set", "a", Some("x"), number(5.0));
    writer.edit("number.add", "a", Some("x"), number(2.0));
    writer.edit("number.multiply", "a", Some("y"), number(3.0));
    writer.edit("number.set", "scene", Some("z"), number(4.0));
    assert_eq!(writer.replica.value("a", "x"), Some(number(7.0)));
    // Its author has seen the addition.
    let last = writer.edit("number.set", "a", Some("x"), number(1.0));
    assert_eq!(writer.replica.value("a", "x"), Some(number(1.0)));
    assert_eq!(writer.replica.ineffective(&last), []);
    assert_eq!(writer.replica.take_changes().len(), 3);
    assert!(writer.replica.is_cold());
    assert!(!writer.replica.is_undone(&last));
    assert!(!writer.replica.is_cold(), "the history says what is undone");
    assert_eq!(writer.replica.value("a", "y"), Some(number(3.0)));
    assert_eq!(writer.replica.take_changes(), []);
}

#[test]
fn messages_of_others_need_no_history_where_the_order_decides() {
    let cases = [
        (5, 6, ("number.set", "a", "x", number(9.0)), true),
        (5, 6, ("number.add", "a", "x", number(9.0)), true),
        // It comes before the last set, so that one stands.
        (1, 2, ("number.set", "a", "x", number(9.0)), true),
        // Whether the last set has seen it, only the history says.
        (1, 2, ("number.add", "a", "x", number(9.0)), false),
        (1, 2, ("number.add", "a", "new", number(9.0)), true),
        // The node was not there.
        (0, 1, ("number.set", "a", "x", number(9.0)), false),
        (5, 6, ("number.set", "gone", "x", number(9.0)), false),
        (5, 6, ("string.concat", "a", "title", "!".into()), false),
        (5, 6, ("number.add", "a", "title", number(9.0)), false),
        (5, 6, ("number.set", "a", "title", number(9.0)), true),
    ];
    for (seen, lamport, op, stays_cold) in cases {
        let mut writer = Writer::with_scene();
        let message = writer.message_of("b", seen, lamport, op.clone());
        writer.put_away();
        assert!(writer.replica.apply(&message) && !writer.replica.apply(&message));
        assert_eq!(writer.replica.is_cold(), stays_cold, "{op:?}");
        let mut never_away = Replica::new(Root::default());
        for body in &writer.bodies {
            never_away.apply_view(&MessageView::read(writer.author.actor(), body).unwrap());
        }
        never_away.apply(&message);
        assert_eq!(writer.replica.image(), never_away.image(), "{op:?}");
    }
}

#[test]
fn a_set_that_has_not_seen_every_step_asks_the_history() {
    for (seen, stays_cold, expected) in [(6, true, 9.0), (4, false, 11.0)] {
        let mut writer = Writer::with_scene();
        writer.edit("number.add", "a", Some("x"), number(2.0));
        let message = writer.message_of("b", seen, 7, ("number.set", "a", "x", number(9.0)));
        writer.put_away();
        writer.replica.apply(&message);
        assert_eq!(writer.replica.is_cold(), stays_cold);
        assert_eq!(writer.replica.value("a", "x"), Some(number(expected)));
    }
}

#[test]
fn a_request_that_came_before_is_known_again() {
    let mut writer = Writer::with_scene();
    let edit = EditOp {
        otype: "number.set".into(),
        key: "a".into(),
        path: Some("x".into()),
        value: Some(number(3.0)),
        ..EditOp::default()
    };
    let about = About { request: Some("once"), ..About::default() };
    let Writer { replica, author, bodies } = &mut writer;
    let dot = author.commit(&[edit], about, replica, |made| bodies.push(made.body.clone())).unwrap();
    writer.put_away();
    let key = dot.actor.key();
    assert_eq!(writer.replica.request(&key, "never"), None);
    assert!(writer.replica.is_cold());
    assert_eq!(writer.replica.request(&key, "once"), Some(dot));
}

#[test]
fn a_replica_that_lacks_messages_has_no_snapshot() {
    let writer = Writer::with_scene();
    let message = writer.message_of("b", 5, 6, ("number.set", "a", "x", number(9.0)));
    let mut replica = Replica::new(Root::default());
    replica.apply(&message);
    assert_eq!(replica.snapshot(&[]), Err(SnapshotError::Gaps));
    assert_eq!(writer.replica.snapshot(&[]), Err(SnapshotError::History));
}

#[test]
fn damaged_snapshots_are_errors() {
    let snapshot = Writer::with_scene().snapshot();
    for cut in 0..snapshot.len() {
        assert!(Replica::open(snapshot[..cut].to_vec()).is_err());
    }
    for bit in 0..snapshot.len() * 8 {
        let mut flipped = snapshot.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 8 { SnapshotError::Version(flipped[0]) } else { SnapshotError::Checksum };
        assert_eq!(Replica::open(flipped).err(), Some(expected), "bit {bit}");
    }
}

#[test]
fn no_bytes_with_a_good_checksum_panic() {
    let mut writer = Writer::with_scene();
    writer.edit("string.set", "a", Some("long"), "long ".repeat(400).as_str().into());
    let snapshot = writer.snapshot();
    let mut random = Random::new(7);
    let mut opened = 0;
    for _ in 0..20_000 {
        let mut content = snapshot[33..].to_vec();
        for _ in 0..=random.below(3) {
            let at = usize::try_from(random.below(content.len() as u64)).unwrap();
            match random.below(3) {
                0 => content[at] = random.bytes::<1>()[0],
                1 => drop(content.remove(at)),
                _ => content.insert(at, random.bytes::<1>()[0]),
            }
        }
        let checksum = blake3::derive_key("rtc 2026 snapshot checksum 1", &content);
        let bytes = [&snapshot[..1], &checksum[..], &content[..]].concat();
        let Ok(mut replica) = Replica::open(bytes) else { continue };
        opened += 1;
        let count = replica.scene().count();
        assert!(count <= replica.nodes_live());
        replica.image();
        replica.apply(&writer.message_of("b", 6, 7, ("number.set", "a", "x", number(9.0))));
        replica.take_changes();
        replica.is_undone(&Dot { actor: writer.author.actor(), seq: 1 });
        assert!(!replica.is_cold());
    }
    assert!(opened > 100, "{opened} of them said something");
}

#[test]
fn long_values_take_little_room_and_are_there_again() {
    let mut writer = Writer::with_scene();
    let before = writer.snapshot().len();
    let text: String = (0..2_000).map(|i| format!("line {i}\n")).collect();
    writer.edit("string.set", "a", Some("title"), text.as_str().into());
    let list = Value::List(vec![number(0.5); 400]);
    writer.edit("array.set", "a", Some("list"), list.clone());
    writer.put_away();
    assert_eq!(writer.replica.value("a", "title"), Some(text.as_str().into()));
    assert_eq!(writer.replica.value("a", "list"), Some(list));
    // Once in the history, and once in the state.
    assert!(writer.snapshot().len() - before < text.len() * 2 / 3);
}

#[test]
fn a_new_room_has_a_snapshot_too() {
    let snapshot = Replica::new(Root::default()).snapshot(&[]).unwrap();
    let replica = Replica::open(snapshot).unwrap();
    assert_eq!(replica.image(), Replica::new(Root::default()).image());
    assert!(replica.is_cold());
}

#[test]
fn messages_are_packed_up_to_the_limits_of_blocks() {
    let actor = Actor::from_name("m");
    let long = vec![0; 60_000];
    let starts = |bodies: &[&[u8]]| -> Vec<u64> {
        Stretch::pack(actor, 7, bodies).unwrap().iter().map(|stretch| stretch.first).collect()
    };
    assert_eq!(starts(&[]), []);
    assert_eq!(starts(&vec![&long[..]; 88]), [7, 94]);
    assert_eq!(starts(&vec![&[][..]; 65_537]), [7, 65_543]);
}

#[test]
fn a_replica_that_is_written_to_for_long_gets_its_history_by_and_by() {
    let mut writer = Writer::with_scene();
    writer.put_away();
    let mut count = writer.replica.count();
    while writer.replica.is_cold() {
        writer.edit("number.add", "a", Some("x"), number(1.0));
        count += 1;
        assert_eq!(writer.replica.count(), count);
    }
    assert_eq!(writer.replica.value("a", "x"), Some(number(1.0 + (count - 5) as f64)));
}
