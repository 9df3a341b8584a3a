//! Horizons: messages of the room's keeper that permit everybody to forget (DESIGN §3, law 14).
//!
//! A horizon names its predecessor, what lies in it, the hash of the footing which that leaves (its
//! [`Ground`](crate::ground::Ground), and whom each author in it had seen) and the operation table that folded it. A replica
//! that holds all of that makes the ground itself ([`Engine::ground_at`](crate::replica::Engine::ground_at)), compares, and stands on it
//! ([`Replica::stand`](crate::replica::Replica::stand)); one that does not is given the ground's bytes.
//!
//! ```
//! use rtc_core::chain::Link;
//! use rtc_core::horizon::{Cut, Frontier};
//! use rtc_core::id::{Actor, Dot};
//!
//! let actor = Actor::from_name("alice");
//! let frontier: Frontier = [(actor, Cut { seq: 3, lamport: 7, link: Link([9; 32]) })].into_iter().collect();
//! assert_eq!(Frontier::decode(&frontier.encode()), Some(frontier.clone()));
//! assert!(frontier.covers(&Dot { actor, seq: 3 }) && !frontier.covers(&Dot { actor, seq: 4 }));
//! ```

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;

use crate::canonical::{DecodeError, Reader, Writer};
use crate::chain::Link;
use crate::clock::VersionVector;
use crate::id::{Actor, Dot, PeerKey, StateHash};
use crate::limits::FRONTIER_BYTES_MAX;
use crate::op::room::HORIZON;
use crate::op::{Op, Options, TABLE_VERSION};
use crate::raw::Raw;
use crate::value::{Number, Value};
use crate::view::MessageView;

/// Items of any list: what bounds them is the length of the text.
const ITEMS_MAX: usize = FRONTIER_BYTES_MAX;

/// What lies in a horizon: of each actor everything up to one message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier(BTreeMap<Actor, Cut>);

/// The last message of one actor that lies in a horizon: the actor's next one can be judged by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Its number, from 1.
    pub seq: u64,
    /// Its lamport time.
    pub lamport: u64,
    /// Its link.
    pub link: Link,
}

/// A horizon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Horizon {
    /// The horizon before; none for the room's first.
    pub before: Option<Dot>,
    /// What lies in it.
    pub frontier: Frontier,
    /// The hash of the footing that it leaves: the ground, and of each author in it whom its last message had seen.
    pub ground: StateHash,
    /// The version of the operation table that folded it.
    pub table: u32,
}

/// Why a message of the keeper is not the horizon that follows another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotNext {
    /// It names another predecessor.
    #[error("the horizon does not name the one before")]
    Before,
    /// It lets go less than its predecessor.
    #[error("the horizon holds less of {actor} than the one before")]
    Shrinks {
        /// Whose messages.
        actor: Actor,
    },
    /// It lets go what its author had not seen.
    #[error("the horizon holds messages of {actor} that its author had not seen")]
    Unseen {
        /// Whose messages.
        actor: Actor,
    },
}

/// More actors than a message can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frontier of {actors} actors takes {bytes} bytes, which exceeds {FRONTIER_BYTES_MAX}")]
pub struct FrontierTooLong {
    /// How many there are.
    pub actors: usize,
    /// What they take.
    pub bytes: usize,
}

impl Frontier {
    /// Of an actor the last message that lies in it.
    pub fn get(&self, actor: &Actor) -> Option<&Cut> {
        self.0.get(actor)
    }

