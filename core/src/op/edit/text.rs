//! From positions to characters: what clients write at a position goes beside characters that keep their identities.
//! Elements of lists are treated as characters are.

use std::collections::BTreeMap;
use std::ops;

use super::naming::Naming;
use super::{EditFault, Range};
use crate::api::EditOp;
use crate::clock::Stamp;
use crate::id::Dot;
use crate::op::row::Kind;
use crate::op::text::{CharId, Content, Writing};
use crate::op::{Op, OpCode};
use crate::replica::{Characters, Replica, Shows};
use crate::sequence::{Char, Sequence, Spot, Until};
use crate::value::Value;

/// The texts and lists that one commit writes into, as its edits have made them so far.
pub(crate) struct Texts<'a> {
    replica: &'a Replica,
    drafts: BTreeMap<(String, String), Vec<Draft<'a>>>,
    /// What the last op may go on as.
    run: Option<Run>,
}

/// A text that is typed or deleted by one edit after the other: they become one op.
enum Run {
    /// Typed up to a position. The last so many characters are not in the draft yet.
    Typed { end: usize, more: u32 },
    /// Deleted at a position. The op does not name all that goes if there is more than it was made with.
    Gone { at: usize, chars: Vec<ops::Range<Char>>, is_more: bool },
}

struct Draft<'a> {
    content: Content,
    characters: Characters<'a>,
    /// How many ops of the commit are in it.
    ops: usize,
}

/// What an op is to do, in characters.
pub(super) struct Plan {
    pub(super) at: usize,
    pub(super) spot: Option<Spot>,
    pub(super) gone: Vec<ops::Range<Char>>,
    item: Option<Char>,
}

impl Plan {
    /// What a writing at a range is to do.
    pub(super) fn new(sequence: &Sequence, writing: Writing, range: Range) -> Result<Self, EditFault> {
        let len = sequence.len();
        let at = |default: usize| range.position.unwrap_or(default).min(len);
        let item = || {
            let index = at(0);
            let element = sequence.elements(index..index + 1).first().map(|element| element.start);
            element.ok_or(EditFault::ElementMissing { index: range.position.unwrap_or(0), len })
        };
        let gone = |from: usize, count: usize| sequence.elements(from..from.saturating_add(count).min(len));
        let nothing = Self { at: at(0), spot: None, gone: Vec::new(), item: None };
        Ok(match writing {
            Writing::Insert => Self { at: at(len), spot: Some(sequence.spot(at(len))), ..nothing },
            Writing::Delete => Self { gone: gone(at(0), range.length.unwrap_or(1)), ..nothing },
            Writing::Replace => Self {
                spot: Some(sequence.spot(at(0))),
                gone: gone(at(0), range.length.unwrap_or(len)),
                ..nothing
            },
            Writing::Set => Self { item: Some(item()?), ..nothing },
            Writing::Move => {
                let item = item()?;
                // Counted without the element itself.
                let to = range.to.unwrap_or(len).min(len - 1);
                let spot = sequence.spot(if to <= at(0) { to } else { to + 1 });
                Self { spot: Some(spot), item: Some(item), ..nothing }
            }
        })
    }
}

impl<'a> Texts<'a> {
    pub(crate) fn new(replica: &'a Replica) -> Self {
        Self { replica, drafts: BTreeMap::new(), run: None }
    }

