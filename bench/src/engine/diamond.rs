//! `diamond-types`: a text, with positions in its history; messages that miss one another are replayed.

use anyhow::{Result, anyhow};
use diamond_types::list::ListCRDT;
use diamond_types::list::encoding::{ENCODE_FULL, ENCODE_PATCH};
use diamond_types::{AgentId, LocalVersion};

use super::{Ability, Engine};
use crate::trace::Splice;

/// The engine.
pub(super) struct DiamondTypes;

impl Engine for DiamondTypes {
    fn name(&self) -> &'static str {
        "diamond"
    }

    fn can(&self, ability: Ability) -> bool {
        ability == Ability::Text
    }

    fn create(&self, number: u8) -> Box<dyn super::Replica> {
        Box::new(DiamondReplica::of(ListCRDT::new(), number))
    }

    fn load(&self, number: u8, saved: &[u8]) -> Result<Box<dyn super::Replica>> {
        let list = ListCRDT::load_from(saved).map_err(|error| anyhow!("{error}"))?;
        Ok(Box::new(DiamondReplica::of(list, number)))
    }
}

struct DiamondReplica {
    list: ListCRDT,
    agent: AgentId,
    known: LocalVersion,
}

impl DiamondReplica {
    fn of(mut list: ListCRDT, number: u8) -> Self {
        let agent = list.get_or_create_agent_id(&number.to_string());
        let known = list.oplog.local_version();
        Self { list, agent, known }
    }
}

impl super::Replica for DiamondReplica {
    fn create_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn find_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn splice(&mut self, splices: &[Splice]) -> Result<()> {
        for Splice { at, deleted, inserted } in splices {
            if *deleted > 0 {
                self.list.delete_without_content(self.agent, *at..at + deleted);
            }
            if !inserted.is_empty() {
                self.list.insert(self.agent, *at, inserted);
            }
        }
        Ok(())
    }

    fn text(&self) -> Result<String> {
        Ok(self.list.branch.content().to_string())
    }

    fn updates(&mut self) -> Result<Vec<u8>> {
        let bytes = self.list.oplog.encode_from(ENCODE_PATCH, &self.known);
        self.known = self.list.oplog.local_version();
        Ok(bytes)
    }

    fn merge(&mut self, updates: &[u8]) -> Result<()> {
        self.list.merge_data_and_ff(updates).map_err(|error| anyhow!("{error}"))?;
        self.known = self.list.oplog.local_version();
        Ok(())
    }

    fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.list.oplog.encode(ENCODE_FULL))
    }
}
