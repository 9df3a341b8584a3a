//! What others' bytes reach, one function each: no bytes make one panic, hold more memory than they may, or give what is not so.
//!
//! The test that includes this replays what was found, and mutates the seeds a little; `fuzz/` gives each to libFuzzer.

mod choices;
mod daemons;
mod local;
mod people;
mod room;
mod scene;
mod shows;
mod state;
mod wire;

use choices::Choices;

/// One thing to fuzz.
pub(crate) struct Target {
    /// Its name, also that of its directory in `tests/data/fuzz`.
    pub(crate) name: &'static str,
    /// Gives it bytes; panics where they break something.
    pub(crate) run: fn(&[u8]),
    /// What it takes, to begin with.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// Name, run and seeds of a target.
pub(crate) type Row = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All but the daemon's, which are in `daemon.rs`.
pub(crate) fn all() -> Vec<Target> {
    let targets: [Row; 24] = [
        ("value", wire::value, wire::values),
        ("message", wire::message, wire::messages),
        ("frame", wire::frame, wire::frames),
        ("show", shows::show, shows::shows),
        ("ranges", wire::ranges, room::inputs),
        ("live", wire::live, wire::live_runs),
        ("backlog", wire::backlog, wire::backlogs),
        ("fork", wire::fork, wire::forks),
        ("block", wire::block, wire::blocks),
        ("founding", wire::founding, wire::foundings),
        ("ticket", wire::ticket, wire::tickets),
        ("snapshot", state::snapshot, state::snapshots),
        ("room_snapshot", state::room_snapshot, state::room_snapshots),
        ("ground", state::ground, state::grounds),
        ("frontier", state::frontier, state::frontiers),
        ("request", local::request, local::requests),
        ("line", people::line, people::lines),
        ("words", people::words, people::word_lists),
        ("at", people::at, people::ats),
        ("import", people::import, people::graphs),
        ("vuer", people::vuer, people::histories),
        ("replica", scene::replica, scene::recipes),
        ("room", room::room, room::inputs),
        ("switchboard", daemons::switchboard, daemons::schedules),
    ];
    targets.map(|(name, run, seeds)| Target { name, run, seeds }).into()
}

/// Words that random bytes do not hit upon: the names of operations, options and fields.
pub(crate) fn dictionary() -> Vec<String> {
    let fields =
        ["otype", "key", "path", "value", "parentKey", "targetMsgId", "sessionId", "lamportTime", "clock"];
    let more =
        ["nodes", "rootKey", "children", "properties", "deletedAt", "messages", "expected", "ops", "ot"];
    let rows = || rtc_core::op::table();
    let options = rows().flat_map(|row| row.options.iter().map(|option| option.name));
    let mut words: Vec<String> =
        rows().map(|row| row.name).chain(options).chain(fields).chain(more).map(str::to_owned).collect();
    words.sort();
    words.dedup();
    words
}

/// What may be live for each byte read. The worst are maps of one entry: three bytes, and a whole tree node.
const LIVE_PER_BYTE: u64 = 320;
/// What may be live however short the input is: an error, a first block.
const LIVE_AT_ONCE: u64 = 4 * 1024;

/// Reads `bytes`, and sees that what is live meanwhile stays within the bound of a decoder, and `more`.
fn bounded<T>(bytes: &[u8], more: u64, read: impl FnOnce(&[u8]) -> T) -> T {
    let mut result = None;
    let live = allocation_counter::measure(|| result = Some(read(bytes))).bytes_max;
    let limit = LIVE_AT_ONCE + LIVE_PER_BYTE * bytes.len() as u64 + more;
    assert!(live <= limit, "{} bytes made {live} live, {limit} would do", bytes.len());
    result.expect("it has run")
}
