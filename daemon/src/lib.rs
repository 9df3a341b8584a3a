//! The rtc daemon: it owns the disk, the network and the socket of one user's rooms, and holds no merge rule.

pub mod asleep;
pub mod backup;
pub mod boot;
pub mod command;
pub mod config;
pub mod doctor;
pub mod durable;
pub mod hub;
pub mod identity;
pub mod launch;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod number;
pub mod past;
pub mod resident;
pub mod socket;
pub mod state;
pub mod store;
pub mod watch;

pub use command::daemon_main;
pub use launch::Launcher;