    /// Makes identities of a range: `op` is to follow `earlier` in the commit; `is_last` says that nothing follows it. Gives
    /// the ops that must come before it, should it name too many characters for one.
    pub(crate) fn compile(
        &mut self,
        op: &mut Op,
        range: Range,
        earlier: &[Op],
        stamp: Stamp,
        is_last: bool,
    ) -> Result<Vec<Op>, EditFault> {
        let Some((content, writing)) = writing_of(op.code) else { return Ok(Vec::new()) };
        let naming = self.naming(stamp);
        let draft = self.draft(op, content, earlier, &naming);
        let plan = draft.plan(op, content, writing, range)?;
        let at = plan.at;
        let run = match writing {
            _ if is_last || content != Content::Text => None,
            Writing::Insert => Content::Text
                .len(&op.value)
                .filter(|&len| len > 0)
                .map(|len| Run::Typed { end: at + len as usize, more: 0 }),
            Writing::Delete if plan.gone.is_empty() => None,
            Writing::Delete => Some(Run::Gone { at, chars: plan.gone.clone(), is_more: false }),
            Writing::Replace | Writing::Move | Writing::Set => None,
        };
        let before = draft.follow_plan(op, (content, writing), plan, earlier.len(), &naming, is_last);
        self.run = run.filter(|_| before.is_empty());
        Ok(before)
    }

    /// Does what an edit does that goes on where the last of `ops` ended, by making that op longer. Says whether it does;
    /// otherwise that op is finished.
    pub(crate) fn go_on(&mut self, edit: &EditOp, ops: &mut Vec<Op>, own: Dot) -> bool {
        let does = self.run.is_some() && self.try_go_on(edit, ops).is_some();
        if !does {
            self.finish(ops, own);
        }
        does
    }

    fn try_go_on(&mut self, edit: &EditOp, ops: &mut [Op]) -> Option<()> {
        let op = ops.last_mut().filter(|op| op.key == edit.key && op.path == edit.path)?;
        let number = |name: &str| match edit.options.get(name) {
            Some(Value::Number(number)) => {
                number.as_integer().and_then(|number| usize::try_from(number).ok())
            }
            _ => None,
        };
        let position = number("position")?;
        match (self.run.as_mut()?, edit.otype.as_str(), &edit.value, edit.options.len(), &mut op.value) {
            (Run::Typed { end, more }, "text.insert", Some(Value::Text(new)), 1, Value::Text(text))
                if position == *end =>
            {
                let len = new.chars().count();
                text.push_str(new);
                (*end, *more) = (*end + len, *more + self::number(len));
            }
            (Run::Gone { at, chars, is_more }, "text.delete", None | Some(Value::Null), 1 | 2, _) => {
                let count = if edit.options.len() == 1 { 1 } else { number("length")? };
                if position != *at && position.checked_add(count)? != *at {
                    return None;
                }
                let drafts = self.drafts.get_mut(&(edit.key.clone(), edit.path.clone()?))?;
                let draft = drafts.iter_mut().find(|draft| draft.content == Content::Text)?;
                let sequence = draft.characters.sequence.to_mut();
                let gone = sequence.pieces(position..position.checked_add(count)?);
                gone.iter().for_each(|gone| sequence.delete(gone.clone(), true));
                chars.extend(gone);
                (*at, *is_more) = (position, true);
            }
            (_, _, _, _, _) => return None,
        }
        Some(())
    }

    /// Finishes the op that edits may have gone on with.
    pub(crate) fn finish(&mut self, ops: &mut Vec<Op>, own: Dot) {
        let naming = Naming { replica: self.replica, own, base: self.replica.ops_held() };
        let (Some(run), Some(op)) = (self.run.take(), ops.last_mut()) else { return };
        let drafts = self.drafts.get_mut(&(op.key.clone(), op.path.clone().unwrap_or_default()));
        let draft = drafts.into_iter().flatten().find(|draft| draft.content == Content::Text);
        let draft = draft.expect("the op was made with it");
        match run {
            Run::Typed { more, .. } if more > 0 => {
                let sequence = draft.characters.sequence.to_mut();
                let number = naming.base + number(ops.len() - 1);
                let last = sequence.last_of(number).expect("the op brought some");
                let spot = Spot::After(last, Until::Inherited);
                sequence.place(number, more, spot, true, |a, b| naming.compare(a, b));
            }
            Run::Gone { chars, is_more: true, .. } => {
                let before = naming.name_gone(op, &draft.characters.sequence, Content::Text, &chars);
                let at = ops.len() - 1;
                draft.ops += before.len();
                ops.splice(at..at, before);
            }
            Run::Typed { .. } | Run::Gone { .. } => {}
        }
    }

