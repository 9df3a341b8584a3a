//! Every limit of the engine and the protocol, each with its reason. What exceeds one gets an error that names it.

/// One message as canonical bytes; larger values belong into blobs.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Ops one message may hold: a commit is an edit, not an import.
pub const MESSAGE_OPS_MAX: usize = 1024;
/// Ops of a commit: whoever issues it again, because a horizon left it outside, adds the one that says so.
pub const COMMIT_OPS_MAX: usize = MESSAGE_OPS_MAX - 1;
/// Bytes of a commit without the heads it tells, which may go ahead of it: that op and greater numbers take less than the rest.
pub const COMMIT_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 256;
/// Actors one message's clock may advance: they take half a message. A daemon that saw more new writers at once sends clocks
/// ahead, in messages without ops.
pub const CLOCK_ENTRIES_MAX: usize = 512;
/// Bytes of a node key.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a property path.
pub const PATH_BYTES_MAX: usize = 256;
/// Nesting of one value: decoders recurse, and a stack is finite.
pub const VALUE_DEPTH_MAX: usize = 32;
/// Bytes of a client's request id.
pub const REQUEST_BYTES_MAX: usize = 64;
/// Bytes of a commit's description.
pub const NOTE_BYTES_MAX: usize = 1024;
/// Lamport times stay exact in JavaScript (2^53 - 1).
pub const LAMPORT_MAX: u64 = (1 << 53) - 1;
/// Spans of characters one op may delete; what is scattered more goes in several ops.
pub const SPANS_MAX: usize = 1024;
/// Components of a sibling's place: each insertion into the same gap can add one.
pub const PLACE_COMPONENTS_MAX: usize = 256;
/// Bytes of one fraction in a place: each eight million insertions in front of all siblings can add three.
pub const FRACTION_BYTES_MAX: usize = 64;

/// Bytes of a horizon's frontier, as text: they leave room in the message for the clock that its keeper has to tell with it.
pub const FRONTIER_BYTES_MAX: usize = 60 * 1024;
/// Bytes of a ground with what belongs to it: what a peer can make us hold when we come late.
pub const GROUND_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same, deflated.
pub const GROUND_PACKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one piece of a ground: with its frame it is a piece of [`PIECE_BYTES_MAX`].
pub const GROUND_PIECE_BYTES_MAX: usize = 15 * 1024;

/// Messages one signature may vouch for: one live frame.
pub const RUN_MESSAGES_MAX: usize = 64;
/// Bytes of the messages of one run: a live frame of the longest messages.
pub const RUN_BYTES_MAX: usize = RUN_MESSAGES_MAX * MESSAGE_BYTES_MAX;
/// Messages one signature of a backlog may vouch for: what one peer may leave waiting for its past.
pub const BACKLOG_RUN_MESSAGES_MAX: usize = WAITING_MESSAGES_MAX / 4;
/// Names that both ends of a connection know by number; what is more goes as it is.
pub const LIVE_NAMES_MAX: usize = 4096;
/// Bytes of such a name: with all of them a connection keeps 512 KiB each way.
pub const LIVE_NAME_BYTES_MAX: usize = 128;
/// Forms of messages that both ends of a connection know by number.
pub const LIVE_FORMS_MAX: usize = 256;
/// Bytes of backlog, as it was packed, that a room keeps for the next peer that lacks the same.
pub const BACKLOG_CACHE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Messages of one block: names and chances are learnt by then.
pub const BLOCK_MESSAGES_MAX: usize = 65_536;
/// Bytes of a block's messages, unpacked: a run of the longest messages fits, and a peer makes us hold no more.
pub const BLOCK_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Messages that wait for their causal past, per room; what does not fit is dropped and fetched again.
pub const WAITING_MESSAGES_MAX: usize = 4096;
/// Bytes of messages that wait for their causal past, per room.
pub const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of the proof of a fork: two runs of ordinary edits, up to where they are signed.
pub const FORK_BYTES_MAX: usize = 256 * 1024;
/// Forks of which a room keeps the proof; the first it hears of stay.
pub const FORKS_MAX: usize = 64;
/// Of them those of one key, in several of its epochs: nobody hides another's behind many of his own.
pub const FORKS_OF_KEY_MAX: usize = 16;
/// Of those that are known how many may be of keys that are no members', of which there are as many as anybody likes.
pub const FORKS_OF_NOBODY_MAX: usize = FORKS_MAX / 2;
/// Links told at once: with the actors they are of, some more than a piece of a frame.
pub const LINKS_TOLD_MAX: usize = 256;
/// Actors about which one peer is asked, within two seconds, whether it holds the same messages.
pub const DOUBTS_MAX: usize = 64;

