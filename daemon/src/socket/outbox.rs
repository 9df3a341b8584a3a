//! What waits to be written to one client: answers and events in one line, each kind with its own bound.
//!
//! Pure: no task, no socket. Answers are bounded by the requests that may be under way; events beyond the bound are
//! dropped and counted, and the client is told how many as soon as there is room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rtc_core::limits::{REQUESTS_IN_FLIGHT_MAX, SUBSCRIBER_EVENTS_MAX};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of events that wait for one client; large events must not cost more than many.
pub(super) const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of answers that wait while further requests are still read.
pub(super) const ANSWER_BYTES_BUSY: usize = 1024 * 1024;
/// Bytes of answers after which a client that does not read them is let go. One answer may still exceed it.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of answers that wait for all clients together; past that, those that do not read are let go. Who reads is served all the same.
pub(super) const ALL_ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes that are written in one go.
const WRITE_BYTES: usize = 64 * 1024;

/// Room for the answers of all clients. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_ANSWER_BYTES_MAX)))
    }
}

impl Budget {
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    budget: Budget,
    frames: VecDeque<Frame>,
    answer_bytes: usize,
    event_bytes: usize,
    events: usize,
    /// Of each subscription, events dropped that it was not told of.
    dropped: BTreeMap<u64, u64>,
    /// Requests whose last answer was not yet written.
    under_way: BTreeSet<u64>,
    /// How this ends, once it does.
    end: Option<End>,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    kind: Kind,
    /// Given back when it is on its way, or dropped.
    _share: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Kind {
    /// To a request; to be crossed off when this is its last.
    Answer {
        ends: Option<u64>,
    },
    Event,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// What is queued is still written.
    Finishing,
    /// Nothing more is written.
    Closed,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write these bytes, then cross off these requests.
    Write { bytes: Vec<u8>, answered: Vec<u64> },
    /// Wait for something to write.
    Wait,
    /// There will be no more.
    End,
}

impl Outbox {
    /// Nothing waits yet; what will takes its part of `budget`.
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Notes that request `id` is under way; false where one with that id already is.
    pub(super) fn begin(&mut self, id: u64) -> bool {
        self.under_way.insert(id)
    }

    /// Whether another request may be read now.
    pub(super) fn takes_requests(&self) -> bool {
        self.under_way.len() < REQUESTS_IN_FLIGHT_MAX && self.answer_bytes < ANSWER_BYTES_BUSY
    }

    /// Whether every request was answered, and the answers written.
    pub(super) fn is_answered(&self) -> bool {
        self.under_way.is_empty() && self.answer_bytes == 0
    }

    /// Queues the frame of an answer, which is the last to the request `ends`, if to one.
    pub(super) fn answer(&mut self, bytes: Vec<u8>, ends: Option<u64>) {
        if self.end == Some(End::Closed) {
            return;
        }
        let share = self.budget.take(bytes.len());
        let is_deaf = self.answer_bytes > ANSWER_BYTES_BUSY && share.is_none();
        if is_deaf || self.answer_bytes > ANSWER_BYTES_MAX {
            return self.close();
        }
        self.answer_bytes += bytes.len();
        self.frames.push_back(Frame { bytes, kind: Kind::Answer { ends }, _share: share });
    }

    /// Queues an event of the subscription `watch`, or drops and counts it. `encode` runs only where it is needed.
    pub(super) fn event(&mut self, watch: u64, encode: impl FnOnce() -> Vec<u8>) {
        if self.end.is_some() {
            return;
        }
        // Once one was dropped, the next thing this subscription hears is how many.
        let full = self.events >= SUBSCRIBER_EVENTS_MAX || self.event_bytes >= EVENT_BYTES_MAX;
        if full || self.dropped.contains_key(&watch) {
            *self.dropped.entry(watch).or_insert(0) += 1;
            return;
        }
        self.push_event(encode());
    }

    /// Forgets what was dropped of the subscription `watch`, which ends.
    pub(super) fn unwatch(&mut self, watch: u64) {
        self.dropped.remove(&watch);
    }

    /// Takes what is to be written next. `lagged` makes the notice to a subscription of how many events it missed.
    pub(super) fn next(&mut self, lagged: impl Fn(u64, u64) -> Vec<u8>) -> Next {
        if self.end == Some(End::Closed) {
            return Next::End;
        }
        let (mut bytes, mut answered) = (Vec::new(), Vec::new());
        while bytes.len() < WRITE_BYTES
            && let Some(frame) = self.frames.pop_front()
        {
            match frame.kind {
                Kind::Answer { ends } => {
                    self.answer_bytes -= frame.bytes.len();
                    answered.extend(ends);
                }
                Kind::Event => {
                    self.event_bytes -= frame.bytes.len();
                    self.events -= 1;
                }
            }
            if bytes.is_empty() {
                bytes = frame.bytes;
            } else {
                bytes.extend_from_slice(&frame.bytes);
            }
        }
        self.tell_of_dropped(lagged);
        match (bytes.is_empty(), self.end) {
            (false, _) => Next::Write { bytes, answered },
            (true, None) => Next::Wait,
            (true, Some(End::Finishing | End::Closed)) => Next::End,
        }
    }

    /// Crosses off requests whose last answer was written.
    pub(super) fn answered(&mut self, requests: &[u64]) {
        for id in requests {
            self.under_way.remove(id);
        }
    }

    /// Takes no more events; what is queued is still written.
    pub(super) fn finish(&mut self) {
        self.end.get_or_insert(End::Finishing);
    }

    /// Ends at once and gives back the memory.
    pub(super) fn close(&mut self) {
        *self = Self { end: Some(End::Closed), ..Self::new(self.budget.clone()) };
    }

