//! The replica, the sync protocol and the local API of rtc, as state machines.
//!
//! Nothing here reads a clock, a disk, a socket or a source of randomness: all of these are arguments. The same
//! messages therefore give the same scene on every machine, bit for bit.
//!
//! The rest of this page is the crate's README; its programs are run as tests.
#![doc = include_str!("../README.md")]

pub mod api;
pub mod author;
pub mod block;
pub mod branch;
pub mod bundle;
pub mod canonical;
pub mod chain;
pub mod clock;
pub mod dialect;
pub mod fork;
pub mod founding;
pub mod ground;
pub mod horizon;
pub mod id;
pub mod invite;
pub mod limits;
pub mod members;
pub mod message;
pub mod naive;
pub mod op;
pub mod place;
pub mod planted;
pub mod presence;
pub mod preview;
pub mod raw;
pub mod replica;
pub mod room;
pub mod scene;
pub mod seal;
mod sequence;
pub mod sim;
pub mod store;
pub mod switchboard;
pub mod sync;
pub mod ticket;
pub mod value;
pub mod view;