/// One frame between peers, reassembled; bounds what a peer can make us hold.
pub const FRAME_BYTES_MAX: usize = 5 * 1024 * 1024;
/// One piece of a frame on the wire: a live frame waits for at most one of these.
pub const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Backlog bytes a peer may send before we grant more: two round trips of a LAN at full speed.
pub const CREDIT_BYTES: usize = 256 * 1024;
/// What a frame of backlog costs at least: so few wait for a slow peer that its queue holds them.
pub const BACKLOG_COST_MIN: usize = 2 * 1024;
/// Actors up to which a room tells what it holds as a vector, in one frame and one step; of more it tells by ranges.
pub const VECTOR_ACTORS_MAX: usize = 500;
/// Ranges that are asked for at once.
pub const RANGES_ASKED_MAX: usize = 64;
/// Actors of one range that are named at once: some more than a piece of a frame would hold are told by parts.
pub const RANGE_NAMES_MAX: usize = 256;
/// Bytes of one answer about ranges: it is a piece of [`PIECE_BYTES_MAX`], so that live frames do not wait for it.
pub const RANGE_ANSWER_BYTES_MAX: usize = 15 * 1024;
/// Actors unknown here that a peer may name when it tells what it holds: what it makes us remember of others.
pub const STRANGERS_MAX: usize = 65_536;

/// Connected peers of a room up to which an author sends to all of them; of more, some pass on to others.
pub const FULL_MESH_MAX: usize = 16;
/// Connected peers of a room that are enough: more than make a crowd, so that all see one, and as good as surely one piece of any that is larger.
pub const ROOM_LINKS_WANTED: usize = 20;
/// Connected peers of a room past which some are let go, where these have enough, too.
pub const ROOM_LINKS_MAX: usize = 28;
/// Peers of a larger room that each leans on: with those that lean on it, it has twice as many neighbours. Of three the graph is in one piece,
/// as good as always, and stays so when one in five fails.
pub const MESH_LEANS: usize = 3;
/// Actors that a neighbour may ask to be spared; more than a room tells as a vector write seldom.
pub const MESH_SPARED_MAX: usize = 1024;

/// Rooms one connection may open.
pub const LINK_ROOMS_MAX: usize = 1024;
/// Openings sent at once, at least; those that are of no room hide how many are.
pub const LINK_OPENINGS_MIN: usize = 8;
/// Invitations one peer may try to redeem over one connection: nobody guesses a secret, but looking for one costs something.
pub const LINK_CLAIMS_MAX: usize = 64;

/// Heartbeats between connected peers.
pub const HEARTBEAT_MS: u64 = 500;
/// A peer may be silent this long: two lost heartbeats and a margin.
pub const SILENCE_MS: u64 = 1_500;

/// Bytes of what a session shows of itself: a name, a selection and a camera take a tenth.
pub const PRESENCE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a draft: it is sent as a whole at each change.
pub const DRAFT_BYTES_MAX: usize = 16 * 1024;
/// Edits of a draft: what is dragged together; each is folded anew at each change.
pub const DRAFT_OPS_MAX: usize = 256;
/// Sessions that one daemon shows in a room, and that it remembers of a peer's.
pub const SHOWN_SESSIONS_MAX: usize = 64;
/// A session's presence, or draft, is told no more often: thirty pictures a second look like motion.
pub const SHOW_PERIOD_MS: u64 = 33;
/// What one daemon shows in a room in a second, in frames; one more for each KiB. Fifteen sessions that drag small things at once.
pub const SHOW_RATE_MAX: u64 = 500;
/// The same at once, after a pause. Receivers take twice the rate and four times this: all sessions of a peer that connects.
pub const SHOW_BURST_MAX: u64 = 512;
/// A draft that is bound to no connection ends when nothing was staged for so long.
pub const DRAFT_IDLE_MS: u64 = 600_000;

/// One frame on the local socket, either way.
pub const API_FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events that wait for one slow subscriber before it is told that it lagged.
pub const SUBSCRIBER_EVENTS_MAX: usize = 10_000;
/// Subscriptions of one session.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// Sessions on the local socket.
pub const SESSIONS_MAX: usize = 256;
/// Requests of one session that may be under way at once.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 1024;
