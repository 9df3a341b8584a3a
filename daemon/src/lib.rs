//! The rtc daemon: owns the disk, the network and the socket of one user's rooms.

pub mod net;
