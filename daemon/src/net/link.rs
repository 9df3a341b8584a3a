//! One stream to one peer, from its first byte to its last: greeting, choice, then the hub's frames both ways.
//!
//! The hub hears `Up` only of a stream both ends keep, then its frames, then `Down`, and nothing after. One task per
//! link owns both directions, and always polls both: writing without reading can lock two peers up.

use std::io;
use std::sync::Arc;

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::Multiaddr;
use libp2p::swarm::Stream;
use rtc_core::canonical::DecodeError;
use rtc_core::id::PeerKey;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::greeting::{Control, Greeting, Token};
use super::limits::{CHOICE_TIMEOUT, GREETING_TIMEOUT, READ_BYTES, WRITE_BYTES};
use super::piece::{Assembler, Cutter, PieceError, Track};
use super::queue::{LinkQueues, Queued, link_queues};
use super::{HeardShare, Lane, LinkId, NetEvent, Source};

/// Greetings heard per link after the first; a peer whose addresses change more often is not followed.
const GREETINGS_MAX: usize = 256;

/// A fresh stream and all its task needs.
#[derive(Debug)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) id: LinkId,
    /// The other end.
    pub(crate) peer: PeerKey,
    /// Whether we dialled.
    pub(crate) outbound: bool,
    /// Where the other end is.
    pub(crate) address: Multiaddr,
    /// How it was found.
    pub(crate) source: Source,
    /// The stream.
    pub(crate) stream: Stream,
    /// What we say first.
    pub(crate) greeting: Greeting,
    /// Whether we choose which stream is kept.
    pub(crate) chooses: bool,
    /// Our listen addresses, as they change.
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
    /// The way to the swarm's task.
    pub(crate) reports: mpsc::Sender<Report>,
    /// The way to the hub.
    pub(crate) events: mpsc::Sender<NetEvent>,
    /// Bytes that may wait for the hub, shared by all links.
    pub(crate) heard: Arc<Semaphore>,
    /// Says that the stream is kept.
    pub(crate) keep: oneshot::Receiver<Keep>,
    /// Says why to end.
    pub(crate) stop: oneshot::Receiver<String>,
    /// Dropped when the hub has heard the last of this link.
    pub(crate) done: oneshot::Sender<()>,
}

/// The swarm's decision to keep a stream.
#[derive(Debug)]
pub(crate) struct Keep {
    /// The chooser's name for this choice.
    pub(crate) token: Token,
    /// Resolves when the hub has heard the last of the link this one replaces.
    pub(crate) after: Option<oneshot::Receiver<()>>,
}

/// What a link tells the swarm's task.
#[derive(Debug)]
pub(crate) enum Report {
    /// Greetings are exchanged.
    Greeted {
        /// By which link.
        link: LinkId,
        /// The peer's.
        greeting: Greeting,
    },
    /// The peer, who chooses, keeps this stream.
    Chosen {
        /// Which link.
        link: LinkId,
        /// The peer's name for the choice.
        token: Token,
    },
    /// The peer listens elsewhere now.
    Moved {
        /// Which link.
        link: LinkId,
        /// Where it listens.
        addresses: Vec<Multiaddr>,
    },
}

/// How a link ended.
#[derive(Debug)]
pub(crate) struct LinkEnd {
    /// Which link.
    pub(crate) link: LinkId,
    /// Why, for people.
    pub(crate) reason: String,
}