    /// Half the room must be there: telling at the first free place would mean a notice for every event.
    fn tell_of_dropped(&mut self, lagged: impl Fn(u64, u64) -> Vec<u8>) {
        if self.events > SUBSCRIBER_EVENTS_MAX / 2 || self.event_bytes > EVENT_BYTES_MAX / 2 {
            return;
        }
        for (watch, dropped) in std::mem::take(&mut self.dropped) {
            self.push_event(lagged(watch, dropped));
        }
    }

    fn push_event(&mut self, bytes: Vec<u8>) {
        self.events += 1;
        self.event_bytes += bytes.len();
        self.frames.push_back(Frame { bytes, kind: Kind::Event, _share: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notices are two bytes here: which subscription, and how many it missed.
    fn lagged(watch: u64, dropped: u64) -> Vec<u8> {
        vec![u8::try_from(watch).unwrap(), u8::try_from(dropped).unwrap()]
    }

    fn written(outbox: &mut Outbox) -> Vec<u8> {
        let mut all = Vec::new();
        while let Next::Write { bytes, answered } = outbox.next(lagged) {
            all.extend(bytes);
            outbox.answered(&answered);
        }
        all
    }

    #[test]
    fn of_all_clients_those_that_do_not_read_are_let_go_first() {
        let budget = Budget::default();
        let piece = || vec![0; ANSWER_BYTES_BUSY + 1];
        let mut deaf: Vec<Outbox> =
            (0..ALL_ANSWER_BYTES_MAX / ANSWER_BYTES_BUSY).map(|_| Outbox::new(budget.clone())).collect();
        let mut reader = Outbox::new(budget.clone());
        deaf.iter_mut().for_each(|outbox| outbox.answer(piece(), None));
        reader.answer(piece(), None);
        assert_eq!(written(&mut reader), piece(), "who reads is served");
        reader.answer(piece(), None);
        assert_eq!(written(&mut reader), piece());
        deaf[0].answer(piece(), None);
        assert_eq!(deaf[0].next(lagged), Next::End, "who does not is let go");
        deaf[1].answer(vec![1; 9], None);
        assert_eq!(written(&mut deaf[1]).len(), piece().len() + 9, "and makes room");
    }

    #[test]
    fn answers_and_events_leave_in_the_order_they_came() {
        let mut outbox = Outbox::default();
        outbox.answer(vec![1], None);
        outbox.event(7, || vec![2]);
        outbox.answer(vec![3], None);
        assert_eq!(written(&mut outbox), [1, 2, 3]);
        assert_eq!(outbox.next(lagged), Next::Wait);
    }

    #[test]
    fn a_request_is_under_way_until_its_last_answer_was_written() {
        let mut outbox = Outbox::default();
        assert!(outbox.begin(1));
        assert!(!outbox.begin(1));
        outbox.answer(vec![1], None);
        outbox.answer(vec![2], Some(1));
        let Next::Write { answered, .. } = outbox.next(lagged) else { panic!("there is something to write") };
        assert!(!outbox.is_answered());
        outbox.answered(&answered);
        assert!(outbox.is_answered());
        assert!(outbox.begin(1));
    }

    #[test]
    fn requests_stop_at_the_number_under_way_and_at_the_bytes_that_wait() {
        let mut outbox = Outbox::default();
        (1..=REQUESTS_IN_FLIGHT_MAX as u64)
            .for_each(|id| assert!(outbox.takes_requests() && outbox.begin(id)));
        assert!(!outbox.takes_requests());
        let mut outbox = Outbox::default();
        outbox.answer(vec![0; ANSWER_BYTES_BUSY], None);
        assert!(!outbox.takes_requests());
        written(&mut outbox);
        assert!(outbox.takes_requests());
    }

    #[test]
    fn what_is_dropped_is_counted_and_told_before_anything_newer() {
        let mut outbox = Outbox::default();
        (0..SUBSCRIBER_EVENTS_MAX + 5).for_each(|_| outbox.event(7, || vec![0]));
        outbox.event(8, || vec![0]);
        let all = written(&mut outbox);
        assert_eq!(all.len(), SUBSCRIBER_EVENTS_MAX + 4);
        assert_eq!(all[SUBSCRIBER_EVENTS_MAX..], [7, 5, 8, 1]);
        outbox.event(7, || vec![9]);
        assert_eq!(written(&mut outbox), [9]);
    }

    #[test]
    fn large_events_are_bounded_by_their_bytes() {
        let mut outbox = Outbox::default();
        (0..100).for_each(|_| outbox.event(7, || vec![0; EVENT_BYTES_MAX / 4]));
        assert_eq!(outbox.events, 4);
    }

    #[test]
    fn an_ended_subscription_is_told_nothing() {
        let mut outbox = Outbox::default();
        (0..SUBSCRIBER_EVENTS_MAX + 1).for_each(|_| outbox.event(7, || vec![0]));
        outbox.unwatch(7);
        assert_eq!(written(&mut outbox).len(), SUBSCRIBER_EVENTS_MAX);
    }

    #[test]
    fn who_never_reads_its_answers_is_let_go() {
        let mut outbox = Outbox::default();
        for _ in 0..=ANSWER_BYTES_MAX / ANSWER_BYTES_BUSY + 1 {
            outbox.answer(vec![0; ANSWER_BYTES_BUSY], None);
        }
        assert_eq!(outbox.next(lagged), Next::End);
        assert_eq!(outbox.answer_bytes, 0);
    }

    #[test]
    fn finishing_writes_what_is_there_and_takes_no_events() {
        let mut outbox = Outbox::default();
        outbox.answer(vec![1], None);
        outbox.finish();
        outbox.event(7, || vec![2]);
        assert_eq!(written(&mut outbox), [1]);
        assert_eq!(outbox.next(lagged), Next::End);
    }
}
