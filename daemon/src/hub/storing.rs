//! What the disk reports, and the end: what was accepted becomes durable before the daemon goes.

use std::collections::BTreeMap;

use rtc_core::api::{ApiError, Code};
use rtc_core::id::RoomId;
use rtc_core::room;
use rtc_core::store::StoreError;
use rtc_core::switchboard::Input;
use rtc_core::sync::LinkId;
use tokio::sync::mpsc;

use crate::hub::{Hub, STOP_WAIT};
use crate::store::thread::{Done, StoreThread};

impl Hub {
    pub(super) fn hear_store(&mut self, report: Done) {
        match report {
            Done::Committed { room, batch, took } => {
                self.metrics.commit(took);
                self.stored(room, batch);
                self.input(Input::Room { room, input: room::Input::Committed { batch } });
            }
            Done::Failed { room, batch, error } => {
                tracing::error!(%room, "the store failed: {error}");
                if !matches!(error, StoreError::Full) {
                    self.stored(room, batch);
                }
                self.input(Input::Room { room, input: room::Input::StoreFailed { batch, error } });
            }
            Done::Read { room, token, records } => {
                let records = records.unwrap_or_else(|error| {
                    tracing::error!(%room, "the store cannot be read: {error}");
                    Vec::new()
                });
                let link = LinkId(token);
                self.input(Input::Room { room, input: room::Input::Read { link, records } });
            }
            Done::Forgotten { room, result: Err(error) } => {
                tracing::error!(%room, "what is left of its history is not on the disk: {error}");
                let input = room::Input::StoreFailed { batch: u64::MAX, error };
                self.input(Input::Room { room, input });
            }
            Done::Forgotten { .. } => {}
            Done::FactSet { room, token, result } => {
                if let Err(error) = &result {
                    tracing::error!(%room, "a fact of the room is not remembered: {error}");
                }
                self.fact_set(token, result);
            }
            Done::Kept { room, result } => self.hear_kept(room, result),
            Done::Closed { room } => {
                self.rebuild_closed(room);
                self.leave_closed(room);
                self.sleep_closed(room);
            }
            Done::Opened { .. } => {}
        }
    }

    /// Without the store nothing can become durable any more, so whoever waits for that is better told by the end.
    pub(super) fn lose_store(&mut self) {
        tracing::error!("the store is gone, so the daemon stops; what was durable stays so");
        self.stopping = true;
    }

    /// Batches up to this one are no longer on their way.
    fn stored(&mut self, room: RoomId, batch: u64) {
        let later = self.unstored.split_off(&(room, batch.saturating_add(1)));
        let (gone, earlier_rooms): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.unstored).into_iter().partition(|((of, _), _)| *of == room);
        self.unstored_bytes -= gone.values().sum::<usize>();
        self.unstored = earlier_rooms;
        self.unstored.extend(later);
    }

    /// Lets the disk catch up with what was accepted.
    pub(super) async fn finish(mut self, done: &mut mpsc::UnboundedReceiver<Done>) -> StoreThread {
        self.flush();
        self.keep_all();
        // They read from the disk, which goes next.
        self.past = None;
        self.care.end();
        self.end_sleep();
        let joins = std::mem::take(&mut self.joins).into_iter().map(|join| join.call);
        let verifications = std::mem::take(&mut self.verifications).into_iter().map(|waiting| waiting.call);
        for call in joins.chain(verifications) {
            call.answer(Err(ApiError::new(Code::Stopping, "the daemon is stopping")));
        }
        let caught_up = async {
            while !self.unstored.is_empty() || self.is_keeping() {
                let Some(report) = done.recv().await else { return };
                self.hear_store(report);
            }
        };
        if tokio::time::timeout(STOP_WAIT, caught_up).await.is_err() {
            tracing::error!(
                "the disk did not catch up within {STOP_WAIT:?}; some accepted edits may not be durable"
            );
        }
        self.sleep_all();
        self.store
    }
}
