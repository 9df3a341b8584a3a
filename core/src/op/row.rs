//! One row of the operation table: what an operation is called, takes and does.
//!
//! A row holds a pure function of the current value and the argument. That replicas agree is the business of the cell that
//! folds rows in the one total order, never of a row.

use std::collections::BTreeMap;

use super::array::Element;
use super::shape::Shaped;
use super::text::{Content, Writing};
use super::{NoEffect, OpCode, Shape};
use crate::value::Value;

/// The named options of an op.
pub type Options = BTreeMap<String, Value>;

/// One operation.
#[derive(Debug)]
pub struct Row {
    /// The stable number on the wire.
    pub code: OpCode,
    /// `family.operation`.
    pub name: &'static str,
    /// The shape of the argument.
    pub argument: Shape,
    /// The named options it knows; an op with any other has no effect.
    pub options: &'static [OptionRow],
    /// What it does.
    pub kind: Kind,
    /// One sentence for help and the generated reference.
    pub doc: &'static str,
    /// The words after `rtc edit` of an example.
    pub example: &'static str,
}

/// One named option of a row.
#[derive(Debug)]
pub struct OptionRow {
    /// Its name in `Op::options`.
    pub name: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// One sentence for help.
    pub doc: &'static str,
}

/// A step from the current value (none where the property is absent) to the next.
pub type Step = fn(current: Option<&Value>, argument: &Value, options: &Options) -> Result<Value, NoEffect>;

/// A step on a list whose elements remember who added them: what it may take away is what it has `seen`.
pub type ListStep = fn(list: &mut Vec<Element>, argument: &Value, options: &Options, by: u32, seen: Seen<'_>);

/// What an op writes into a map: it tells `write` each key with the value it is to hold, or none where it is to go.
pub type EntryStep = fn(argument: &Value, write: WriteEntry<'_>);

/// Takes one entry that an op writes.
pub type WriteEntry<'a> = &'a mut dyn FnMut(&str, Option<&Value>);

/// Whether an element comes into a set or goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// It comes in.
    Add,
    /// It goes, as far as the op has seen who added it.
    Remove,
}

/// What is said of a room and its members (DESIGN §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Somebody is a member in that role.
    Grant,
    /// Somebody is none any more.
    Remove,
    /// The room is called so.
    Rename,
    /// The room's secret is another.
    Secret,
    /// A member's key is another.
    Rotate,
}

/// Whether an amount is added or taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// It is added.
    Plus,
    /// It is taken away.
    Minus,
}

/// Whether the op whose step runs has seen the op of that number.
pub type Seen<'a> = &'a dyn Fn(u32) -> bool;

/// What an operation does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Resets the property to what the function makes of the argument.
    Reset(fn(&Value) -> Value),
    /// Computes the property's next value.
    Step(Step),
    /// Adds the argument to a number, or takes it away: an absent number is 0, an absent argument 1.
    Sum(Step, Sign),
    /// Changes a list (DESIGN §3, law 8). On a property that holds no list it has no effect.
    List(ListStep),
    /// Changes a sequence of characters, or of elements (DESIGN §3, law 9). On a property that holds something else it has no
    /// effect.
    Write(Content, Writing),
    /// Computes the next value of a text by appending to it. Where characters have identities, so have those it brings.
    Append(Step),
    /// Adds the argument to a set, or removes it (DESIGN §3, law 8). On a property that holds no list it has no effect.
    Member(Membership),
    /// Writes entries of a map, of which each key's last counts (DESIGN §3, law 8). On a property that holds no map it has
    /// no effect.
    Entries(EntryStep),
    /// Starts a life of the node, or resets the given properties of a live one.
    Insert,
    /// Ends the node's life.
    Remove,
    /// Gives the node another parent or place.
    Move,
    /// Masks a message.
    Undo,
    /// Unmasks a message.
    Redo,
    /// Permits forgetting.
    Horizon,
    /// Names the message that this one is, issued again.
    Origin,
    /// Says something of the room and its members, which owners may.
    Rule(Rule),
}

