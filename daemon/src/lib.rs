//! The rtc daemon: it owns the disk, the network and the socket of one user's rooms, and holds no merge rule.

pub mod durable;
pub mod identity;
pub mod lock;
pub mod number;
pub mod state;
pub mod store;
