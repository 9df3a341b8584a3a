//! Tests over real processes: daemons in temporary homes, driven as a user would drive them.

mod backup;
#[path = "../power/chance.rs"]
mod chance;
mod cli;
mod clients;
mod compaction;
mod convergence;
mod crash;
mod damage;
mod doctor;
mod forger;
mod forgeries;
mod forgery;
mod history;
mod home;
mod hostile;
mod hosts;
mod insight;
mod lifecycle;
mod members;
mod metrics;
mod opening;
mod pause;
mod presence;
mod rooms;
mod rot;
#[cfg(target_os = "linux")]
#[path = "../power/shim.rs"]
mod shim;
mod sleep;
#[cfg(target_os = "linux")]
mod space;
#[cfg(target_os = "linux")]
mod sync_error;
mod tidy;
mod upgrade;
mod wan;
