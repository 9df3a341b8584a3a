//! Random histories: several actors who edit, hear of each other now and then, undo, redo and repeat requests.
//!
//! A recipe is plain numbers, so that a failing one shrinks to few and small ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::clock::{Stamp, VersionVector};
use rtc_core::id::{Actor, Dot, PeerKey};
use rtc_core::message::{Head, Message, Origin};
use rtc_core::op::text::{CharId, Span};
use rtc_core::op::{Kind, Op, OpCode, Row, Rule, Shape, table};
use rtc_core::place::Place;
use rtc_core::scene::Root;
use rtc_core::value::Value;

/// Two keys of two epochs each, and one of one: requests are repeated across epochs of a key.
const ACTORS: [(u8, u64); 5] = [(1, 1), (1, 2), (2, 1), (2, 9), (3, 5)];
/// The founder of a room with members, and others; one of them of two epochs.
const MEMBERS: [(u8, u64); ACTORS.len()] = [(1, 1), (2, 1), (2, 9), (3, 5), (4, 2)];
const KEYS: [&str; 6] = ["a", "b", "c", "d", "scene", "e"];
const PATHS: [&str; 2] = ["p", "transform.q"];
/// Sums of these depend on their order; some overflow.
const NUMBERS: [f64; 8] = [1.0, 0.1, -2.0, 1e16, -1e16, 0.0, 1e300, -0.5];

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mix {
    /// Ops of every row, on any node and path.
    Everything,
    /// Mostly property ops of these families on one property, with that many different arguments, so that they meet.
    Kindred(&'static [&'static str], u8),
    /// Mostly numbers that are set and changed, on two properties of two nodes: a snapshot decides most of it.
    Values,
    /// Ops on the room and its members, edits of one property, and undos.
    Members,
    /// Inserts, removals, moves and undos of few nodes: rings, dead parents, lives on top of lives.
    Tree,
}

/// Families that work on values of one type, and the nodes by themselves.
const KINDRED: [Mix; 8] = [
    Mix::Kindred(&["number", "counter"], 255),
    Mix::Kindred(&["array", "set"], 5),
    Mix::Kindred(&["set"], 2),
    Mix::Kindred(&["object", "dict"], 12),
    Mix::Kindred(&["text", "string"], 255),
    Mix::Kindred(&["list"], 24),
    Mix::Kindred(&["list", "array", "set", "text"], 24),
    Mix::Tree,
];

/// Mixes in which most ops have an effect on what others did.
pub(crate) fn kindred() -> impl Strategy<Value = Mix> {
    prop::sample::select(&KINDRED[..])
}

/// The key of that number.
pub(crate) fn key(number: u8) -> PeerKey {
    static KEYS: LazyLock<[PeerKey; 5]> =
        LazyLock::new(|| [0, 1, 2, 3, 4].map(|number| Ed25519::from_seed(&[number; 32]).public()));
    KEYS[usize::from(number)]
}

/// A room with members, which [`MEMBERS`] founds.
pub(crate) fn with_members() -> Root {
    Root { founder: Some(key(MEMBERS[0].0)), ..Root::default() }
}

/// One message to be.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    actor: u8,
    /// Whom the actor hears before it writes.
    hears: Option<u8>,
    request: Option<u8>,
    /// Which message it is, issued again.
    again: Option<Pick>,
    ops: Vec<Pick>,
}

/// One op to be.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    pub(crate) row: u8,
    pub(crate) key: u8,
    pub(crate) path: u8,
    pub(crate) argument: u8,
    pub(crate) options: u16,
    pub(crate) target: u16,
}

/// Ops to be.
pub(crate) fn picks() -> impl Strategy<Value = Pick> {
    let pick = (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>());
    pick.prop_map(|(row, key, path, argument, options, target)| Pick {
        row,
        key,
        path,
        argument,
        options,
        target,
    })
}

/// Histories of up to `messages` messages.
pub(crate) fn steps(messages: usize) -> impl Strategy<Value = Vec<Step>> {
    let pick = picks();
    let hears = prop_oneof![2 => Just(None), 1 => any::<u8>().prop_map(Some)];
    let request = prop_oneof![9 => Just(None), 1 => any::<u8>().prop_map(Some)];
    let ops = prop::collection::vec(pick, 1..4);
    let again = prop_oneof![9 => Just(None), 1 => picks().prop_map(Some)];
    let step = (any::<u8>(), hears, request, again, ops);
    let step =
        step.prop_map(|(actor, hears, request, again, ops)| Step { actor, hears, request, again, ops });
    prop::collection::vec(step, 1..messages)
}

