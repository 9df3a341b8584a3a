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
mod forks;
mod history;
mod home;
mod hostile;
mod hosts;
mod insight;
mod internet;
mod lifecycle;
mod members;
mod metrics;
mod opening;
#[cfg(feature = "wan")]
mod paths;
mod pause;
mod presence;
#[cfg(feature = "wan")]
mod punching;
mod readdress;
mod rooms;
mod rot;
mod rotation;
#[cfg(target_os = "linux")]
#[path = "../power/shim.rs"]
mod shim;
#[cfg(feature = "wan")]
mod sites;
mod sleep;
#[cfg(target_os = "linux")]
mod space;
#[cfg(target_os = "linux")]
mod sync_error;
mod tidy;
mod upgrade;
mod wan;