    /// All entries in the order of the actors.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Actor, &Cut)> {
        self.0.iter()
    }

    /// Whether a message lies in it.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.0.get(&dot.actor).is_some_and(|cut| dot.seq <= cut.seq)
    }

    /// Whether whoever has seen so much has seen all of it.
    pub fn is_seen_by(&self, seen: &VersionVector) -> bool {
        self.0.iter().all(|(actor, cut)| seen.get(actor) >= cut.seq)
    }

    /// The numbers alone.
    pub fn version(&self) -> VersionVector {
        self.0.iter().map(|(actor, cut)| (*actor, cut.seq)).collect()
    }

    /// The text that a horizon carries: base64url of `[[key, [[epoch, seq, lamport, link]…]]…]`, canonical CBOR in order.
    pub fn encode(&self) -> String {
        let mut writer = Writer::new();
        let actors: Vec<_> = self.0.iter().collect();
        let by_key: Vec<_> = actors.chunk_by(|(a, _), (b, _)| a.key() == b.key()).collect();
        writer.array(by_key.len());
        for epochs in by_key {
            writer.array(2).bytes(&epochs[0].0.key().0).array(epochs.len());
            for (actor, cut) in epochs {
                writer.array(4).uint(actor.epoch()).uint(cut.seq).uint(cut.lamport).bytes(&cut.link.0);
            }
        }
        BASE64URL_NOPAD.encode(&writer.finish())
    }

    /// Reads what [`Frontier::encode`] writes; nothing where it is anything else.
    pub fn decode(text: &str) -> Option<Self> {
        let bytes =
            BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|_| text.len() <= FRONTIER_BYTES_MAX)?;
        let frontier = Self::read(&bytes).ok()?;
        let is_valid = frontier.0.values().all(|cut| cut.seq > 0) && frontier.encode() == text;
        is_valid.then_some(frontier)
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut cuts = BTreeMap::new();
        for _ in 0..reader.array(ITEMS_MAX, "keys")? {
            reader.array_of(2, "a key's epochs")?;
            let key = PeerKey(reader.bytes_of()?);
            for _ in 0..reader.array(ITEMS_MAX, "epochs")? {
                reader.array_of(4, "a cut")?;
                let actor = Actor::new(key, reader.uint()?);
                let (seq, lamport) = (reader.uint()?, reader.uint()?);
                cuts.insert(actor, Cut { seq, lamport, link: Link(reader.bytes_of()?) });
            }
        }
        reader.finish()?;
        Ok(Self(cuts))
    }
}

impl FromIterator<(Actor, Cut)> for Frontier {
    fn from_iter<I: IntoIterator<Item = (Actor, Cut)>>(cuts: I) -> Self {
        Self(cuts.into_iter().collect())
    }
}

impl Horizon {
    /// The horizon that a message is; nothing where it is none. Whether it counts is for the room to say: see
    /// [`Horizon::check`], and only the keeper's do.
    pub fn of(message: &MessageView<'_>) -> Option<Self> {
        let op = message.ops().find(|op| op.code == HORIZON && op.resolve().is_ok())?;
        let text = |name| op.options.get(name).and_then(Raw::as_text);
        let table = op.options.get("table").and_then(Raw::as_number)?;
        Some(Self {
            before: text("before").and_then(|dot| dot.parse().ok()),
            frontier: Frontier::decode(text("frontier")?)?,
            ground: text("ground")?.parse().ok()?,
            table: Number::new(table)?.as_integer()?.try_into().ok()?,
        })
    }

    /// Whether it is what follows `before`, the last one that counts, given what its author had seen.
    ///
    /// # Errors
    /// Where it does not count.
    pub fn check(&self, before: Option<(&Dot, &Self)>, seen: &VersionVector) -> Result<(), NotNext> {
        if self.before != before.map(|(dot, _)| *dot) {
            return Err(NotNext::Before);
        }
        let held = |actor: &Actor| self.frontier.get(actor).map_or(0, |cut| cut.seq);
        let mut let_go = before.into_iter().flat_map(|(_, before)| before.frontier.iter());
        if let Some((&actor, _)) = let_go.find(|(actor, cut)| held(actor) < cut.seq) {
            return Err(NotNext::Shrinks { actor });
        }
        match self.frontier.iter().find(|(actor, cut)| seen.get(actor) < cut.seq) {
            Some((&actor, _)) => Err(NotNext::Unseen { actor }),
            None => Ok(()),
        }
    }

    /// Whether this version folds as its author's did. Otherwise it counts, but what lies in it is to be kept.
    pub fn is_foldable(&self) -> bool {
        self.table == TABLE_VERSION
    }

    /// The op that says it, for [`Author::say`](crate::author::Author::say).
    ///
    /// # Errors
    /// Where there are more actors than a message can name.
    pub fn op(&self) -> Result<Op, FrontierTooLong> {
        let frontier = self.frontier.encode();
        if frontier.len() > FRONTIER_BYTES_MAX {
            return Err(FrontierTooLong { actors: self.frontier.0.len(), bytes: frontier.len() });
        }
        let mut options: Options = [
            ("frontier".to_owned(), frontier.into()),
            ("ground".to_owned(), self.ground.to_string().into()),
            ("table".to_owned(), Value::number(self.table.into()).unwrap_or_default()),
        ]
        .into();
        options.extend(self.before.map(|dot| ("before".to_owned(), dot.to_string().into())));
        Ok(Op { code: HORIZON, key: String::new(), path: None, value: Value::Null, options })
    }
}
