//! From what clients write to what travels: names become codes, positions among siblings become places, and what cannot have
//! an effect is refused with what to do instead.

mod draft;
mod error;
mod naming;
mod plain;
mod range;
mod text;
mod typing;

pub use error::{EditError, EditFault};

use super::row::{Kind, Row};
use super::{Known, Op, OpView, Options, nearest_name, row_named};
use crate::api::EditOp;
use crate::canonical::Writer;
use crate::clock::Stamp;
use crate::id::{Actor, Dot};
use crate::limits::{COMMIT_OPS_MAX, KEY_BYTES_MAX, PATH_BYTES_MAX};
use crate::raw::Raw;
use crate::replica::Replica;
use crate::value::Value;
pub(crate) use draft::Standing;
use draft::{Draft, Position};
pub(crate) use range::Range;
pub(crate) use text::Texts;

/// The message that edits are to become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Its lamport time.
    pub lamport: u64,
    /// Who makes it.
    pub actor: Actor,
    /// Its number.
    pub seq: u64,
}

/// Other names of options, from `vuer.rtc`.
const ALIASES: [(&str, &str); 2] = [("parentKey", "parent"), ("targetMsgId", "target")];
/// What `vuer.rtc` and `vuer-rtc` write as the path of operations that have none.
const NO_PATHS: [&str; 3] = ["", "_meta", "children"];
/// Options that become a place.
const POSITIONS: [&str; 3] = ["before", "after", "index"];

/// Turns a client's edits into the ops of one message. Each edit sees what those before it did. Usually each becomes one
/// op; a text that is typed or deleted by one edit after the other becomes one op, and a deletion of very scattered
/// characters several.
///
/// What comes back has an effect on the scene as it stands, as far as its shape, its options and the nodes it names go.
/// Whether the message fits [`crate::limits::MESSAGE_BYTES_MAX`] is for the caller to see, who encodes it.
pub fn compile(edits: &[EditOp], replica: &Replica, commit: Commit) -> Result<Vec<Op>, EditError> {
    if edits.is_empty() {
        return Err(EditError::Empty);
    }
    let own = Dot { actor: commit.actor, seq: commit.seq };
    let mut draft = Draft::new(replica);
    let mut ops = Vec::with_capacity(edits.len().min(COMMIT_OPS_MAX));
    for (index, edit) in (0..).zip(edits) {
        let is_last = index as usize + 1 == edits.len();
        if draft.texts.go_on(edit, &mut ops, own) {
            continue;
        }
        compile_one(edit, &mut draft, commit, &mut ops, is_last).map_err(|fault| EditError::Op {
            index,
            of: edits.len(),
            fault,
        })?;
        debug_assert!(ops.last().is_some_and(|op| op.resolve().is_ok()));
        if ops.len() > COMMIT_OPS_MAX {
            return Err(EditError::TooMany { ops: edits.len() });
        }
    }
    draft.texts.finish(&mut ops, own);
    if ops.len() > COMMIT_OPS_MAX {
        return Err(EditError::TooMany { ops: ops.len() });
    }
    Ok(ops)
}

/// An edit that became one op of the same row, key and path, and was written as it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    edit: &'a EditOp,
    known: Known<'a>,
    /// Where its argument begins, its options, and where it ends; each is there unless the next begins there too.
    value: usize,
    options: usize,
    end: usize,
}

impl<'a> Plain<'a> {
    fn write(edit: &'a EditOp, known: Known<'a>, writer: &mut Writer) -> Self {
        let EditOp { key, path, value, options, .. } = edit;
        let given = value.as_ref().unwrap_or(&Value::Null);
        let [value, options] = super::encode(known.row.code, key, path.as_deref(), given, options, writer);
        Self { edit, known, value, options, end: writer.len() }
    }

    /// The op, in what was written.
    pub(crate) fn view<'b>(&'b self, written: &'b [u8]) -> OpView<'b> {
        let Self { edit: EditOp { key, path, .. }, known, value, options, end } = *self;
        let part = |start, end, absent| {
            if start < end { Raw::of_checked(&written[start..end]) } else { absent }
        };
        let (value, options) = (part(value, options, Raw::NULL), part(options, end, Raw::EMPTY_MAP));
        let code = known.row.code;
        OpView { code, key, path: path.as_deref(), value, options, known: Some(known) }
    }
}

/// Writes the list of ops that [`compile`] makes of the edits. Gives the only one if its author knows it without reading it.
pub(crate) fn write<'a>(
    edits: &'a [EditOp],
    replica: &Replica,
    commit: Commit,
    writer: &mut Writer,
) -> Result<Option<Plain<'a>>, EditError> {
    let start = writer.len();
    if let Some(row) = edits.first().and_then(|edit| row_named(&edit.otype)) {
        if let Some(typed) = typing::write(edits, row, replica, commit, writer) {
            return Ok(typed);
        }
        writer.truncate(start);
        if let [edit] = edits
            && let Some(named) = plain::named(edit, row, replica)
        {
            writer.array(1);
            return Ok(Some(Plain::write(edit, Known { row, cell: None, named: Some(named) }, writer)));
        }
    }
    if (1..=COMMIT_OPS_MAX).contains(&edits.len()) {
        writer.array(edits.len());
        let mut last = None;
        let mut plain = edits.iter().map(|edit| write_plain(edit, replica, writer));
        if plain.all(|plain| {
            last = plain;
            plain.is_some()
        }) {
            return Ok(last.filter(|_| edits.len() == 1));
        }
        writer.truncate(start);
    }
    let ops = compile(edits, replica, commit)?;
    writer.array(ops.len());
    ops.iter().for_each(|op| op.encode(writer));
    Ok(None)
}

