//! The value of a property while its steps are applied, one after the other.

use std::borrow::Cow;

use super::history::History;
use super::index::OpIx;
use crate::op::array::Element;
use crate::op::{Kind, NoEffect, Shape};
use crate::value::Value;

/// A property's value. Lists that list steps have touched remember who added each element.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) enum Current {
    /// Nothing was done to it yet.
    #[default]
    Absent,
    /// The value, and the op that made it as a whole: the adder of all its elements, should it be a list.
    Whole(Value, OpIx),
    /// A list whose elements came from several ops.
    Elements(Vec<Element>),
    /// Text, the characters of which the property's script has.
    Script,
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
            Some(
                Kind::Reset(_)
                | Kind::Text(_)
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

    /// The value as a list of elements, an absent one as an empty list.
    fn elements(&mut self) -> Result<&mut Vec<Element>, NoEffect> {
        match self {
            Self::Absent => *self = Self::Elements(Vec::new()),
            Self::Whole(Value::List(list), op) => {
                let adders = vec![op.0];
                let element = |value| Element { value, adders: adders.clone() };
                *self = Self::Elements(std::mem::take(list).into_iter().map(element).collect());
            }
            Self::Whole(..) | Self::Elements(_) | Self::Script => {}
        }
        match self {
            Self::Elements(list) => Ok(list),
            Self::Absent | Self::Whole(..) | Self::Script => {
                Err(NoEffect::BadCurrent { expected: Shape::List })
            }
        }
    }

    /// The value as it shows.
    pub(super) fn value(&self) -> Option<Cow<'_, Value>> {
        match self {
            Self::Absent | Self::Script => None,
            Self::Whole(value, _) => Some(Cow::Borrowed(value)),
            Self::Elements(list) => {
                Some(Cow::Owned(Value::List(list.iter().map(|element| element.value.clone()).collect())))
            }
        }
    }
}
