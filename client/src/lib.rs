//! The way in: where the daemon's files and its socket are, and how a program speaks to it.

pub mod places;

pub use places::{PlaceError, Places};