/// Writes an edit that is an op as it stands: one without options, of a property of a live node, that is no writing between
/// characters. Nothing where it is not one; nearly all are.
fn write_plain<'a>(edit: &'a EditOp, replica: &Replica, writer: &mut Writer) -> Option<Plain<'a>> {
    let EditOp { otype, key, path, value, options } = edit;
    let row = row_named(otype)?;
    let path = path.as_ref().filter(|_| options.is_empty())?;
    let value = value.as_ref().unwrap_or(&Value::Null);
    let is_plain = row.kind.is_property()
        && !matches!(row.kind, Kind::Write(..))
        && row.option("separator").is_none()
        && (1..=PATH_BYTES_MAX).contains(&path.len())
        && row.argument.check(value).is_ok();
    let cell = replica.property_number(key, path).filter(|_| is_plain)?;
    Some(Plain::write(edit, Known { row, cell, named: None }, writer))
}

/// Puts what an edit becomes behind the ops before it: one op, or more where it deletes much.
fn compile_one(
    edit: &EditOp,
    draft: &mut Draft<'_>,
    commit: Commit,
    ops: &mut Vec<Op>,
    is_last: bool,
) -> Result<(), EditFault> {
    let index = u32::try_from(ops.len()).expect("a commit holds at most COMMIT_OPS_MAX edits");
    let stamp = Stamp { lamport: commit.lamport, actor: commit.actor, seq: commit.seq, index };
    let unknown =
        || EditFault::UnknownOperation { name: edit.otype.clone(), nearest: nearest_name(&edit.otype) };
    let row = row_named(&edit.otype).ok_or_else(unknown)?;
    let mut op = Op {
        code: row.code,
        key: key(edit, row)?,
        path: path(edit, row)?,
        value: edit.value.clone().unwrap_or_default(),
        options: edit
            .options
            .iter()
            .map(|(name, value)| (unaliased(name).to_owned(), value.clone()))
            .collect(),
    };
    split_separator(row, &mut op);
    let position = take_position(row, &mut op.options)?;
    let range = Range::take(row, &mut op)?;
    check_shapes(row, &op)?;
    match row.kind {
        Kind::Write(..) => {
            draft.expect_live(&op.key)?;
            let before = draft.texts.compile(&mut op, range, ops, stamp, is_last)?;
            ops.extend(before);
        }
        Kind::Reset(_)
        | Kind::Step(_)
        | Kind::Sum(..)
        | Kind::List(_)
        | Kind::Append(_)
        | Kind::Member(_)
        | Kind::Entries(_) => draft.expect_live(&op.key)?,
        Kind::Insert => insert(&mut op, position, draft, stamp)?,
        Kind::Remove => draft.remove(&op.key)?,
        Kind::Move => move_node(&mut op, position, draft, stamp)?,
        Kind::Undo | Kind::Redo => target(row, &mut op, draft.replica)?,
        Kind::Horizon | Kind::Origin | Kind::Rule(_) => return Err(EditFault::Reserved { row }),
    }
    ops.push(op);
    Ok(())
}

