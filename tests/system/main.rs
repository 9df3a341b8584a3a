//! Tests over real processes: daemons in temporary homes, driven as a user would drive them.

mod cli;
mod convergence;
mod crash;
mod damage;
mod forger;
mod forgeries;
mod forgery;
mod history;
mod home;
mod hostile;
mod hosts;
mod lifecycle;
mod opening;
mod tidy;