    /// Does the same for a writer who knows characters: text goes right behind `left` or the start, and `gone` go.
    pub(crate) fn compile_beside(
        &mut self,
        op: &mut Op,
        left: Option<CharId>,
        gone: &[CharId],
        earlier: &[Op],
        stamp: Stamp,
    ) -> Vec<Op> {
        let Some((content, writing)) = writing_of(op.code) else { return Vec::new() };
        let naming = self.naming(stamp);
        let draft = self.draft(op, content, earlier, &naming);
        let sequence = &draft.characters.sequence;
        let left = left.and_then(|left| naming.find(sequence, left)).unwrap_or(Char::START);
        let gone = gone.iter().filter_map(|&id| naming.find_element(sequence, id));
        let gone = gone.map(|char| char..char.next()).collect();
        let plan = Plan { at: 0, spot: Some(sequence.spot_after(left)), gone, item: None };
        draft.follow_plan(op, (content, writing), plan, earlier.len(), &naming, false)
    }

    fn naming(&self, stamp: Stamp) -> Naming<'a> {
        let own = Dot { actor: stamp.actor, seq: stamp.seq };
        Naming { replica: self.replica, own, base: self.replica.ops_held() }
    }

    /// The text that `op` writes into, as `earlier` left it.
    fn draft(&mut self, op: &Op, content: Content, earlier: &[Op], naming: &Naming<'_>) -> &mut Draft<'a> {
        let path = op.path.clone().unwrap_or_default();
        let replica = self.replica;
        let drafts = self.drafts.entry((op.key.clone(), path.clone())).or_default();
        let at = drafts.iter().position(|draft| draft.content == content).unwrap_or_else(|| {
            let characters = replica.characters(content, &op.key, &path);
            drafts.push(Draft { content, characters, ops: 0 });
            drafts.len() - 1
        });
        let draft = &mut drafts[at];
        for (index, earlier) in earlier.iter().enumerate().skip(draft.ops) {
            draft.follow(earlier, number(index), (&op.key, &path), naming);
        }
        draft.ops = earlier.len();
        draft
    }
}

fn writing_of(code: OpCode) -> Option<(Content, Writing)> {
    match code.row()?.kind {
        Kind::Write(content, writing) => Some((content, writing)),
        _ => None,
    }
}

