//! Runs of what shows of one op's characters or elements: text or lists, each with the offset of its first.

use crate::op::text::Content;
use crate::value::Value;

/// Adds to runs what shows at an offset behind them.
pub(crate) fn push_run(runs: &mut Vec<(u32, Value)>, from: u32, value: Value) {
    let len = |value: &Value| Content::Text.len(value).or(Content::List.len(value));
    match (
        runs.last_mut().filter(|(at, run)| len(run).and_then(|len| at.checked_add(len)) == Some(from)),
        value,
    ) {
        (Some((_, Value::Text(run))), Value::Text(text)) => run.push_str(&text),
        (Some((_, Value::List(run))), Value::List(mut list)) => run.append(&mut list),
        (_, value) => runs.push((from, value)),
    }
}

/// What is left of a run from which parts are taken.
#[derive(Clone, Copy)]
pub(super) enum Rest<'a> {
    Text(&'a str),
    List(&'a [Value]),
}

impl<'a> Rest<'a> {
    /// All of a run; of what is none, nothing.
    pub(super) fn of(run: &'a Value) -> Self {
        match (run.as_text(), run.as_list()) {
            (Some(text), _) => Self::Text(text),
            (None, list) => Self::List(list.unwrap_or_default()),
        }
    }

    pub(super) fn len(self) -> u64 {
        match self {
            Self::Text(text) => text.chars().count() as u64,
            Self::List(list) => list.len() as u64,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
        }
    }

    /// Takes up to so many from the front, and says how many there were.
    pub(super) fn take(&mut self, most: u64) -> (u64, Value) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        match self {
            Self::Text(text) => {
                let end = text.char_indices().nth(most).map_or(text.len(), |(byte, _)| byte);
                let (taken, rest) = text.split_at(end);
                *text = rest;
                (Self::Text(taken).len(), taken.into())
            }
            Self::List(list) => {
                let (taken, rest) = list.split_at(most.min(list.len()));
                *list = rest;
                (taken.len() as u64, Value::List(taken.to_vec()))
            }
        }
    }
}
