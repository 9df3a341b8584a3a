//! What people typed: recorded traces where they are there, else generated ones of their shape.
//!
//! A recorded trace is gzipped JSON: transactions of `[position, deleted, inserted]` that see one another in order, or by
//! their `parents` and `agent` where several typed at once; and the text they end in. Positions count Unicode scalar values.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use jumprope::JumpRope;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::typing;

/// Characters go, then others come in their place.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(from = "(usize, usize, String)")]
pub struct Splice {
    /// The position, in Unicode scalar values.
    pub at: usize,
    /// How many go.
    pub deleted: usize,
    /// What comes.
    pub inserted: String,
}

impl From<(usize, usize, String)> for Splice {
    fn from((at, deleted, inserted): (usize, usize, String)) -> Self {
        Self { at, deleted, inserted }
    }
}

impl Splice {
    /// Does it to the model of a text.
    pub fn apply(&self, text: &mut JumpRope) {
        text.remove(self.at..self.at + self.deleted);
        text.insert(self.at, &self.inserted);
    }
}

/// What one person typed.
pub struct Trace {
    /// The splices, each of which sees those before it.
    pub splices: Vec<Splice>,
    /// What the text reads after them.
    pub end: String,
}

/// What several people typed at once.
pub struct Session {
    /// Their turns; those that one sees come before it. Each person sees the own earlier ones.
    pub turns: Vec<Turn>,
    /// What the text reads in the end, if that is recorded.
    pub end: Option<String>,
}

/// What one person typed as one transaction.
#[derive(Deserialize)]
pub struct Turn {
    /// Who, from 0.
    #[serde(rename = "agent")]
    pub author: usize,
    /// The turns it has seen, and with them what they have seen.
    pub parents: Vec<usize>,
    /// What was typed.
    #[serde(rename = "patches")]
    pub splices: Vec<Splice>,
}

/// A trace of one person and the shape of what stands in for it.
pub struct Alone {
    /// Its file without `.json.gz`.
    pub name: &'static str,
    /// How many splices it has.
    pub splices: usize,
    /// Characters that one splice inserts at most.
    pub pasted_max: u32,
    /// What all of it, saved, is to stay below, if that is set.
    pub saved_kb: Option<f64>,
}

/// A trace of several people and the shape of what stands in for it.
pub struct Together {
    /// Its file without `.json.gz`.
    pub name: &'static str,
    /// How many turns it has.
    pub turns: usize,
    /// How many people.
    pub authors: usize,
}

/// What one person typed.
pub const ALONE: [Alone; 3] = [
    Alone { name: "automerge-paper", splices: 259_778, pasted_max: 1, saved_kb: Some(106.0) },
    Alone { name: "sveltecomponent", splices: 19_749, pasted_max: 14_888, saved_kb: None },
    Alone { name: "rustcode", splices: 40_173, pasted_max: 69_106, saved_kb: None },
];
/// What several people typed at once.
pub const TOGETHER: [Together; 2] = [
    Together { name: "friendsforever", turns: 26_078, authors: 2 },
    Together { name: "clownschool", turns: 23_136, authors: 3 },
];

impl Alone {
    /// The first `limit` splices, or generated ones where the folder has none.
    pub fn read(&self, folder: &Path, limit: usize, seed: u64) -> Result<Trace> {
        let mut splices = match read::<RecordedAlone>(folder, self.name)? {
            Some(recorded) => {
                let splices = recorded.splices();
                ensure!(model(&splices) == recorded.end_content, "{} does not end as it says", self.name);
                splices
            }
            None => typing::alone(seed, self.splices.min(limit), self.pasted_max),
        };
        splices.truncate(limit);
        Ok(Trace { end: model(&splices), splices })
    }
}

impl Together {
    /// The first `limit` turns, or generated ones where the folder has none.
    pub fn read(&self, folder: &Path, limit: usize, seed: u64) -> Result<Session> {
        let Some(mut recorded) = read::<RecordedTogether>(folder, self.name)? else {
            return Ok(Session {
                turns: typing::together(seed, self.turns.min(limit), self.authors),
                end: None,
            });
        };
        let is_whole = recorded.txns.len() <= limit;
        recorded.txns.truncate(limit);
        Ok(Session { turns: recorded.txns, end: is_whole.then_some(recorded.end_content) })
    }
}

/// The traces that are not in the folder.
pub fn missing(folder: &Path) -> Vec<&'static str> {
    let names = ALONE.iter().map(|trace| trace.name).chain(TOGETHER.iter().map(|trace| trace.name));
    names.filter(|name| !file(folder, name).exists()).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedAlone {
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<Splice>,
}

impl RecordedAlone {
    fn splices(&self) -> Vec<Splice> {
        let start = Splice { at: 0, deleted: 0, inserted: self.start_content.clone() };
        let start = (!start.inserted.is_empty()).then_some(start);
        start.into_iter().chain(self.txns.iter().flat_map(|txn| txn.patches.iter().cloned())).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedTogether {
    end_content: String,
    txns: Vec<Turn>,
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json.gz"))
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>> {
    let path = file(folder, name);
    if !path.exists() {
        return Ok(None);
    }
    let read = || -> Result<T> {
        let mut json = Vec::new();
        GzDecoder::new(File::open(&path)?).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    };
    read().map(Some).with_context(|| format!("cannot read {}", path.display()))
}

/// What the splices make of an empty text.
pub fn model(splices: &[Splice]) -> String {
    let mut text = JumpRope::new();
    splices.iter().for_each(|splice| splice.apply(&mut text));
    text.to_string()
}
