//! `cola`: a text's structure; the text itself is its users' to keep.
//!
//! What travels are its insertions and deletions in postcard, with the text beside them. What they do to the text is noted
//! down, and done to a rope when somebody reads: no speed of cola contains that.

use anyhow::{Context, Result, anyhow};
use cola::{Deletion, EncodedReplica, Insertion, Replica};
use jumprope::JumpRope;
use serde::{Deserialize, Serialize};

use super::{Ability, Engine};
use crate::trace::Splice;

/// Whose forks all replicas are: they must have one origin.
const FOUNDER: u64 = u64::MAX;

/// The engine.
pub(super) struct Cola;

impl Engine for Cola {
    fn name(&self) -> &'static str {
        "cola"
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Text
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        let replica = Replica::new(FOUNDER, 0).fork(u64::from(number));
        Box::new(ColaReplica::of(replica, String::new()))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        let File { replica, text } = postcard::from_bytes(saved)?;
        let replica = Replica::decode(u64::from(number), &EncodedReplica::from_bytes(&replica));
        Ok(Box::new(ColaReplica::of(replica.map_err(|error| anyhow!("{error}"))?, text)))
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    replica: Vec<u8>,
    text: String,
}

#[derive(Serialize, Deserialize)]
enum Change {
    Insertion(Insertion, String),
    Deletion(Deletion),
}

struct ColaReplica {
    replica: Replica,
    /// The text as it was, and what has become of it since.
    text: String,
    done: Vec<Splice>,
    /// What was made here and others lack.
    unsent: Vec<Change>,
}

impl ColaReplica {
    fn of(replica: Replica, text: String) -> Self {
        Self { replica, text, done: Vec::new(), unsent: Vec::new() }
    }

    fn take(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Insertion(insertion, inserted) => {
                let at = self.replica.integrate_insertion(&insertion).context("its past is missing")?;
                self.done.push(Splice { at, deleted: 0, inserted });
            }
            Change::Deletion(deletion) => {
                // From the last on, so that none moves those before it.
                for range in self.replica.integrate_deletion(&deletion).into_iter().rev() {
                    self.done.push(Splice { at: range.start, deleted: range.len(), inserted: String::new() });
                }
            }
        }
        Ok(())
    }
}

impl super::Replica for ColaReplica {
    fn create_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn find_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        for splice in splices {
            let Splice { at, deleted, inserted } = splice;
            if *deleted > 0 {
                self.unsent.push(Change::Deletion(self.replica.deleted(*at..at + deleted)));
            }
            if !inserted.is_empty() {
                let insertion = self.replica.inserted(*at, inserted.chars().count());
                self.unsent.push(Change::Insertion(insertion, inserted.clone()));
            }
            self.done.push(splice.clone());
        }
        Ok(())
    }

    fn text(&self) -> Result<String> {
        let mut text = JumpRope::from(self.text.as_str());
        self.done.iter().for_each(|splice| splice.apply(&mut text));
        Ok(text.to_string())
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let bytes = postcard::to_allocvec(&self.unsent)?;
        self.unsent.clear();
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        let changes: Vec<Change> = postcard::from_bytes(updates)?;
        changes.into_iter().try_for_each(|change| self.take(change))
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        let replica = self.replica.encode().as_bytes().to_vec();
        Ok(postcard::to_allocvec(&File { replica, text: super::Replica::text(self)? })?)
    }
}