/// The messages of a recipe in an order in which each comes after its causal past, with whole clocks.
pub(crate) fn messages(steps: &[Step]) -> Vec<Message> {
    messages_of(Mix::Everything, steps)
}

/// The messages of a recipe that are made of that.
pub(crate) fn messages_of(mix: Mix, steps: &[Step]) -> Vec<Message> {
    messages_after(mix, steps, &[])
}

/// The messages of a recipe whose authors all have seen the earlier ones, and these.
pub(crate) fn messages_after(mix: Mix, steps: &[Step], earlier: &[Message]) -> Vec<Message> {
    let mut history = History::after(earlier);
    if matches!(mix, Mix::Members) {
        history.cast = MEMBERS;
    }
    for step in steps {
        let me = usize::from(step.actor) % ACTORS.len();
        if let Some(other) = step.hears {
            let from = usize::from(other) % ACTORS.len();
            // A clock need not be closed: admission asks for less.
            if other >= 192 { history.hear_only(me, from) } else { history.hear(me, from) }
        }
        let request = step.request.map(|id| format!("r{}", id % 3));
        let mut picks = step.ops.iter();
        let mut again = step.again.as_ref();
        history.write(me, request, step.ops.len() + usize::from(again.is_some()), |stamp, earlier| {
            if let Some(again) = again.take() {
                return origin(again, earlier);
            }
            let pick = picks.next().expect("one for each op");
            match mix {
                Mix::Everything => op(pick, row(pick), stamp, earlier),
                Mix::Members => member_op(pick, stamp, earlier),
                Mix::Tree => {
                    let rows: Vec<&Row> = table().filter(|row| !row.kind.is_property()).collect();
                    op(&Pick { key: pick.key % 4, ..pick.clone() }, choose(&rows, pick.row), stamp, earlier)
                }
                Mix::Values => {
                    let rows: Vec<&Row> = table().filter(|row| row.name.starts_with("number.")).collect();
                    let insert = table().find(|row| matches!(row.kind, Kind::Insert)).unwrap();
                    let row = if pick.row < 240 { choose(&rows, pick.row) } else { insert };
                    let key = if pick.key.is_multiple_of(2) { 0 } else { 4 };
                    op(&Pick { key, argument: pick.argument % 6, ..pick.clone() }, row, stamp, earlier)
                }
                Mix::Kindred(families, arguments) => {
                    let pick = Pick { argument: pick.argument % arguments, ..pick.clone() };
                    kindred_op(&pick, families, stamp, earlier)
                }
            }
        });
    }
    history.messages
}

/// A history as it grows, and what each of its actors has heard of.
pub(crate) struct History {
    /// In an order in which each comes after its causal past, with whole clocks.
    pub(crate) messages: Vec<Message>,
    pub(crate) cast: [(u8, u64); ACTORS.len()],
    pub(crate) clocks: [VersionVector; ACTORS.len()],
    lamports: BTreeMap<Dot, u64>,
}

impl History {
    /// Nobody has written yet.
    pub(crate) fn new() -> Self {
        Self::after(&[])
    }

    /// Everybody has heard of everything so far.
    pub(crate) fn after(earlier: &[Message]) -> Self {
        let seen: VersionVector = earlier.iter().map(|message| (message.actor, message.seq)).collect();
        Self {
            messages: earlier.to_vec(),
            cast: ACTORS,
            clocks: std::array::from_fn(|_| seen.clone()),
            lamports: earlier.iter().map(|message| (message.dot(), message.lamport)).collect(),
        }
    }

    fn actor(&self, number: usize) -> Actor {
        let (name, epoch) = self.cast[number];
        Actor::new(key(name), epoch)
    }

    /// `me` hears of everything `from` knows.
    pub(crate) fn hear(&mut self, me: usize, from: usize) {
        let heard = self.clocks[from].clone();
        self.clocks[me].join(&heard);
    }

    /// `me` hears of what `from` wrote, and of nothing else.
    pub(crate) fn hear_only(&mut self, me: usize, from: usize) {
        let from_actor = self.actor(from);
        let heard = self.clocks[from].get(&from_actor);
        self.clocks[me].raise(from_actor, heard);
    }