fn unaliased(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

fn key(edit: &EditOp, row: &'static Row) -> Result<String, EditFault> {
    if row.kind.is_meta() {
        return Ok(String::new());
    }
    match edit.key.len() {
        0 => Err(EditFault::KeyMissing),
        1..=KEY_BYTES_MAX => Ok(edit.key.clone()),
        bytes => Err(EditFault::KeyTooLong { bytes }),
    }
}

fn path(edit: &EditOp, row: &'static Row) -> Result<Option<String>, EditFault> {
    let path = edit.path.as_deref();
    if !row.kind.is_property() {
        return match path {
            None => Ok(None),
            Some(path) if NO_PATHS.contains(&path) => Ok(None),
            Some(_) => Err(EditFault::PathUnexpected { row }),
        };
    }
    match path {
        None | Some("") => Err(EditFault::PathMissing { row }),
        Some(path) => check_path(path).map(|()| Some(path.to_owned())),
    }
}

fn check_path(path: &str) -> Result<(), EditFault> {
    match path.len() {
        ..=PATH_BYTES_MAX => Ok(()),
        bytes => Err(EditFault::PathTooLong { bytes }),
    }
}

/// `string.concat` also comes as `{value, separator}`.
fn split_separator(row: &Row, op: &mut Op) {
    if row.option("separator").is_none() {
        return;
    }
    if let Value::Map(map) = &mut op.value {
        if let Some(separator) = map.remove("separator") {
            op.options.entry("separator".to_owned()).or_insert(separator);
        }
        if let Some(value) = map.remove("value").filter(|_| map.is_empty()) {
            op.value = value;
        }
    }
}

/// Takes `before`, `after` and `index` out of the options: they become a place.
fn take_position(row: &'static Row, options: &mut Options) -> Result<Option<Position>, EditFault> {
    if row.option("place").is_none() {
        return Ok(None);
    }
    let given: Vec<(&str, Value)> =
        POSITIONS.iter().filter_map(|&name| Some((name, options.remove(name)?))).collect();
    let [(name, value)] = &given[..] else {
        let clash = given.len() > 1;
        return if clash { Err(EditFault::PositionTwice) } else { Ok(None) };
    };
    if options.contains_key("place") {
        return Err(EditFault::PositionTwice);
    }
    let index = || match value {
        Value::Number(number) => number.as_integer().and_then(|index| usize::try_from(index).ok()),
        _ => None,
    };
    let position = match *name {
        "before" => value.as_text().map(|key| Position::Before(key.to_owned())),
        "after" => value.as_text().map(|key| Position::After(key.to_owned())),
        _ => index().map(Position::Index),
    };
    position.map(Some).ok_or(EditFault::BadPosition)
}

fn check_shapes(row: &'static Row, op: &Op) -> Result<(), EditFault> {
    row.argument
        .check(&op.value)
        .map_err(|error| EditFault::BadArgument { row, expected: error.expected })?;
    for (name, value) in &op.options {
        let option = row.option(name).ok_or_else(|| EditFault::UnknownOption { row, name: name.clone() })?;
        // A target may be shorter than a whole id; it is looked up.
        let shape = if option.name == "target" { super::Shape::Text } else { option.shape };
        shape.check(value).map_err(|_| EditFault::BadOption { name: option.name, expected: shape })?;
    }
    if matches!(row.kind, Kind::Insert) {
        let mut paths = op.value.as_map().into_iter().flat_map(|map| map.keys());
        paths.try_for_each(|path| check_path(path))?;
    }
    Ok(())
}

fn text(options: &Options, name: &str) -> Option<String> {
    options.get(name).and_then(Value::as_text).map(str::to_owned)
}

fn insert(
    op: &mut Op,
    position: Option<Position>,
    draft: &mut Draft<'_>,
    stamp: Stamp,
) -> Result<(), EditFault> {
    let named = text(&op.options, "parent");
    let named = named.map(|parent| draft.expect_parent(&parent)).transpose()?;
    if draft.is_live(&op.key) {
        // Tag, parent and place stay; only the properties count.
        return Ok(());
    }
    let parent = named.or_else(|| draft.parent_of_sibling(position.as_ref())).unwrap_or(Replica::ROOT);
    if parent != Replica::ROOT && named.is_none() {
        op.options.insert("parent".to_owned(), draft.key(parent).into());
    }
    let node = draft.mention(&op.key);
    let place = match position {
        Some(position) => Some(draft.place(node, parent, &position, stamp)?),
        None => op.options.get("place").and_then(|place| crate::place::Place::read(place, stamp)),
    };
    if let Some(place) = &place {
        op.options.insert("place".to_owned(), place.write());
    }
    draft.put(node, parent, place, stamp);
    Ok(())
}

fn move_node(
    op: &mut Op,
    position: Option<Position>,
    draft: &mut Draft<'_>,
    stamp: Stamp,
) -> Result<(), EditFault> {
    let node = draft.expect_movable(&op.key)?;
    let current = draft.parent(node).ok_or(EditFault::RootFixed)?;
    if text(&op.options, "parent").is_none() {
        // Beside a node under another parent: that parent is meant.
        let meant = draft.parent_of_sibling(position.as_ref()).filter(|parent| *parent != current);
        op.options.extend(meant.map(|parent| ("parent".to_owned(), draft.key(parent).into())));
    }
    let mut parent = current;
    if let Some(named) = text(&op.options, "parent") {
        parent = draft.expect_parent(&named)?;
        if draft.is_under(parent, node) {
            return Err(EditFault::Cycle { key: op.key.clone(), parent: named });
        }
    }
    if let Some(position) = position {
        let place = draft.place(node, parent, &position, stamp)?;
        op.options.insert("place".to_owned(), place.write());
    }
    if op.options.is_empty() {
        return Err(EditFault::Nowhere);
    }
    let place = op.options.get("place").and_then(|place| crate::place::Place::read(place, stamp));
    draft.relocate(node, parent, place);
    Ok(())
}

fn target(row: &'static Row, op: &mut Op, replica: &Replica) -> Result<(), EditFault> {
    let text = text(&op.options, "target").ok_or(EditFault::TargetMissing { row })?;
    let dot = replica.find(&text).map_err(|error| EditFault::Target { text: text.clone(), error })?;
    if !replica.is_undoable(&dot) {
        return Err(EditFault::NotUndoable { dot });
    }
    op.options.insert("target".to_owned(), dot.to_string().into());
    Ok(())
}

#[cfg(test)]
mod tests;
