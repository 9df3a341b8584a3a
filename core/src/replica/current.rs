//! The value of a property while its steps are applied, one after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::entries::Entries;
use super::history::History;
use super::index::OpIx;
use super::members::Members;
use crate::op::array::Element;
use crate::op::text::Content;
use crate::op::{Kind, NoEffect, Shape};
use crate::value::Value;

const NO_LIST: NoEffect = NoEffect::BadCurrent { expected: Shape::List };
const NO_MAP: NoEffect = NoEffect::BadCurrent { expected: Shape::Map };

/// A property's value, in the form that the last step needed. A step that needs another pays for the change once.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Current {
    /// Nothing was done to it yet.
    #[default]
    Absent,
    /// The value, and the op that made it as a whole: the adder of all its elements, should it be a list.
    Whole(Value, OpIx),
    /// A list whose elements came from several ops.
    Elements(Vec<Element>),
    /// Text or a list, of which the property's script has the characters or the elements.
    Script(Content),
    /// A list without equal elements, in the order of values.
    Members(Members),
    /// A map whose entries came from several ops.
    Entries(Entries),
}

impl Current {
    /// Applies one step.
    pub(super) fn step(&mut self, op: OpIx, history: &History) -> Result<(), NoEffect> {
        let held = history.op(op);
        match held.kind() {
            Some(Kind::Step(step) | Kind::Append(step)) => {
                let next = step(self.value().as_deref(), &held.value, held.options())?;
                *self = Self::Whole(next, op);
            }
            Some(Kind::List(step)) => {
                let seen = |adder: u32| history.has_seen(op, OpIx(adder));
                step(self.elements()?, &held.value, held.options(), op.0, &seen);
            }
            Some(Kind::Member(membership)) => self.members(op)?.change(op, membership, history),
            Some(Kind::Entries(step)) => self.entries(op)?.write(op, step, history),
            Some(
                Kind::Reset(_)
                | Kind::Write(..)
                | Kind::Insert
                | Kind::Remove
                | Kind::Move
                | Kind::Undo
                | Kind::Redo,
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
        match (self, history.op(op).kind()) {
            (Self::Members(members), Some(Kind::Member(_))) => Some(members.first()),
            (Self::Entries(entries), Some(Kind::Entries(_))) => Some(entries.first()),
            (_, _) => None,
        }
    }

    /// The value as a list of elements, an absent one as an empty list.
    fn elements(&mut self) -> Result<&mut Vec<Element>, NoEffect> {
        if !matches!(self, Self::Elements(_)) {
            *self = Self::Elements(self.take_elements()?);
        }
        match self {
            Self::Elements(list) => Ok(list),
            Self::Absent | Self::Whole(..) | Self::Members(_) | Self::Entries(_) | Self::Script(_) => {
                Err(NO_LIST)
            }
        }
    }

    /// The value as a set, an absent one as an empty one, which `op` is about to change.
    fn members(&mut self, op: OpIx) -> Result<&mut Members, NoEffect> {
        if !matches!(self, Self::Members(_)) {
            *self = Self::Members(Members::new(self.take_elements()?, op));
        }
        match self {
            Self::Members(members) => Ok(members),
            Self::Absent | Self::Whole(..) | Self::Elements(_) | Self::Entries(_) | Self::Script(_) => {
                Err(NO_LIST)
            }
        }
    }

    /// The value as a map, an absent one as an empty one, which `op` is about to write into.
    fn entries(&mut self, op: OpIx) -> Result<&mut Entries, NoEffect> {
        let map = match self {
            Self::Absent => Some(BTreeMap::new()),
            Self::Whole(Value::Map(map), _) => Some(std::mem::take(map)),
            Self::Whole(..) | Self::Elements(_) | Self::Members(_) | Self::Entries(_) | Self::Script(_) => {
                None
            }
        };
        if let Some(map) = map {
            *self = Self::Entries(Entries::new(map, op));
        }
        match self {
            Self::Entries(entries) => Ok(entries),
            Self::Absent | Self::Whole(..) | Self::Elements(_) | Self::Members(_) | Self::Script(_) => {
                Err(NO_MAP)
            }
        }
    }

    /// Takes the elements out of a list, to be put back in another form.
    fn take_elements(&mut self) -> Result<Vec<Element>, NoEffect> {
        match self {
            Self::Absent => Ok(Vec::new()),
            Self::Whole(Value::List(list), by) => {
                let element = |value| Element { value, adders: vec![by.0] };
                Ok(std::mem::take(list).into_iter().map(element).collect())
            }
            Self::Elements(list) => Ok(std::mem::take(list)),
            Self::Members(members) => Ok(members.take_elements()),
            Self::Whole(..) | Self::Entries(_) | Self::Script(_) => Err(NO_LIST),
        }
    }

    /// The value as it shows.
    pub(super) fn value(&self) -> Option<Cow<'_, Value>> {
        match self {
            Self::Absent | Self::Script(_) => None,
            Self::Whole(value, _) => Some(Cow::Borrowed(value)),
            Self::Elements(list) => {
                Some(Cow::Owned(Value::List(list.iter().map(|element| element.value.clone()).collect())))
            }
            Self::Members(members) => Some(Cow::Owned(Value::List(members.values()))),
            Self::Entries(entries) => Some(Cow::Owned(Value::Map(entries.to_map()))),
        }
    }
}