    /// `me` writes a message of so many ops; each is made knowing its stamp and all messages before.
    pub(crate) fn write(
        &mut self,
        me: usize,
        request: Option<String>,
        ops: usize,
        mut make: impl FnMut(Stamp, &[Message]) -> Op,
    ) -> Dot {
        let (actor, clock) = (self.actor(me), &mut self.clocks[me]);
        let past = clock.iter().map(|(actor, seq)| self.lamports[&Dot { actor, seq }]).max().unwrap_or(0);
        let (seq, lamport) = (clock.get(&actor) + 1, past + 1);
        let others = clock.iter().filter(|(other, _)| *other != actor);
        let stamp = |index| Stamp { lamport, actor, seq, index };
        let message = Message {
            actor,
            seq,
            lamport,
            clock: others.map(|(actor, seq)| Head { actor, seq, link: [0; 16] }).collect(),
            time_ms: None,
            request,
            note: None,
            ops: (0..).take(ops).map(|index| make(stamp(index), &self.messages)).collect(),
        };
        clock.raise(actor, seq);
        self.lamports.insert(message.dot(), lamport);
        self.messages.push(message);
        Dot { actor, seq }
    }
}

/// The same messages with only the clock entries that advanced since their author's message before.
pub(crate) fn with_advances(messages: &[Message]) -> Vec<Message> {
    let mut known: BTreeMap<Actor, VersionVector> = BTreeMap::new();
    let mut advanced = messages.to_vec();
    for message in &mut advanced {
        let known = known.entry(message.actor).or_default();
        message.clock.retain(|head| known.get(&head.actor) < head.seq);
        for head in &message.clock {
            known.raise(head.actor, head.seq);
        }
    }
    advanced
}

fn choose<T: Copy>(list: &[T], number: impl Into<usize>) -> T {
    list[number.into() % list.len()]
}

/// A row of the whole table.
fn row(pick: &Pick) -> &'static Row {
    let rows: Vec<&Row> = table().collect();
    let nodes: Vec<&Row> = rows.iter().copied().filter(|row| !row.kind.is_property()).collect();
    let inserts: Vec<&Row> = nodes.iter().copied().filter(|row| matches!(row.kind, Kind::Insert)).collect();
    // Half of all ops are about nodes and messages, and many of these inserts, so that there are nodes.
    match pick.row {
        0..128 => choose(&rows, pick.row),
        128..208 => choose(&nodes, pick.row),
        208..=255 => choose(&inserts, pick.row),
    }
}

/// An op on the one property of the one node, or an insert of it, or an undo.
fn kindred_op(pick: &Pick, families: &[&str], stamp: Stamp, earlier: &[Message]) -> Op {
    let is_kin = |row: &&Row| row.name.split_once('.').is_some_and(|(family, _)| families.contains(&family));
    let kin: Vec<&Row> = table().filter(is_kin).collect();
    let metas: Vec<&Row> = table().filter(|row| row.kind.is_meta()).collect();
    let inserts: Vec<&Row> = table().filter(|row| matches!(row.kind, Kind::Insert)).collect();
    let row = match pick.row {
        0..220 => choose(&kin, pick.row),
        220..236 => choose(&metas, pick.row),
        236..=255 => choose(&inserts, pick.row),
    };
    let mut op = op(&Pick { key: 0, path: 0, ..pick.clone() }, row, stamp, earlier);
    if matches!(row.kind, Kind::Insert) {
        let reset = kin.iter().find(|row| matches!(row.kind, Kind::Reset(_))).unwrap();
        let initial = argument(reset.argument, u16::from(pick.argument), false);
        let initial =
            (pick.path.is_multiple_of(3)).then(|| Value::Map([(PATHS[0].to_owned(), initial)].into()));
        op.value = initial.unwrap_or_default();
    }
    op
}

/// An op on the room, an edit of the one property of the one node, an insert of it, or an undo.
fn member_op(pick: &Pick, stamp: Stamp, earlier: &[Message]) -> Op {
    let named = |name| table().find(|row| row.name == name).unwrap();
    let row = match pick.row {
        0..65 => named("room.grant"),
        65..100 => named("room.remove"),
        100..120 => named("room.rotate"),
        120..130 => named("room.rename"),
        130..140 => named("room.secret"),
        140..205 => named("number.add"),
        205..225 => named("meta.undo"),
        225..235 => named("meta.redo"),
        235..=255 => named("node.insert"),
    };
    let mut op =
        op(&Pick { key: 0, path: 0, argument: pick.argument % 6, ..pick.clone() }, row, stamp, earlier);
    if matches!(row.kind, Kind::Rule(Rule::Rotate)) && !pick.options.is_multiple_of(16) {
        let [old, next] = [pick.argument, pick.path].map(|number| choose(&MEMBERS, number).0);
        let author = stamp.actor.key();
        let author = (1..5).find(|number| key(*number) == author).expect("it is one of the cast");
        let next = if pick.target.is_multiple_of(2) { author } else { next };
        return step(old, next, author);
    }
    if matches!(row.kind, Kind::Rule(Rule::Grant | Rule::Remove)) {
        op.value = key(choose(&MEMBERS, pick.argument).0).to_string().into();
    }
    if matches!(row.kind, Kind::Rule(Rule::Grant)) {
        let role = ["owner", "owner", "owner", "editor", "editor", "viewer"][usize::from(pick.target) % 6];
        op.options.insert("role".to_owned(), role.into());
    }
    op
}