/// Why a link ends by itself.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the peer closed the link")]
    Closed,
    #[error("the link broke: {0}")]
    Io(#[from] io::Error),
    #[error("the peer broke the protocol: {0}")]
    Piece(#[from] PieceError),
    #[error("the peer's control frame is invalid: {0}")]
    Control(#[from] DecodeError),
    #[error("the peer sent a frame before the link was agreed")]
    Early,
    #[error("no greeting within {} s", GREETING_TIMEOUT.as_secs())]
    NoGreeting,
    #[error("the peer keeps another link")]
    NotChosen,
    #[error("the daemon is stopping")]
    Stopping,
}

impl Link {
    /// Lives the link's life.
    pub(crate) async fn run(self) -> LinkEnd {
        let Self { id, stream, mut stop, events, done, .. } = self;
        let (read_half, write_half) = stream.split();
        let mut wire = Wire { reader: FrameReader::new(read_half), writer: write_half };
        let opening = Opening {
            id,
            greeting: self.greeting,
            remote: &self.address,
            chooses: self.chooses,
            reports: &self.reports,
        };
        let opened = tokio::select! {
            biased;
            reason = stopped(&mut stop) => Err(reason),
            opened = opening.agree(&mut wire, self.keep) => opened.map_err(|error| error.to_string()),
        };
        if let Err(reason) = opened {
            return LinkEnd { link: id, reason };
        }
        wire.reader.assembler.agree();
        let (sender, queues) = link_queues();
        let (peer, address) = (self.peer, self.address.clone());
        let up =
            NetEvent::Up { link: id, peer, outbound: self.outbound, address, source: self.source, sender };
        if events.send(up).await.is_err() {
            return LinkEnd { link: id, reason: LinkError::Stopping.to_string() };
        }
        let reason = tokio::select! {
            biased;
            reason = stopped(&mut stop) => reason,
            error = receive(id, &mut wire.reader, &events, &self.heard, &self.reports) => error.to_string(),
            error = send(&mut wire.writer, queues, self.listening, &self.address) => error.to_string(),
        };
        drop(wire);
        // The hub may be gone already; then nobody waits for this.
        let _ = events.send(NetEvent::Down { link: id, reason: reason.clone() }).await;
        drop(done);
        LinkEnd { link: id, reason }
    }
}

/// Resolves when the swarm's task wants the link ended.
async fn stopped(stop: &mut oneshot::Receiver<String>) -> String {
    stop.await.unwrap_or_else(|_| LinkError::Stopping.to_string())
}

/// Both directions of the stream.
struct Wire {
    reader: FrameReader<ReadHalf<Stream>>,
    writer: WriteHalf<Stream>,
}

/// The stream before the hub hears of it.
struct Opening<'a> {
    id: LinkId,
    greeting: Greeting,
    remote: &'a Multiaddr,
    chooses: bool,
    reports: &'a mpsc::Sender<Report>,
}

impl Opening<'_> {
    /// Greets, and returns once both ends keep the stream and the hub is ready to hear of it.
    async fn agree(self, wire: &mut Wire, keep: oneshot::Receiver<Keep>) -> Result<(), LinkError> {
        let greeting = self.greeting.for_remote(self.remote);
        let exchange = greet(greeting, &mut wire.reader, &mut wire.writer);
        let greeting = timeout(GREETING_TIMEOUT, exchange).await.map_err(|_| LinkError::NoGreeting)??;
        let link = self.id;
        report(self.reports, Report::Greeted { link, greeting }).await?;
        if !self.chooses {
            let choice =
                timeout(CHOICE_TIMEOUT, wire.reader.next()).await.map_err(|_| LinkError::NotChosen)?;
            let token = match choice {
                Ok((Track::Control, bytes)) => match Control::decode(&bytes)? {
                    Control::Chosen(token) => token,
                    Control::Greeting(_) | Control::Unknown(_) => return Err(LinkError::Early),
                },
                Ok((Track::Live | Track::Bulk, _)) => return Err(LinkError::Early),
                Err(LinkError::Closed) => return Err(LinkError::NotChosen),
                Err(error) => return Err(error),
            };
            report(self.reports, Report::Chosen { link, token }).await?;
        }
        let Keep { token, after } = keep.await.map_err(|_| LinkError::NotChosen)?;
        if self.chooses {
            write_control(&mut wire.writer, &Control::Chosen(token)).await?;
        }
        if let Some(after) = after {
            // Its end is what counts: the sender is dropped, never used.
            let _ = after.await;
        }
        Ok(())
    }
}

async fn report(reports: &mpsc::Sender<Report>, report: Report) -> Result<(), LinkError> {
    reports.send(report).await.map_err(|_| LinkError::Stopping)
}

