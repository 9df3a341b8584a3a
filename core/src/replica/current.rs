//! The value of a property while its steps are applied, one after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::entries::Entries;
use super::history::History;
use super::index::{OpIx, PathIx};
use super::members::Members;
use crate::op::array::Element;
use crate::op::text::Content;
use crate::op::{Kind, NoEffect, Shape, Sign};
use crate::raw::Raw;
use crate::value::{Number, Value};

const NO_LIST: NoEffect = NoEffect::BadCurrent { expected: Shape::List };
const NO_MAP: NoEffect = NoEffect::BadCurrent { expected: Shape::Map };

/// Doubles skip no whole number below this: 2^53.
const INTEGRAL_MAX: i64 = 1 << 53;

/// A property's value, in the form that the last step needed. A step that needs another pays for the change once.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Current {
    /// Nothing was done to it yet.
    #[default]
    Absent,
    /// What this reset gives, which is the adder of all its elements, should it be a list.
    Given(OpIx),
    /// The value, and the step that made it as a whole: the adder of all its elements, should it be a list.
    Whole(Value, OpIx),
    /// A number of which steps only ever made whole numbers, by adding whole numbers.
    Sum(Sum),
    /// A list whose elements came from several ops.
    Elements(Vec<Element>),
    /// Text or a list, of which the property's script has the characters or the elements.
    Script(Content),
    /// A list without equal elements, in the order of values.
    Members(Members),
    /// A map whose entries came from several ops.
    Entries(Entries),
}

/// A sum of whole numbers so small that it is exact, whatever their order: the magnitudes of all of them together are a
/// whole number of which doubles skip none below it, and so is every sum of some of them.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Sum {
    total: i64,
    magnitudes: i64,
}

impl Sum {
    /// The sum with that number, if that is whole and small enough.
    fn add(self, number: f64) -> Option<Self> {
        let integer = Number::new(number)?.as_integer()?;
        let (total, magnitudes) = (self.total + integer, self.magnitudes + integer.abs());
        (magnitudes < INTEGRAL_MAX).then_some(Self { total, magnitudes })
    }

    #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
    fn value(self) -> Value {
        Value::number(self.total as f64).unwrap_or_default()
    }
}

/// The number that an op adds.
fn summand(op: OpIx, sign: Sign, history: &History) -> f64 {
    let amount = history.raw(op).as_number().unwrap_or(1.0);
    match sign {
        Sign::Plus => amount,
        Sign::Minus => -amount,
    }
}

impl Current {
    /// Applies one step to the property of that path.
    pub(super) fn step(&mut self, op: OpIx, path: PathIx, history: &History) -> Result<(), NoEffect> {
        if let Some(Kind::Sum(_, sign)) = history.kind(op)
            && let Some(sum) = self.sum(path, history).and_then(|sum| sum.add(summand(op, sign, history)))
        {
            *self = Self::Sum(sum);
            return Ok(());
        }
        let held = history.op(op);
        match held.kind() {
            Some(Kind::Step(step) | Kind::Sum(step, _) | Kind::Append(step)) => {
                let next = step(self.value(path, history).as_deref(), &held.value(), &held.options())?;
                *self = Self::Whole(next, op);
            }
            Some(Kind::List(step)) => {
                let seen = |adder: u32| history.has_seen(op, OpIx(adder));
                step(self.elements(path, history)?, &held.value(), &held.options(), op.0, &seen);
            }
            Some(Kind::Member(membership)) => {
                self.members(op, path, history)?.change(op, membership, history)
            }
            Some(Kind::Entries(step)) => self.entries(op, path, history)?.write(op, step, history),
            Some(
                Kind::Reset(_)
                | Kind::Write(..)
                | Kind::Insert
                | Kind::Remove
                | Kind::Move
                | Kind::Undo
                | Kind::Redo
                | Kind::Horizon
                | Kind::Origin
                | Kind::Rule(_),
            )
            | None => {
                debug_assert!(false, "only steps are folded onto a value");
            }
        }
        Ok(())
    }

    /// The first in order of the latest steps, if these and `op` may come in any order. (An addition to a set must not have
    /// been seen by any of them.)
    pub(super) fn commutes_from(&self, op: OpIx, history: &History) -> Option<OpIx> {
        match (self, history.kind(op)) {
            (Self::Members(members), Some(Kind::Member(_))) => Some(members.first()),
            (Self::Entries(entries), Some(Kind::Entries(_))) => Some(entries.first()),
            (_, _) => None,
        }
    }

    /// Whether a step adds to what only such steps made, so that they may come in any order.
    pub(super) fn sums_with(&self, op: OpIx, history: &History) -> bool {
        match (self, history.kind(op)) {
            (Self::Sum(sum), Some(Kind::Sum(_, sign))) => sum.add(summand(op, sign, history)).is_some(),
            (_, _) => false,
        }
    }