impl Draft<'_> {
    /// Does what an op of the commit does that is not this sequence's.
    fn follow(&mut self, op: &Op, index: u32, at: (&str, &str), naming: &Naming<'_>) {
        let Some(kind) = op.code.row().map(|row| row.kind).filter(|_| op.key == at.0) else { return };
        let is_here = op.path.as_deref() == Some(at.1);
        match kind {
            Kind::Reset(reset) if is_here => self.reset(&reset(&op.value), index, naming),
            Kind::Insert => {
                if let Some(value) = op.value.as_map().and_then(|map| map.get(at.1)) {
                    self.reset(value, index, naming);
                }
            }
            Kind::Remove => {
                self.characters.sequence.to_mut().clear();
                self.characters.shows = Shows::Nothing;
            }
            Kind::Append(_)
                if is_here && self.content == Content::Text && self.characters.shows != Shows::Other =>
            {
                let separator = op.options.get("separator").and_then(Value::as_text).unwrap_or_default();
                let text = op.value.as_text().unwrap_or_default();
                let (skip, len) = (number(separator.chars().count()), number(text.chars().count()));
                let sequence = self.characters.sequence.to_mut();
                let is_empty = sequence.len() == 0;
                naming.place(sequence, index, skip + len, Spot::Last);
                let mut chars = sequence.chars(naming.base + index);
                if is_empty {
                    chars.start = chars.start.plus(skip).min(chars.end);
                }
                sequence.show(chars, true);
                self.characters.shows = Shows::Sequence;
            }
            // What is made of a list by value has no identities.
            Kind::List(_) | Kind::Member(_) if is_here && self.content == Content::List => {
                self.characters.shows = Shows::Other;
            }
            Kind::Step(_)
            | Kind::Sum(..)
            | Kind::List(_)
            | Kind::Member(_)
            | Kind::Entries(_)
            | Kind::Append(_)
                if is_here && self.characters.shows == Shows::Nothing =>
            {
                self.characters.shows = Shows::Other;
            }
            Kind::Write(content, _)
                if is_here && content != self.content && self.characters.shows == Shows::Nothing =>
            {
                self.characters.shows = Shows::Other;
            }
            Kind::Reset(_)
            | Kind::Step(_)
            | Kind::Sum(..)
            | Kind::List(_)
            | Kind::Member(_)
            | Kind::Entries(_)
            | Kind::Append(_)
            | Kind::Write(..)
            | Kind::Move
            | Kind::Undo
            | Kind::Redo
            | Kind::Horizon
            | Kind::Origin
            | Kind::Rule(_) => {}
        }
    }

    fn reset(&mut self, value: &Value, index: u32, naming: &Naming<'_>) {
        let sequence = self.characters.sequence.to_mut();
        sequence.clear();
        self.characters.shows = Shows::Other;
        if let Some(len) = self.content.len(value) {
            naming.place(sequence, index, len, Spot::After(Char::START, Until::Given(None)));
            sequence.show(sequence.chars(naming.base + index), true);
            self.characters.shows = Shows::Sequence;
        }
    }

    /// What an op is to do at a range.
    fn plan(&self, op: &Op, content: Content, writing: Writing, range: Range) -> Result<Plan, EditFault> {
        if self.characters.shows == Shows::Other {
            let path = op.path.clone().unwrap_or_default();
            return Err(EditFault::NotWritten { key: op.key.clone(), path, content });
        }
        Plan::new(&self.characters.sequence, writing, range)
    }

    /// Gives an op the names of what it is about, and does what it does unless nothing follows. Gives the deletions that
    /// come before it because it cannot name all that goes.
    fn follow_plan(
        &mut self,
        op: &mut Op,
        (content, writing): (Content, Writing),
        plan: Plan,
        earlier: usize,
        naming: &Naming<'_>,
        is_last: bool,
    ) -> Vec<Op> {
        let sequence = &self.characters.sequence;
        let before = match writing.deletes() {
            true => naming.name_gone(op, sequence, content, &plan.gone),
            false => Vec::new(),
        };
        if let Some(item) = plan.item.and_then(|item| naming.element(sequence, item)) {
            op.options.insert("item".to_owned(), item.write(naming.own));
        }
        let len = if writing == Writing::Move { 1 } else { content.len(&op.value).unwrap_or(0) };
        let spot = plan.spot.filter(|_| len > 0);
        if let Some(spot) = spot {
            naming.anchors(sequence, spot).write(&mut op.options, naming.own);
        }
        let index = earlier + before.len();
        self.ops = index + 1;
        if !is_last {
            let sequence = self.characters.sequence.to_mut();
            plan.gone.into_iter().for_each(|gone| sequence.delete(gone, true));
            if let Some(spot) = spot {
                naming.place(sequence, number(index), len, spot);
                match (writing, plan.item) {
                    (Writing::Move, Some(item)) => {
                        sequence.carry(naming.base + number(index), item, true, |a, b| naming.compare(a, b));
                    }
                    (_, _) => sequence.show(sequence.chars(naming.base + number(index)), true),
                }
            }
            self.characters.shows = Shows::Sequence;
        }
        before
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a commit holds at most MESSAGE_OPS_MAX ops, of MESSAGE_BYTES_MAX")
}