/// Says our greeting while it hears the peer's.
async fn greet(
    ours: Greeting,
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<Greeting, LinkError> {
    let ours = Control::Greeting(ours);
    let say = write_control(writer, &ours);
    let ((), (track, bytes)) = futures::future::try_join(say, reader.next()).await?;
    match (track, Control::decode(&bytes)?) {
        (Track::Control, Control::Greeting(theirs)) => Ok(theirs),
        (Track::Control | Track::Live | Track::Bulk, _) => Err(LinkError::Early),
    }
}

async fn write_control(writer: &mut (impl AsyncWrite + Unpin), control: &Control) -> Result<(), LinkError> {
    let (mut cutter, mut out) = (Cutter::new(Track::Control, control.encode()), Vec::new());
    while !cutter.cut(&mut out) {}
    writer.write_all(&out).await?;
    Ok(writer.flush().await?)
}

/// Hands the peer's frames to the hub, as fast as the hub takes them; returns why there are no more.
async fn receive(
    link: LinkId,
    reader: &mut FrameReader<impl AsyncRead + Unpin>,
    events: &mpsc::Sender<NetEvent>,
    heard: &Arc<Semaphore>,
    reports: &mpsc::Sender<Report>,
) -> LinkError {
    let mut greetings = 0;
    let mut receive = async || -> Result<(), LinkError> {
        let (track, bytes) = reader.next().await?;
        let lane = match track {
            Track::Live => Lane::Live,
            Track::Bulk => Lane::Bulk,
            Track::Control => {
                greetings += 1;
                return match Control::decode(&bytes)? {
                    Control::Greeting(Greeting { addresses, .. }) if greetings <= GREETINGS_MAX => {
                        report(reports, Report::Moved { link, addresses }).await
                    }
                    // Later versions may say more; it is not for us.
                    Control::Greeting(_) | Control::Chosen(_) | Control::Unknown(_) => Ok(()),
                };
            }
        };
        let count = u32::try_from(bytes.len()).expect("a frame's length fits, by its limit");
        let share = Arc::clone(heard).acquire_many_owned(count).await.map_err(|_| LinkError::Stopping)?;
        let frame = NetEvent::Frame { link, lane, bytes, share: HeardShare { _bytes: share } };
        events.send(frame).await.map_err(|_| LinkError::Stopping)
    };
    loop {
        if let Err(error) = receive().await {
            return error;
        }
    }
}

/// Reads frames from a stream. Cancelling a read loses nothing.
struct FrameReader<R> {
    stream: R,
    assembler: Assembler,
    buffer: Vec<u8>,
    /// The part of `buffer` not yet assembled.
    unread: std::ops::Range<usize>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    fn new(stream: R) -> Self {
        Self { stream, assembler: Assembler::before_agreement(), buffer: vec![0; READ_BYTES], unread: 0..0 }
    }

    async fn next(&mut self) -> Result<(Track, Vec<u8>), LinkError> {
        loop {
            let mut input = &self.buffer[self.unread.clone()];
            let frame = self.assembler.next(&mut input)?;
            self.unread.start = self.unread.end - input.len();
            if let Some(frame) = frame {
                return Ok(frame);
            }
            self.unread = 0..self.stream.read(&mut self.buffer).await?;
            if self.unread.is_empty() {
                return Err(LinkError::Closed);
            }
        }
    }
}

/// Writes the hub's frames, and our greeting again where our addresses change; returns why it cannot go on.
async fn send(
    writer: &mut (impl AsyncWrite + Unpin),
    mut queues: LinkQueues,
    mut listening: watch::Receiver<Vec<Multiaddr>>,
    remote: &Multiaddr,
) -> LinkError {
    let (mut outbox, mut out) = (Outbox::default(), Vec::with_capacity(WRITE_BYTES));
    listening.mark_unchanged();
    let mut send = async || -> Result<(), LinkError> {
        outbox.gather(&mut queues, &mut out);
        if !out.is_empty() {
            writer.write_all(&out).await?;
            out.clear();
            return Ok(());
        }
        writer.flush().await?;
        tokio::select! {
            biased;
            (lane, queued) = queues.wait() => outbox.begin(lane, queued),
            Ok(()) = listening.changed() => {
                let addresses = listening.borrow_and_update().clone();
                let greeting = Greeting { addresses, ..Greeting::update() };
                write_control(writer, &Control::Greeting(greeting.for_remote(remote))).await?;
            }
        }
        Ok(())
    };
    loop {
        if let Err(error) = send().await {
            return error;
        }
    }
}

/// Decides which piece goes next.
#[derive(Debug, Default)]
struct Outbox {
    live: Option<Cutting>,
    bulk: Option<Cutting>,
}

/// A frame of which some pieces may be gone; its bytes count as queued until the last is.
#[derive(Debug)]
struct Cutting {
    cutter: Cutter,
    _budget: tokio::sync::OwnedSemaphorePermit,
}

impl Outbox {
    fn begin(&mut self, lane: Lane, Queued { frame, budget }: Queued) {
        let cutting = Cutting { cutter: Cutter::new(lane.into(), frame), _budget: budget };
        match lane {
            Lane::Live => self.live = Some(cutting),
            Lane::Bulk => self.bulk = Some(cutting),
        }
    }

    /// Fills `out` with one write's worth: what is live, then one piece of the backlog. So a live frame waits for one
    /// such piece at most, and a flood of live frames leaves the backlog its share.
    fn gather(&mut self, queues: &mut LinkQueues, out: &mut Vec<u8>) {
        while out.len() < WRITE_BYTES && self.cut(Lane::Live, queues, out) {}
        self.cut(Lane::Bulk, queues, out);
    }

    /// Appends the lane's next piece; false when there is none.
    fn cut(&mut self, lane: Lane, queues: &mut LinkQueues, out: &mut Vec<u8>) -> bool {
        let slot = match lane {
            Lane::Live => &mut self.live,
            Lane::Bulk => &mut self.bulk,
        };
        if slot.is_none() {
            let Some(queued) = queues.pop(lane) else { return false };
            self.begin(lane, queued);
            return self.cut(lane, queues, out);
        }
        if slot.as_mut().is_some_and(|cutting| cutting.cutter.cut(out)) {
            *slot = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use rtc_core::limits::PIECE_BYTES_MAX;

    use super::super::limits::REPORTS_MAX;
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<(Track, usize)> {
        let (mut assembler, mut input, mut frames) = (Assembler::default(), bytes, Vec::new());
        while let Some((track, frame)) = assembler.next(&mut input).unwrap() {
            frames.push((track, frame.len()));
        }
        frames
    }

    #[test]
    fn a_live_frame_waits_for_one_piece_of_a_backlog_at_most() {
        let (sender, mut queues) = link_queues();
        let backlog_bytes = PIECE_BYTES_MAX * 3;
        sender.try_send(Lane::Bulk, vec![1; backlog_bytes]).unwrap();
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.gather(&mut queues, &mut out);
        assert!(out.len() <= PIECE_BYTES_MAX + 3, "one piece per write, not {} bytes", out.len());
        sender.try_send(Lane::Live, b"now".to_vec()).unwrap();
        outbox.gather(&mut queues, &mut out);
        outbox.gather(&mut queues, &mut out);
        assert_eq!(frames(&out), [(Track::Live, 3), (Track::Bulk, backlog_bytes)]);
        outbox.gather(&mut queues, &mut Vec::new());
        assert_eq!(sender.queued_bytes(Lane::Bulk), 0, "its bytes are given back");
    }

    #[tokio::test]
    async fn a_report_too_many_waits_until_one_is_heard() {
        let (reports, mut heard) = mpsc::channel(REPORTS_MAX);
        let closed = || Report::Moved { link: LinkId(1), addresses: Vec::new() };
        for _ in 0..REPORTS_MAX {
            report(&reports, closed()).now_or_never().expect("there is room").unwrap();
        }
        let mut last = std::pin::pin!(report(&reports, closed()));
        assert!(last.as_mut().now_or_never().is_none(), "it waits");
        heard.recv().await.expect("there are some");
        last.await.unwrap();
    }

    #[test]
    fn a_flood_of_live_frames_leaves_the_backlog_its_share() {
        let (sender, mut queues) = link_queues();
        sender.try_send(Lane::Bulk, vec![1; PIECE_BYTES_MAX * 2]).unwrap();
        for _ in 0..100 {
            sender.try_send(Lane::Live, vec![2; 4096]).unwrap();
        }
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.gather(&mut queues, &mut out);
        outbox.gather(&mut queues, &mut out);
        assert_eq!(frames(&out).last(), Some(&(Track::Bulk, PIECE_BYTES_MAX * 2)));
    }
}