/// What an author says of one key of his that gave way to a later one, which is the author's or gave way to that.
pub(crate) fn step(old: u8, next: u8, author: u8) -> Op {
    let keys = Ed25519::from_seed(&[author; 32]).after(&[[old; 32], [next; 32]]);
    let give_way = |old, to| keys.give_way(&key(old), &key(to)).expect("both are its own");
    if next == author {
        give_way(old, author).op()
    } else {
        give_way(old, next).op_after(&give_way(next, author))
    }
}

/// An op of that row.
pub(crate) fn op(pick: &Pick, row: &Row, stamp: Stamp, earlier: &[Message]) -> Op {
    let mut options = BTreeMap::new();
    for (bit, option) in row.options.iter().enumerate() {
        let is_needed =
            matches!(option.shape, Shape::Message) || option.name == "item" && !pick.row.is_multiple_of(8);
        if pick.options >> bit & 1 == 1 || is_needed {
            let value = match option.shape {
                Shape::Place => place(pick, stamp),
                Shape::Message => target(pick, earlier),
                Shape::CharacterOrEnd if pick.argument.is_multiple_of(3) => Value::Null,
                Shape::Character | Shape::CharacterOrEnd => character(pick, bit, stamp, earlier),
                Shape::Spans => spans(pick, stamp, earlier),
                shape => argument(shape, pick.options >> 6, pick.options % 32 == 7),
            };
            options.insert(option.name.to_owned(), value);
        }
    }
    if pick.options % 61 == 5 {
        options.insert("future".to_owned(), Value::Null);
    }
    let is_meta = row.kind.is_meta();
    Op {
        code: if pick.options % 97 == 3 { OpCode(0x7701) } else { row.code },
        key: if is_meta { String::new() } else { choose(&KEYS, pick.key).to_owned() },
        path: row.kind.is_property().then(|| choose(&PATHS, pick.path).to_owned()),
        value: argument(row.argument, u16::from(pick.argument), pick.argument % 16 == 9),
        options,
    }
}

/// Places that fall between, on and beside each other.
fn place(pick: &Pick, stamp: Stamp) -> Value {
    let early = Place::at(Stamp { lamport: u64::from(pick.target % 4), ..stamp });
    let late = Place::at(Stamp { lamport: 4 + u64::from(pick.target % 3), ..stamp });
    let place = match pick.target % 5 {
        0 => Place::between(None, Some(&early), stamp),
        1 => Place::between(Some(&early), None, stamp),
        2 => Place::between(Some(&early), Some(&late), stamp),
        3 => Ok(Place::at(stamp)),
        _ => return Value::List(vec!["00".into()]),
    };
    place.unwrap().write()
}

/// Whether an op may have brought characters or elements, or a position of one.
fn brings(op: &Op) -> bool {
    op.value.as_text().is_some() || op.value.as_list().is_some() || op.options.contains_key("item")
}

/// A character of an op that may have brought some, on any property.
fn char_id(number: usize, stamp: Stamp, earlier: &[Message]) -> CharId {
    let own = Dot { actor: stamp.actor, seq: stamp.seq };
    let offset = u32::try_from(number % 2).unwrap();
    let texts = earlier.iter().flat_map(|message| (0..).zip(&message.ops).map(|op| (message.dot(), op)));
    let texts: Vec<(Dot, u32)> = texts
        .filter(|(_, (_, op))| op.path.is_some() && brings(op))
        .map(|(dot, (index, _))| (dot, index))
        .collect();
    let origin = |dot: &Dot| earlier.iter().find(|message| message.dot() == *dot).and_then(Message::origin);
    match texts.get(number / 2 % (texts.len() + 1)) {
        // What is issued again is mostly named by what it was.
        Some((dot, index))
            if let Some(Origin { dot, .. }) = origin(dot).filter(|_| !number.is_multiple_of(8)) =>
        {
            CharId { dot, index: index.saturating_sub(1), offset }
        }
        Some(&(dot, index)) => CharId { dot, index, offset },
        None => CharId { dot: own, index: stamp.index.saturating_sub(1), offset },
    }
}