impl Kind {
    /// Whether it works on one property, so that the op names a path.
    pub fn is_property(self) -> bool {
        match self {
            Self::Reset(_)
            | Self::Step(_)
            | Self::Sum(..)
            | Self::List(_)
            | Self::Write(..)
            | Self::Append(_)
            | Self::Member(_)
            | Self::Entries(_) => true,
            Self::Insert
            | Self::Remove
            | Self::Move
            | Self::Undo
            | Self::Redo
            | Self::Horizon
            | Self::Origin
            | Self::Rule(_) => false,
        }
    }

    /// Whether it speaks of messages or of the room: not undoable itself.
    pub fn is_meta(self) -> bool {
        match self {
            Self::Undo | Self::Redo | Self::Horizon | Self::Origin | Self::Rule(_) => true,
            Self::Reset(_)
            | Self::Step(_)
            | Self::Sum(..)
            | Self::List(_)
            | Self::Write(..)
            | Self::Append(_)
            | Self::Member(_)
            | Self::Entries(_)
            | Self::Insert
            | Self::Remove
            | Self::Move => false,
        }
    }
}

impl Row {
    /// The option of that name.
    pub fn option(&self, name: &str) -> Option<&'static OptionRow> {
        self.options.iter().find(|option| option.name == name)
    }

    /// Fails where an op of this row with such an argument and such options can have no effect whatever the scene is. Of
    /// several bad options the one whose name comes first is told.
    pub fn check<'a, V: Shaped>(
        &self,
        has_path: bool,
        argument: V,
        options: impl Iterator<Item = (&'a str, V)>,
    ) -> Result<(), NoEffect> {
        match (self.kind.is_property(), has_path) {
            (true, false) => return Err(NoEffect::PathMissing),
            (false, true) => return Err(NoEffect::PathUnexpected),
            (true, true) | (false, false) => {}
        }
        if !argument.has(self.argument) {
            return Err(NoEffect::BadArgument { expected: self.argument });
        }
        let mut bad: Option<(&str, NoEffect)> = None;
        let (mut is_targeted, mut has_item, mut has_role, mut is_plain) = (false, false, false, true);
        for (name, value) in options {
            is_targeted |= name == "target" || name == "of";
            has_item |= name == "item";
            has_role |= name == "role";
            is_plain = false;
            let fault = match self.option(name) {
                None => NoEffect::UnknownOption { name: name.into() },
                Some(option) if !value.has(option.shape) => {
                    NoEffect::BadOption { name: option.name, expected: option.shape }
                }
                Some(_) => continue,
            };
            if bad.as_ref().is_none_or(|(other, _)| name < *other) {
                bad = Some((name, fault));
            }
        }
        match self.kind {
            _ if let Some((_, fault)) = bad => Err(fault),
            Kind::Undo | Kind::Redo if !is_targeted => Err(NoEffect::MissingOption { name: "target" }),
            Kind::Write(_, writing) if writing.names_item() && !has_item => {
                Err(NoEffect::MissingOption { name: "item" })
            }
            Kind::Origin if !is_targeted => Err(NoEffect::MissingOption { name: "of" }),
            Kind::Rule(Rule::Grant) if !has_role => Err(NoEffect::MissingOption { name: "role" }),
            Kind::Move if is_plain => Err(NoEffect::MissingOption { name: "parent" }),
            _ => Ok(()),
        }
    }
}

/// A reset that takes its argument as it is.
pub(super) fn as_given(argument: &Value) -> Value {
    argument.clone()
}

/// The current value as what `read` finds in it, `absent` where there is none.
pub(super) fn current_or<T>(
    current: Option<&Value>,
    absent: T,
    expected: Shape,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<T, NoEffect> {
    match current {
        None => Ok(absent),
        Some(value) => read(value).ok_or(NoEffect::BadCurrent { expected }),
    }
}

/// The argument as what `read` finds in it.
pub(super) fn argument<T>(
    value: &Value,
    expected: Shape,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<T, NoEffect> {
    read(value).ok_or(NoEffect::BadArgument { expected })
}

/// A number, unless it is none.
pub(super) fn finite(number: f64) -> Result<Value, NoEffect> {
    Value::number(number).ok_or(NoEffect::NotFinite)
}

/// A list of numbers, unless one is none.
pub(super) fn all_finite(numbers: &[f64]) -> Result<Value, NoEffect> {
    Value::numbers(numbers).ok_or(NoEffect::NotFinite)
}