    /// The value as a sum to begin or to go on with, an absent one as that of nothing.
    fn sum(&self, path: PathIx, history: &History) -> Option<Sum> {
        match self {
            Self::Absent => Some(Sum::default()),
            Self::Given(reset) => Sum::default().add(given(*reset, path, history)?.as_number()?),
            Self::Sum(sum) => Some(*sum),
            Self::Whole(..) | Self::Elements(_) | Self::Members(_) | Self::Entries(_) | Self::Script(_) => {
                None
            }
        }
    }

    /// The value as a list of elements, an absent one as an empty list.
    fn elements(&mut self, path: PathIx, history: &History) -> Result<&mut Vec<Element>, NoEffect> {
        if !matches!(self, Self::Elements(_)) {
            *self = Self::Elements(self.take_elements(path, history)?);
        }
        match self {
            Self::Elements(list) => Ok(list),
            Self::Absent
            | Self::Given(_)
            | Self::Whole(..)
            | Self::Sum(_)
            | Self::Members(_)
            | Self::Entries(_)
            | Self::Script(_) => Err(NO_LIST),
        }
    }

    /// The value as a set, an absent one as an empty one, which `op` is about to change.
    fn members(&mut self, op: OpIx, path: PathIx, history: &History) -> Result<&mut Members, NoEffect> {
        if !matches!(self, Self::Members(_)) {
            *self = Self::Members(Members::new(self.take_elements(path, history)?, op));
        }
        match self {
            Self::Members(members) => Ok(members),
            Self::Absent
            | Self::Given(_)
            | Self::Whole(..)
            | Self::Sum(_)
            | Self::Elements(_)
            | Self::Entries(_)
            | Self::Script(_) => Err(NO_LIST),
        }
    }

    /// The value as a map, an absent one as an empty one, which `op` is about to write into.
    fn entries(&mut self, op: OpIx, path: PathIx, history: &History) -> Result<&mut Entries, NoEffect> {
        let map = match self {
            Self::Absent => Some(BTreeMap::new()),
            Self::Given(reset) => match given(*reset, path, history) {
                Some(Value::Map(map)) => Some(map),
                _ => None,
            },
            Self::Whole(Value::Map(map), _) => Some(std::mem::take(map)),
            Self::Whole(..)
            | Self::Sum(_)
            | Self::Elements(_)
            | Self::Members(_)
            | Self::Entries(_)
            | Self::Script(_) => None,
        };
        if let Some(map) = map {
            *self = Self::Entries(Entries::new(map, op));
        }
        match self {
            Self::Entries(entries) => Ok(entries),
            Self::Absent
            | Self::Given(_)
            | Self::Whole(..)
            | Self::Sum(_)
            | Self::Elements(_)
            | Self::Members(_)
            | Self::Script(_) => Err(NO_MAP),
        }
    }

    /// Takes the elements out of a list, to be put back in another form.
    fn take_elements(&mut self, path: PathIx, history: &History) -> Result<Vec<Element>, NoEffect> {
        match self {
            Self::Absent => Ok(Vec::new()),
            Self::Given(by) => match given(*by, path, history) {
                Some(Value::List(list)) => Ok(added(list, *by)),
                _ => Err(NO_LIST),
            },
            Self::Whole(Value::List(list), by) => Ok(added(std::mem::take(list), *by)),
            Self::Elements(list) => Ok(std::mem::take(list)),
            Self::Members(members) => Ok(members.take_elements()),
            Self::Whole(..) | Self::Sum(_) | Self::Entries(_) | Self::Script(_) => Err(NO_LIST),
        }
    }

    /// The value as it shows, of the property of that path.
    pub(super) fn value(&self, path: PathIx, history: &History) -> Option<Cow<'_, Value>> {
        match self {
            Self::Absent | Self::Script(_) => None,
            Self::Given(reset) => given(*reset, path, history).map(Cow::Owned),
            Self::Whole(value, _) => Some(Cow::Borrowed(value)),
            Self::Sum(sum) => Some(Cow::Owned(sum.value())),
            Self::Elements(list) => {
                Some(Cow::Owned(Value::List(list.iter().map(|element| element.value.clone()).collect())))
            }
            Self::Members(members) => Some(Cow::Owned(Value::List(members.values()))),
            Self::Entries(entries) => Some(Cow::Owned(Value::Map(entries.to_map()))),
        }
    }
}

/// A list of elements that one op added.
fn added(list: Vec<Value>, by: OpIx) -> Vec<Element> {
    list.into_iter().map(|value| Element { value, adders: vec![by.0] }).collect()
}

/// What a reset gives the property of that path: the argument, or an insert's initial property.
pub(super) fn given(reset: OpIx, path: PathIx, history: &History) -> Option<Value> {
    let raw = history.raw(reset);
    match history.kind(reset) {
        Some(Kind::Reset(make)) => Some(make(&raw.decode())),
        _ => raw.get(history.paths.text(path.at())).map(Raw::decode),
    }
}
