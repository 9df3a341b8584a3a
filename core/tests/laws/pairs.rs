//! Every pair of rows of the table: whatever two ops meet, before, after or beside each other, undone or reset in between,
//! every delivery gives the naive fold. Loops over the table, so a new row is covered as it is added.

use std::collections::BTreeSet;

use rtc_core::id::Dot;
use rtc_core::message::Message;
use rtc_core::naive;
use rtc_core::op::{Kind, Op, Row, table};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

use crate::recipe::{History, Pick, op};
use crate::{check_against, soak};

/// Makes what all know.
const FOUNDER: usize = 0;
/// Makes one op of the pair.
const FIRST: usize = 2;
/// Makes the other.
const SECOND: usize = 4;
/// Comes after; of the founder's key, so that neither greatest nor least.
const THIRD: usize = 1;

/// How the two ops stand to each other.
#[derive(Clone, Copy, Debug)]
enum Meeting {
    /// Neither author knows of the other: equal lamport times.
    Concurrent,
    /// The second has seen the first.
    After,
    /// Both are in one message.
    Together,
}

/// What a third actor does then.
#[derive(Clone, Copy, Debug)]
enum Sequel {
    Nothing,
    /// Resets the property, knowing of the first op alone: it covers that one and leaves the other.
    ResetFirst,
    /// Resets the property, knowing of both.
    ResetBoth,
    UndoFirst,
    UndoSecond,
    /// Undoes both, and redoes the first.
    RedoFirst,
    /// Removes the node, knowing of the first op alone.
    Remove,
    /// Removes the node and makes it again.
    NewLife,
}

const MEETINGS: [Meeting; 3] = [Meeting::Concurrent, Meeting::After, Meeting::Together];
const SEQUELS: [Sequel; 8] = [
    Sequel::Nothing,
    Sequel::ResetFirst,
    Sequel::ResetBoth,
    Sequel::UndoFirst,
    Sequel::UndoSecond,
    Sequel::RedoFirst,
    Sequel::Remove,
    Sequel::NewLife,
];

/// The row that does that; each of these kinds has one.
fn row_of(is_kind: fn(Kind) -> bool) -> &'static Row {
    table().find(|row| is_kind(row.kind)).expect("the table has such a row")
}

/// A pick on the one property of the one node. No unknown operation and no unknown option: those meet others in random histories.
fn pick(seed: usize) -> Pick {
    let byte = |shift: usize| u8::try_from(seed >> shift & 0x7).unwrap();
    let options = [0, 1, 2, 4, 3, 9, 12, 70][seed % 8];
    Pick { row: 0, key: 0, path: 0, argument: byte(1), options, target: u16::from(byte(2)) }
}

/// What all know: two nodes, and on the first a property that the row can work on, if there is one.
fn found(history: &mut History, home: Option<&Row>, seed: usize) -> Dot {
    let insert = row_of(|kind| matches!(kind, Kind::Insert));
    history.write(FOUNDER, None, 2 + usize::from(home.is_some()), |stamp, earlier| match stamp.index {
        0 | 1 => {
            let key = u8::try_from(stamp.index).unwrap();
            Op { value: Value::Null, ..op(&Pick { key, options: 0, ..pick(0) }, insert, stamp, earlier) }
        }
        _ => op(&pick(seed), home.expect("a third op only with one"), stamp, earlier),
    })
}

/// The reset after which the row has an effect; none where it has one on an absent property only. Found by trying.
fn home(row: &Row) -> Option<&'static Row> {
    if is_for_members(row) {
        return None;
    }
    let resets = table().filter(|row| matches!(row.kind, Kind::Reset(_)));
    let mut homes = resets.map(Some).chain([None]);
    let home = homes.find(|home| {
        (0..16).any(|seed| {
            let mut history = History::new();
            found(&mut history, *home, seed);
            history.hear(FIRST, FOUNDER);
            let dot = history.write(FIRST, None, 1, |stamp, earlier| op(&pick(seed), row, stamp, earlier));
            !naive::fold(&Root::default(), &history.messages).ineffective.contains_key(&(dot, 0))
        })
    });
    home.unwrap_or_else(|| panic!("{} never has an effect", row.name))
}

/// Whether a row has no effect in an open room: what it has in another, `members` tries.
fn is_for_members(row: &Row) -> bool {
    matches!(row.kind, Kind::Rule(_))
}

