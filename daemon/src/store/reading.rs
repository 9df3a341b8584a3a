//! Messages read from rows and blocks: each verified by its actor's chain, none served that is not what was written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rtc_core::chain::{Link, Signature};
use rtc_core::id::{Actor, RoomId};
use rtc_core::store::{Record, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, Rows};

use super::block::{self, Block};
use super::kept::{Head, Mark};

/// Why something inside a statement or transaction was given up.
pub(super) enum Refusal {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How far an actor's messages were verified. The link is missing where the journal has not the message it ends.
pub(super) struct Chain {
    pub(super) seq: u64,
    pub(super) link: Option<Link>,
}

impl Chain {
    fn of(room: &RoomId, actor: &Actor) -> Self {
        Self { seq: 0, link: Some(Link::origin(room, actor)) }
    }

    /// Takes the next message, if it is the next and its bytes give its link.
    pub(super) fn admit(&mut self, record: &Record) -> Result<(), StoreError> {
        let before = self.link;
        self.follow(record)?;
        let Record { actor, seq, link, body, .. } = record;
        let damaged = |what: &str| Err(StoreError::Damaged(format!("message {actor}:{seq} {what}")));
        match before {
            None => damaged("has no message before it"),
            Some(before) if before.next(body) != *link => damaged("does not follow from what is before it"),
            Some(_) => Ok(()),
        }
    }

    /// Takes the next message, if it is the next; its link was verified with its block's.
    fn follow(&mut self, Record { actor, seq, link, .. }: &Record) -> Result<(), StoreError> {
        if *seq != self.seq + 1 {
            let missing = self.seq + 1;
            let what = format!("message {actor}:{seq} stands where number {missing} is missing");
            return Err(StoreError::Damaged(what));
        }
        *self = Self { seq: *seq, link: Some(*link) };
        Ok(())
    }
}

/// Visits the messages after a mark, in blocks and in rows, as they arrived.
pub(super) fn scan(
    connection: &Connection,
    room: &RoomId,
    mark: &Mark,
    visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
) -> Result<(), Refusal> {
    let mut blocks = connection.prepare(
        "SELECT arrival, actor, actor_ix, last FROM block LEFT JOIN actor ON ix = actor_ix ORDER BY arrival",
    )?;
    let mut blocks = blocks.query([])?;
    let mut next_block = block_after(&mut blocks, mark)?;
    let mut rows = connection.prepare(
        "SELECT actor, seq, link, body, signature, arrival FROM journal LEFT JOIN actor ON ix = actor_ix WHERE arrival > ?1 ORDER BY arrival",
    )?;
    let mut rows = rows.query([mark.arrival])?;
    let mut next_row = rows.next()?.map(arrived).transpose()?;
    // By when their next message arrived: each block, with the index of that message.
    let mut open: BTreeMap<i64, (Block, usize)> = BTreeMap::new();
    let chain_from =
        |(&actor, head): (&Actor, &Head)| (actor, Chain { seq: head.seq, link: Some(head.link) });
    let mut chains: BTreeMap<Actor, Chain> = mark.heads.iter().map(chain_from).collect();
    loop {
        let before_blocks = |arrival: i64| next_block.as_ref().is_none_or(|(block, ..)| arrival < *block);
        let from_block = open.first_key_value().map(|(&arrival, _)| arrival);
        let from_row = next_row.as_ref().map(|(arrival, _)| *arrival);
        let record = match (from_block, from_row) {
            (Some(arrival), row) if before_blocks(arrival) && row.is_none_or(|row| arrival < row) => {
                let (block, index) = open.remove(&arrival).expect("the first is there");
                let record = block.record(index);
                if let Some(arrival) = block.arrival(index + 1) {
                    open.insert(arrival, (block, index + 1));
                }
                chain_of(&mut chains, room, &record).follow(&record)?;
                record
            }
            (_, Some(arrival)) if before_blocks(arrival) => {
                let (_, record) = next_row.take().expect("it arrived");
                next_row = rows.next()?.map(arrived).transpose()?;
                chain_of(&mut chains, room, &record).admit(&record)?;
                record
            }
            _ => {
                let Some((_, actor, ix, last)) = next_block.take() else { return Ok(()) };
                let block = open_block(connection, room, actor, ix, last)?;
                // Of a block that was made since, the first messages may lie before the mark.
                let before = mark.seq(&actor).saturating_sub(block.seqs().start() - 1);
                let index = usize::try_from(before).unwrap_or(usize::MAX);
                if let Some(arrival) = block.arrival(index) {
                    open.insert(arrival, (block, index));
                }
                next_block = block_after(&mut blocks, mark)?;
                continue;
            }
        };
        if visit(record).is_break() {
            return Ok(());
        }
    }
}

fn chain_of<'a>(chains: &'a mut BTreeMap<Actor, Chain>, room: &RoomId, record: &Record) -> &'a mut Chain {
    chains.entry(record.actor).or_insert_with(|| Chain::of(room, &record.actor))
}

