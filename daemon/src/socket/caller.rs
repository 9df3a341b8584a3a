//! The hub's hold on one client: answers and events go in here, and nothing here waits.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtc_core::api::{Answer, Event, Reply};
use tokio::sync::Notify;

use super::outbox::{Budget, Next, Outbox};
use super::{SessionId, encoded};

/// One client, as the hub sees it. Clones are the same client; when it is gone, what is said to it is dropped.
#[derive(Clone)]
pub struct Caller {
    shared: Arc<Shared>,
}

struct Shared {
    session: SessionId,
    // A lock rather than a channel, because what is full decides what is dropped. It is held for pushing or taking a
    // few frames, never across an await, so the hub does not wait for a client through it.
    outbox: Mutex<Outbox>,
    /// Something can be written, or the end was said.
    writable: Notify,
    /// A request may be read again, or all were answered.
    readable: Notify,
}

impl Caller {
    pub(super) fn new(session: SessionId, budget: Budget) -> Self {
        let outbox = Mutex::new(Outbox::new(budget));
        let shared = Shared { session, outbox, writable: Notify::new(), readable: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Which session this is.
    pub fn session(&self) -> SessionId {
        self.shared.session
    }

    /// Queues answers; never waits. An answer without `more`, and [`Reply::Watching`], settles its request: until it
    /// is written the request counts among those the session has under way.
    pub fn answer(&self, answers: Vec<Answer>) {
        let frames: Vec<_> = answers.iter().map(|answer| (encoded(answer), settles(answer))).collect();
        let mut outbox = self.outbox();
        for (bytes, ends) in frames {
            outbox.answer(bytes, ends);
        }
        drop(outbox);
        self.shared.writable.notify_one();
    }

    /// Queues an event of the subscription that the request `watch` began; never waits. Where the client is too slow
    /// the event is dropped, and a notice says so before the subscription's next one.
    pub fn event(&self, watch: u64, event: &Event) {
        // Copied only where it is not dropped.
        self.outbox().event(watch, || event_frame(watch, event.clone()));
        self.shared.writable.notify_one();
    }

    /// Says that the subscription `watch` ends: no notice of dropped events follows.
    pub fn unwatch(&self, watch: u64) {
        self.outbox().unwatch(watch);
    }

    /// Notes a request; false where one with that id is under way.
    pub(super) fn begin(&self, id: u64) -> bool {
        self.outbox().begin(id)
    }

    /// Returns when another request may be read.
    pub(super) async fn takes_requests(&self) {
        while !self.outbox().takes_requests() {
            self.shared.readable.notified().await;
        }
    }

    /// Returns when every request is answered, and the answers are written.
    pub(super) async fn answered(&self) {
        while !self.outbox().is_answered() {
            self.shared.readable.notified().await;
        }
    }

    /// What to write next, and which requests that settles; nothing at the end.
    pub(super) async fn next(&self) -> Option<(Vec<u8>, Vec<u64>)> {
        loop {
            let lagged = |watch, dropped| event_frame(watch, Event::Lagged { dropped });
            let next = self.outbox().next(lagged);
            match next {
                Next::Write { bytes, answered } => return Some((bytes, answered)),
                Next::Wait => self.shared.writable.notified().await,
                Next::End => return None,
            }
        }
    }

    /// Notes that what [`Self::next`] gave was written.
    pub(super) fn written(&self, answered: &[u64]) {
        self.outbox().answered(answered);
        self.shared.readable.notify_one();
    }

    /// Lets [`Self::next`] end once everything is written.
    pub(super) fn finish(&self) {
        self.outbox().finish();
        self.shared.writable.notify_one();
    }

    /// Ends at once.
    pub(super) fn close(&self) {
        self.outbox().close();
        self.shared.writable.notify_one();
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Whoever panicked while holding it left at worst an answer out.
        self.shared.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.shared.session.0)
    }
}

fn event_frame(watch: u64, event: Event) -> Vec<u8> {
    encoded(&Answer { id: watch, more: true, result: Ok(Reply::Event(event)) })
}

fn settles(answer: &Answer) -> Option<u64> {
    (!answer.more || matches!(answer.result, Ok(Reply::Watching {}))).then_some(answer.id)
}