fn character(pick: &Pick, bit: usize, stamp: Stamp, earlier: &[Message]) -> Value {
    let own = Dot { actor: stamp.actor, seq: stamp.seq };
    char_id(usize::from(pick.target) + bit * usize::from(pick.argument), stamp, earlier).write(own)
}

fn spans(pick: &Pick, stamp: Stamp, earlier: &[Message]) -> Value {
    let own = Dot { actor: stamp.actor, seq: stamp.seq };
    let id = |salt| char_id(usize::from(pick.target) + salt, stamp, earlier);
    let one = |id| Span { first: id, last: id };
    let (a, b) = (id(0), id(usize::from(pick.argument)));
    let long = Span { first: a.min(b), last: a.max(b) };
    let spans = match (a.dot.actor == b.dot.actor, pick.target % 3) {
        (true, 0 | 1) => vec![long],
        _ => vec![one(a), one(b)],
    };
    Value::List(spans.iter().map(|span| span.write(own)).collect())
}

/// What says that a message is another, issued again: one that is there, or of that nobody has heard.
fn origin(pick: &Pick, earlier: &[Message]) -> Op {
    let (name, epoch) = choose(&ACTORS, pick.argument);
    let unheard = Dot { actor: Actor::new(key(name), epoch), seq: 90 + u64::from(pick.target % 2) };
    let held = earlier.get(usize::from(pick.target) % (earlier.len() + 1)).map(Message::dot);
    let dot = held.filter(|_| pick.row.is_multiple_of(4)).unwrap_or(unheard);
    Origin { dot, lamport: u64::from(pick.key % 8) }.op()
}

/// Mostly a message made before; sometimes one made later, or never.
fn target(pick: &Pick, earlier: &[Message]) -> Value {
    let number = usize::from(pick.target);
    let (name, epoch) = choose(&ACTORS, pick.argument);
    match earlier.get(number % (earlier.len() + 1)) {
        Some(message) if let Some(Origin { dot, .. }) = message.origin().filter(|_| number % 8 > 2) => {
            dot.to_string().into()
        }
        Some(message) => message.dot().to_string().into(),
        None => Dot { actor: Actor::new(key(name), epoch), seq: 1 + number as u64 % 9 }.to_string().into(),
    }
}

/// Something of that shape; or, if it is to be bad, most likely not.
fn argument(shape: Shape, seed: u16, bad: bool) -> Value {
    let seed = usize::from(seed);
    let number = |i: usize| Value::number(NUMBERS[(seed + i * 3) % NUMBERS.len()]).unwrap();
    if bad {
        return [Value::Null, true.into(), "odd".into(), number(0), Value::List(vec![number(1)])][seed % 5]
            .clone();
    }
    let elements = ["x".into(), "y".into(), true.into(), number(0), Value::List(vec!["x".into()])];
    let element = |i: usize| elements[(seed + i) % elements.len()].clone();
    let map = || PATHS.iter().enumerate().map(|(i, path)| ((*path).to_owned(), element(i))).collect();
    match shape {
        Shape::Nothing => Value::Null,
        Shape::Any | Shape::Element => element(0),
        Shape::Bool => (seed % 2 == 0).into(),
        Shape::Number => number(0),
        Shape::Amount if seed % 3 == 0 => Value::Null,
        Shape::Amount => Value::number(NUMBERS[seed % NUMBERS.len()].abs()).unwrap(),
        Shape::Text | Shape::Name => choose(&KEYS, seed).into(),
        Shape::Peer => key(choose(&ACTORS, seed).0).to_string().into(),
        Shape::Entry => Value::Map(
            [("key".to_owned(), choose(&KEYS, seed).into()), ("value".to_owned(), element(seed / 7))].into(),
        ),
        Shape::Numbers(len) => Value::List((0..len).map(number).collect()),
        Shape::Color => ["#00ff80", "#FFFFFF", "#010203"][seed % 3].into(),
        Shape::List => Value::List((0..seed % 4).map(element).collect()),
        Shape::Map => Value::Map(map()),
        Shape::Properties if seed % 3 == 0 => Value::Null,
        // A scalar, so that the steps of most families find something to work on.
        Shape::Properties => {
            Value::Map(PATHS[..1 + seed % 2].iter().map(|path| ((*path).to_owned(), number(0))).collect())
        }
        Shape::Word(words) => words[seed % words.len()].into(),
        Shape::Message | Shape::Place | Shape::Character | Shape::CharacterOrEnd | Shape::Spans => {
            Value::Null
        }
    }
}
