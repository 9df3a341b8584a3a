//! A member whose key gives way to another, and that to a third, and who loses all and says so again: whatever he knows of the room then, it
//! is one with what the others hold.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rtc_core::clock::VersionVector;
use rtc_core::id::Dot;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::{NoEffect, Op, OpCode};
use rtc_core::replica::Replica;
use rtc_core::value::Value;

use crate::recipe::{History, key, step, with_members};
use crate::snapshot::check_away;
use crate::{check, shuffled, soak};

/// Another member.
const OTHER: usize = 0;
/// The three keys of one.
const FIRST: usize = 1;
const SECOND: usize = 2;
const THIRD: usize = 3;
/// The last of them on a machine that has lost everything, or the newest part.
const LOST: usize = 4;

/// Who writes next, whom he hears before, and what he has kept if he has lost something.
type Turn = (u8, Option<u8>, u8);

/// What happened, and of each message what its author had seen.
struct Tale {
    history: History,
    /// The messages by which keys begin, but for the first.
    begins: BTreeMap<usize, Dot>,
    seen: BTreeMap<Dot, VersionVector>,
}

fn op(name: &str, key: &str, path: Option<&str>) -> Op {
    let code = OpCode::named(name).expect("it is in the table");
    let value = path.and_then(|_| Value::number(1.0)).unwrap_or_default();
    Op { code, key: key.to_owned(), path: path.map(str::to_owned), value, options: [].into() }
}

impl Tale {
    /// The founder, who is the one or the other, admits whom he is not, and both write.
    fn of(is_founder: bool, turns: &[Turn]) -> Self {
        let [other, person] = if is_founder { [2, 1] } else { [1, 2] };
        let mut history = History::new();
        history.cast = [(other, 1), (person, 1), (3, 1), (4, 1), (4, 9)];
        let mut tale = Self { history, begins: BTreeMap::new(), seen: BTreeMap::new() };
        let mut grant = Op { value: key(2).to_string().into(), ..op("room.grant", "", None) };
        grant.options.insert("role".to_owned(), "editor".into());
        let founder = if is_founder { FIRST } else { OTHER };
        tale.write(founder, vec![grant, op("node.insert", "n", None)]);
        tale.history.hear(OTHER + FIRST - founder, founder);
        let mut kept = vec![tale.history.clocks[OTHER].clone()];
        for &(actor, hears, keeps) in turns {
            let me = usize::from(actor) % 5;
            let begins = me > FIRST && !tale.begins.contains_key(&me);
            if begins && me > SECOND && !tale.begins.contains_key(&(THIRD.min(me - 1))) {
                continue;
            }
            if me == LOST && begins {
                tale.history.clocks[LOST] = kept[usize::from(keeps) % kept.len()].clone();
            } else if begins {
                tale.history.hear(me, me - 1);
            }
            if let Some(from) = hears.filter(|_| !begins || me != LOST) {
                tale.history.hear(me, usize::from(from) % 5);
            }
            let ops = match me {
                SECOND if begins => vec![step(person, 3, 3)],
                THIRD if begins => vec![step(3, 4, 4)],
                LOST if begins => vec![step(person, 3, 4), step(3, 4, 4)],
                _ => vec![op("number.add", "n", Some("x"))],
            };
            let dot = tale.write(me, ops);
            if begins {
                tale.begins.insert(me, dot);
            }
            kept.push(tale.history.clocks[OTHER].clone());
        }
        tale
    }

    fn write(&mut self, me: usize, ops: Vec<Op>) -> Dot {
        let mut left = ops.iter();
        let dot = self.history.write(me, None, ops.len(), |_, _| left.next().expect("one for each").clone());
        self.seen.insert(dot, self.history.clocks[me].clone());
        dot
    }

    fn messages(&self) -> &[Message] {
        &self.history.messages
    }

    /// Whether a message has to count: the other member's, those of the last key, and of another one what a rotation has seen.
    fn has_to_count(&self, message: &Message) -> bool {
        let name = (1..5).find(|number| key(*number) == message.actor.key()).expect("it is one of the cast");
        let place = self.history.cast.iter().position(|(number, _)| *number == name).expect("it is there");
        let knows =
            |by: usize, of: &Dot| self.begins.get(&by).is_some_and(|begin| self.seen[begin].covers(of));
        // Who says it again and knows that it was said says nothing.
        let is_seen_by = |next: usize| match self.begins.get(&next) {
            Some(begin) => knows(next, &message.dot()) || knows(LOST, &message.dot()) && !knows(LOST, begin),
            None => true,
        };
        match place {
            FIRST => is_seen_by(SECOND),
            SECOND => is_seen_by(THIRD),
            _ => true,
        }
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    prop::collection::vec((any::<u8>(), any::<Option<u8>>(), any::<u8>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn keys_that_follow_upon_each_other_and_are_told_again_are_one_member(is_founder in any::<bool>(), turns in turns(), order in prop::collection::vec(any::<u32>(), 1..32), size in 1..9_usize) {
        let tale = Tale::of(is_founder, &turns);
        let folded = naive::fold(&with_members(), tale.messages());
        for message in tale.messages() {
            let is_void = folded.ineffective.get(&(message.dot(), 0)) == Some(&NoEffect::NotAllowed);
            let is_edit = message.ops[0].path.is_some();
            prop_assert!(!is_edit || is_void != tale.has_to_count(message), "{}", message.dot());
        }
        let newest = if tale.begins.contains_key(&THIRD) { 4 } else if tale.begins.contains_key(&SECOND) { 3 } else { 2 - u8::from(is_founder) };
        prop_assert!(folded.charter.members.iter().any(|member| member.key == key(newest)));
        prop_assert_eq!(folded.charter.members.len(), 2);
        let mut replica = Replica::new(with_members());
        let mut held = Vec::new();
        for batch in shuffled(tale.messages(), &order).chunks(size) {
            replica.apply_all(batch);
            held.extend_from_slice(batch);
            check(&replica, &held);
        }
    }

    #[test]
    fn a_replica_that_was_away_meanwhile_knows_them(is_founder in any::<bool>(), turns in turns(), away in 0..40_usize, order in prop::collection::vec(any::<u32>(), 1..32), is_late in any::<bool>()) {
        check_away(with_members(), Tale::of(is_founder, &turns).messages(), away, 8, &order, is_late);
    }
}
