//! Rooms at rest: one SQLite file each, and the one thread that writes them all.

mod block;
mod kept;
mod pack;
mod reading;
pub mod schema;
pub mod sqlite;
pub mod thread;

pub use sqlite::SqliteStore;
pub use thread::{Done, Job, StoreThread};
