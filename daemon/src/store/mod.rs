//! Rooms at rest: one SQLite file each, and the one thread that writes them all.

mod block;
mod copy;
mod course;
pub mod examine;
mod fact;
mod forget;
mod kept;
mod pack;
mod pending;
mod reading;
pub mod rebuild;
mod rename;
pub mod schema;
pub mod sqlite;
pub mod thread;

pub use copy::Disk;
pub use sqlite::SqliteStore;
pub use thread::{Done, Job, StoreThread};