/// The next block that has messages after the mark.
fn block_after(blocks: &mut Rows<'_>, mark: &Mark) -> Result<Option<(i64, Actor, i64, u64)>, Refusal> {
    while let Some(row) = blocks.next()? {
        let block = block_end(row)?;
        if block.3 > mark.seq(&block.1) {
            return Ok(Some(block));
        }
    }
    Ok(None)
}

/// Reads `arrival, actor, actor_ix, last` of a block.
fn block_end(row: &Row<'_>) -> Result<(i64, Actor, i64, u64), Refusal> {
    let damaged = |_| StoreError::Damaged("a block is nobody's".into());
    let last: i64 = row.get(3)?;
    Ok((row.get(0)?, Actor(row.get(1).map_err(damaged)?), row.get(2)?, last.unsigned_abs()))
}

/// Reads `actor, seq, link, body, signature, arrival`.
fn arrived(row: &Row<'_>) -> Result<(i64, Record), Refusal> {
    Ok((row.get(5)?, record(row)?))
}

/// The number up to which an actor's messages are in blocks.
pub(super) fn packed(connection: &Connection, ix: i64) -> Result<u64, Refusal> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(last) FROM block WHERE actor_ix = ?1")?
        .query_row([ix], |row| row.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

/// The link that message `seq` hangs on; none where the message before it is missing.
pub(super) fn link_before(
    connection: &Connection,
    room: &RoomId,
    actor: &Actor,
    ix: i64,
    seq: i64,
) -> Result<Option<Link>, Refusal> {
    if seq == 1 {
        return Ok(Some(Link::origin(room, actor)));
    }
    let link: Option<Vec<u8>> = connection
        .prepare_cached(
            "SELECT link FROM journal WHERE actor_ix = ?1 AND seq = ?2
             UNION ALL SELECT link FROM block WHERE actor_ix = ?1 AND last = ?2",
        )?
        .query_row([ix, seq.saturating_sub(1)], |row| row.get(0))
        .optional()?;
    Ok(link.and_then(|link| link.try_into().ok()).map(Link))
}

/// The block that has message `seq` of `actor`.
pub(super) fn open_block(
    connection: &Connection,
    room: &RoomId,
    actor: Actor,
    ix: i64,
    seq: u64,
) -> Result<Block, Refusal> {
    let row = connection
        .prepare_cached(
            "SELECT arrival, first, last, link, messages, places, seal FROM block
             WHERE actor_ix = ?1 AND last >= ?2 ORDER BY last LIMIT 1",
        )?
        .query_row(rusqlite::params![ix, i64::try_from(seq).unwrap_or(i64::MAX)], |row| Ok(block_row(row)))
        .optional()?;
    let missing = || StoreError::Damaged(format!("message {actor}:{seq} is missing"));
    let row = row.ok_or_else(missing)??;
    let block = row.open(actor, link_before(connection, room, &actor, ix, row.first)?)?;
    if !block.seqs().contains(&seq) {
        return Err(missing().into());
    }
    Ok(block)
}

/// Reads `arrival, first, last, link, messages, places, seal`.
fn block_row(row: &Row<'_>) -> Result<block::Row, StoreError> {
    let damaged = |_| StoreError::Damaged("a block has not the shape of one".into());
    Ok(block::Row {
        arrival: row.get(0).map_err(damaged)?,
        first: row.get(1).map_err(damaged)?,
        last: row.get(2).map_err(damaged)?,
        link: row.get(3).map_err(damaged)?,
        messages: row.get(4).map_err(damaged)?,
        places: row.get(5).map_err(damaged)?,
        seal: row.get(6).map_err(damaged)?,
    })
}

pub(super) fn out_of_range(seq: u64) -> StoreError {
    StoreError::Damaged(format!("number {seq} is past what a journal holds"))
}

/// Reads `actor, seq, link, body, signature`. What has the wrong shape was not written like that.
pub(super) fn record(row: &Row<'_>) -> Result<Record, Refusal> {
    fn damaged<E>(_: E) -> StoreError {
        StoreError::Damaged("a row has not the shape of a message".into())
    }
    // A missing actor is a null here, and a flipped bit can change a column's type.
    let actor: Vec<u8> = row.get(0).map_err(damaged)?;
    let seq: i64 = row.get(1).map_err(damaged)?;
    let link: Vec<u8> = row.get(2).map_err(damaged)?;
    let signature: Option<Vec<u8>> = row.get(4).map_err(damaged)?;
    Ok(Record {
        actor: Actor(actor.try_into().map_err(damaged)?),
        seq: u64::try_from(seq).map_err(damaged)?,
        link: Link(link.try_into().map_err(damaged)?),
        body: row.get(3).map_err(damaged)?,
        signature: signature.map(|bytes| bytes.try_into().map(Signature)).transpose().map_err(damaged)?,
    })
}
