//! Laws 3, 4 and 8 in the plainest code: what one property holds.

use std::collections::BTreeMap;

use super::text::Script;
use super::{At, Fold, GROUND, GROUND_ADDER};
use crate::op::array::Element;
use crate::op::{Kind, Membership, NoEffect, Shape};
use crate::value::Value;

impl Fold<'_> {
    /// Laws 3, 4, 8 and 9: the value of one property of a live node.
    pub(super) fn value(&self, key: &str, path: &str, verdicts: &mut Vec<(At, NoEffect)>) -> Option<Held> {
        let kind = |at: At| self.op(at).code.row().expect("only known ops are logged").kind;
        let log = self.nodes[key].properties.get(path).map(Vec::as_slice).unwrap_or_default();
        let resets: Vec<At> =
            log.iter().copied().filter(|&at| matches!(kind(at), Kind::Reset(_) | Kind::Insert)).collect();
        let index_in_log =
            |at: At| u32::try_from(log.iter().position(|&x| x == at).unwrap_or(0)).unwrap_or(0);
        let mut held = resets.last().copied().map(|winner| {
            let op = self.op(winner);
            let value = match kind(winner) {
                Kind::Reset(reset) => reset(&op.value),
                _ => op.value.as_map().and_then(|map| map.get(path)).expect("it set this path").clone(),
            };
            Held { whole: Some(winner), ..Held::made(value, winner, index_in_log(winner)) }
        });
        // Every reset has seen the ground.
        held = held.or_else(|| self.base(key, path));
        for &at in log {
            if resets.contains(&at) || resets.iter().any(|&reset| self.seen(reset, at)) {
                continue;
            }
            if let Some(held) = &mut held
                && let Some(elements) = held.script.as_ref().and_then(Script::elements)
            {
                let adder = |by: At| if by.0 == GROUND { GROUND_ADDER } else { index_in_log(by) };
                held.adders = elements.into_iter().map(|by| vec![adder(by)]).collect();
            }
            let result = match kind(at) {
                Kind::Write(..) | Kind::Append(_) => self.write(at, path, &mut held),
                kind => self.step(at, kind, held.as_ref(), log).map(|(adders, value)| {
                    held = Some(Held { adders, ..Held::made(value, at, index_in_log(at)) });
                }),
            };
            verdicts.extend(result.err().map(|reason| (at, reason)));
        }
        held
    }

    /// One step that knows nothing of characters: the next value, and of a list who added each element.
    fn step(
        &self,
        at: At,
        kind: Kind,
        held: Option<&Held>,
        log: &[At],
    ) -> Result<(Vec<Vec<u32>>, Value), NoEffect> {
        let op = self.op(at);
        let by = u32::try_from(log.iter().position(|&x| x == at).unwrap_or(0)).unwrap_or(0);
        let seen = |adder: u32| adder == GROUND_ADDER || self.seen(at, log[adder as usize]);
        let current = held.map(|held| held.value.clone());
        let adders = held.map(|held| held.adders.clone()).unwrap_or_default();
        let wrong = |expected| Err(NoEffect::BadCurrent { expected });
        match kind {
            Kind::Step(step) | Kind::Sum(step, _) => {
                step(current.as_ref(), &op.value, &op.options).map(|value| (added_by(&value, by), value))
            }
            Kind::List(step) => match current.unwrap_or(Value::List(Vec::new())) {
                Value::List(values) => {
                    let zip = values.into_iter().zip(adders);
                    let mut list = zip.map(|(value, adders)| Element { value, adders }).collect();
                    step(&mut list, &op.value, &op.options, by, &seen);
                    let (values, adders) =
                        list.into_iter().map(|element| (element.value, element.adders)).unzip();
                    Ok((adders, Value::List(values)))
                }
                _ => wrong(Shape::List),
            },
            Kind::Member(membership) => match current.unwrap_or(Value::List(Vec::new())) {
                Value::List(values) => {
                    let set = values.into_iter().zip(adders).collect();
                    Ok(change_set(set, &op.value, membership, by, seen))
                }
                _ => wrong(Shape::List),
            },
            Kind::Entries(write) => match current.unwrap_or(Value::Map(BTreeMap::new())) {
                Value::Map(mut map) => {
                    write(&op.value, &mut |key, value| match value {
                        Some(value) => drop(map.insert(key.to_owned(), value.clone())),
                        None => drop(map.remove(key)),
                    });
                    Ok((Vec::new(), Value::Map(map)))
                }
                _ => wrong(Shape::Map),
            },
            _ => unreachable!("resets were skipped, and nothing else is logged"),
        }
    }
}

/// What a property holds while it is folded.
pub(super) struct Held {
    pub(super) value: Value,
    /// Of a list, who added each element.
    pub(super) adders: Vec<Vec<u32>>,
    /// The op that made it so; the ground's where it stands there.
    pub(super) by: At,
    /// Of a text or a list, the reset whose value it still is.
    pub(super) whole: Option<At>,
    /// Its characters or elements, once some step has named them.
    pub(super) script: Option<Script>,
}

impl Held {
    pub(super) fn made(value: Value, by: At, index: u32) -> Self {
        Self { adders: added_by(&value, index), value, by, whole: None, script: None }
    }
}

/// Adds an element to a set, or takes away those of its adders that were seen. The list becomes one without equal elements,
/// in the order of values.
fn change_set(
    list: Vec<(Value, Vec<u32>)>,
    element: &Value,
    membership: Membership,
    by: u32,
    seen: impl Fn(u32) -> bool,
) -> (Vec<Vec<u32>>, Value) {
    let mut set: BTreeMap<Value, Vec<u32>> = BTreeMap::new();
    for (value, adders) in list {
        set.entry(value).or_default().extend(adders);
    }
    match membership {
        Membership::Add => set.entry(element.clone()).or_default().push(by),
        Membership::Remove => {
            set.entry(element.clone()).or_default().retain(|&adder| !seen(adder));
            set.retain(|_, adders| !adders.is_empty());
        }
    }
    let (values, adders) = set.into_iter().unzip();
    (adders, Value::List(values))
}

/// One adder for each element, where `value` is a list.
pub(super) fn added_by(value: &Value, by: u32) -> Vec<Vec<u32>> {
    vec![vec![by]; value.as_list().map_or(0, <[Value]>::len)]
}