/// One history in which the two rows meet.
fn history(
    rows: [&Row; 2],
    meeting: Meeting,
    sequel: Sequel,
    home: Option<&Row>,
    seed: usize,
) -> Vec<Message> {
    let mut history = History::new();
    found(&mut history, home, seed);
    for actor in [FIRST, SECOND, THIRD] {
        history.hear(actor, FOUNDER);
    }
    let together = matches!(meeting, Meeting::Together);
    let first = history.write(FIRST, None, if together { 2 } else { 1 }, |stamp, earlier| {
        op(&pick(seed + stamp.index as usize), rows[stamp.index as usize], stamp, earlier)
    });
    let mut second = first;
    if !together {
        if matches!(meeting, Meeting::After) {
            history.hear(SECOND, FIRST);
        }
        let make = |stamp, earlier: &[Message]| op(&pick(seed + 1), rows[1], stamp, earlier);
        second = history.write(SECOND, None, 1, make);
    }
    history.hear(THIRD, FIRST);
    match sequel {
        Sequel::ResetFirst | Sequel::Remove => {}
        _ => history.hear(THIRD, SECOND),
    }
    let reset = home.unwrap_or(row_of(|kind| matches!(kind, Kind::Reset(_))));
    let insert = row_of(|kind| matches!(kind, Kind::Insert));
    let remove = row_of(|kind| matches!(kind, Kind::Remove));
    let undo = row_of(|kind| matches!(kind, Kind::Undo));
    let redo = row_of(|kind| matches!(kind, Kind::Redo));
    let sequel: &[(&Row, Dot)] = match sequel {
        Sequel::Nothing => &[],
        Sequel::ResetFirst | Sequel::ResetBoth => &[(reset, first)],
        Sequel::UndoFirst => &[(undo, first)],
        Sequel::UndoSecond => &[(undo, second)],
        Sequel::RedoFirst => &[(undo, first), (undo, second), (redo, first)],
        Sequel::Remove => &[(remove, first)],
        Sequel::NewLife => &[(remove, first), (insert, first)],
    };
    for (row, target) in sequel {
        history.write(THIRD, None, 1, |stamp, earlier| {
            let mut op = op(&pick(seed + 2), row, stamp, earlier);
            if row.kind.is_meta() {
                op.options.insert("target".to_owned(), target.to_string().into());
            }
            op
        });
    }
    history.messages
}

/// Delivers the history in several orders, some messages twice, singly and in batches.
fn check(messages: &[Message]) -> naive::Folded {
    let folded = naive::fold(&Root::default(), messages);
    let backwards: Vec<&Message> = messages.iter().rev().collect();
    let middle = messages.len() / 2;
    let twice: Vec<&Message> = messages[middle..].iter().chain(messages).collect();
    let singly = |order: &mut dyn Iterator<Item = &Message>| {
        let mut replica = Replica::new(Root::default());
        for message in order {
            replica.apply(message);
        }
        check_against(&replica, messages, &folded);
    };
    singly(&mut messages.iter());
    singly(&mut backwards.iter().copied());
    singly(&mut twice.iter().copied());
    let mut replica = Replica::new(Root::default());
    replica.apply_all(backwards.iter().copied().take(middle));
    replica.apply_all(twice.iter().copied());
    check_against(&replica, messages, &folded);
    folded
}

#[test]
fn every_pair_of_rows_gives_the_naive_fold_however_it_meets() {
    let rows: Vec<(&Row, Option<&Row>)> = table().map(|row| (row, home(row))).collect();
    let mut effective: BTreeSet<&str> = BTreeSet::new();
    let mut number = 0;
    for round in 0..soak() as usize {
        for (a, home_a) in &rows {
            for (b, home_b) in &rows {
                for sequel in SEQUELS {
                    number += 1;
                    // Coprime steps, so that meetings, homes and arguments come together in every way.
                    let (meeting, home) = (MEETINGS[number % 3], [*home_a, *home_b, None][number / 3 % 3]);
                    let seed = (number + round).wrapping_mul(0x9e37_79b9) >> 7 & 0xffff;
                    let messages = history([a, b], meeting, sequel, home, seed);
                    let case = || format!("{} {} {meeting:?} {sequel:?} seed {seed}", a.name, b.name);
                    let folded = std::panic::catch_unwind(|| check(&messages));
                    let folded = folded.unwrap_or_else(|_| panic!("{}: {messages:#?}", case()));
                    for (message, (index, op)) in messages
                        .iter()
                        .flat_map(|message| (0..).zip(&message.ops).map(move |op| (message, op)))
                    {
                        if !folded.ineffective.contains_key(&(message.dot(), index)) {
                            effective.extend(op.code.row().map(|row| row.name));
                        }
                    }
                }
            }
        }
    }
    for (row, _) in rows {
        assert!(is_for_members(row) || effective.contains(row.name), "{} never had an effect", row.name);
    }
}
