//! The way in: where the daemon's files and its socket are, and how a program speaks to it.
//!
//! [`Client`] is one connection; [`blocking::Client`] the same without a runtime. What can be asked, and what is
//! answered, is [`rtc_core::api`] and nothing else.

pub mod blocking;
pub mod connection;
pub mod error;
pub mod frame;
pub mod places;
pub mod retry;

pub use connection::{Client, Replies};
pub use error::ClientError;
pub use places::{PlaceError, Places};
