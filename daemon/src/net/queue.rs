//! The way out of the hub: two bounded queues per link. Sending never waits; what does not fit is told so.

use std::sync::Arc;

use rtc_core::limits::FRAME_BYTES_MAX;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Lane;
use super::limits::{BULK_FRAMES_MAX, LANE_BYTES_MAX, LIVE_FRAMES_MAX};

/// Why a frame was not queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The peer is slower than we are: drop the frame and let sync repair it.
    #[error("the queue to the peer is full")]
    Full,
    /// The link is down.
    #[error("the link is closed")]
    Closed,
    /// No frame may be this long.
    #[error("frame of {frame_bytes} bytes exceeds {FRAME_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        frame_bytes: usize,
    },
}

/// Sends frames over one link; clones share its queues.
#[derive(Clone, Debug)]
pub struct LinkSender {
    live: LaneSender,
    bulk: LaneSender,
}

impl LinkSender {
    /// Queues `frame` behind those of its lane, in order. Never waits.
    pub fn try_send(&self, lane: Lane, frame: Vec<u8>) -> Result<(), SendError> {
        match lane {
            Lane::Live => self.live.try_send(frame),
            Lane::Bulk => self.bulk.try_send(frame),
        }
    }

    /// Bytes of `lane` that wait to be written.
    pub fn queued_bytes(&self, lane: Lane) -> usize {
        let lane = match lane {
            Lane::Live => &self.live,
            Lane::Bulk => &self.bulk,
        };
        LANE_BYTES_MAX - lane.budget.available_permits()
    }
}

#[derive(Clone, Debug)]
struct LaneSender {
    frames: mpsc::Sender<Queued>,
    /// One permit per byte: a queue of few large frames is as bounded as one of many small ones.
    budget: Arc<Semaphore>,
}

impl LaneSender {
    fn try_send(&self, frame: Vec<u8>) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge { frame_bytes: frame.len() });
        }
        let bytes = u32::try_from(frame.len()).expect("a frame's length fits, by its limit");
        let slot = self.frames.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => SendError::Full,
            TrySendError::Closed(()) => SendError::Closed,
        })?;
        let budget = Arc::clone(&self.budget).try_acquire_many_owned(bytes).map_err(|_| SendError::Full)?;
        slot.send(Queued { frame, budget });
        Ok(())
    }
}

/// A frame that waits; its bytes count until it is dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    /// The frame's bytes.
    pub(crate) frame: Vec<u8>,
    /// Given back when the frame is on its way.
    pub(crate) budget: OwnedSemaphorePermit,
}

/// The writer's end of both queues.
#[derive(Debug)]
pub(crate) struct LinkQueues {
    live: mpsc::Receiver<Queued>,
    bulk: mpsc::Receiver<Queued>,
}

/// The two ends of a link's queues.
pub(crate) fn link_queues() -> (LinkSender, LinkQueues) {
    let (live_tx, live) = mpsc::channel(LIVE_FRAMES_MAX);
    let (bulk_tx, bulk) = mpsc::channel(BULK_FRAMES_MAX);
    let lane = |frames| LaneSender { frames, budget: Arc::new(Semaphore::new(LANE_BYTES_MAX)) };
    (LinkSender { live: lane(live_tx), bulk: lane(bulk_tx) }, LinkQueues { live, bulk })
}

impl LinkQueues {
    /// The next frame of `lane` if one waits.
    pub(crate) fn pop(&mut self, lane: Lane) -> Option<Queued> {
        let queue = match lane {
            Lane::Live => &mut self.live,
            Lane::Bulk => &mut self.bulk,
        };
        queue.try_recv().ok()
    }

    /// Waits for a frame of either lane, live first; for ever where no sender is left, since the link may still
    /// receive.
    pub(crate) async fn wait(&mut self) -> (Lane, Queued) {
        tokio::select! {
            biased;
            Some(queued) = self.live.recv() => (Lane::Live, queued),
            Some(queued) = self.bulk.recv() => (Lane::Bulk, queued),
            else => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_so_and_has_room_again_once_read() {
        let (sender, mut queues) = link_queues();
        for (lane, limit) in [(Lane::Live, LIVE_FRAMES_MAX), (Lane::Bulk, BULK_FRAMES_MAX)] {
            for _ in 0..limit {
                sender.try_send(lane, vec![0]).unwrap();
            }
            assert_eq!(sender.try_send(lane, vec![0]), Err(SendError::Full));
            drop(queues.pop(lane).unwrap());
            assert_eq!(sender.try_send(lane, vec![0]), Ok(()));
        }
        drop(queues);
        assert_eq!(sender.try_send(Lane::Live, vec![0]), Err(SendError::Closed));
    }

    #[test]
    fn few_large_frames_fill_a_queue_too() {
        let (sender, mut queues) = link_queues();
        let large = || vec![0; FRAME_BYTES_MAX];
        sender.try_send(Lane::Bulk, large()).unwrap();
        assert_eq!(sender.try_send(Lane::Bulk, large()), Err(SendError::Full));
        assert_eq!(sender.queued_bytes(Lane::Bulk), FRAME_BYTES_MAX);
        drop(queues.pop(Lane::Bulk));
        assert_eq!(sender.try_send(Lane::Bulk, large()), Ok(()));
        let frame_bytes = FRAME_BYTES_MAX + 1;
        assert_eq!(
            sender.try_send(Lane::Bulk, vec![0; frame_bytes]),
            Err(SendError::TooLarge { frame_bytes })
        );
    }
}
