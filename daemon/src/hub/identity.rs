//! The daemon's key, kept in another place and brought back from there.

use std::path::Path;

use rtc_core::api::{ApiError, Code, Reply};
use rtc_core::id::PeerKey;

use crate::hub::Hub;
use crate::identity::{Identity, IdentityError};

impl Hub {
    /// Copies the key into a new file.
    pub(super) fn back_up_identity(&self, file: &str) -> Result<Reply, ApiError> {
        check_absolute(file)?;
        Identity::back_up(&self.state.identity_file(), Path::new(file)).map_err(refused)?;
        tracing::info!(file, "the key was copied");
        Ok(Reply::Identity { peer: self.me })
    }

    /// Makes the key of a copy this daemon's own. The daemon stops: it is another peer from its next start on.
    pub(super) fn restore_identity(&mut self, file: &str) -> Result<Reply, ApiError> {
        check_absolute(file)?;
        let peer = Identity::restore(Path::new(file), &self.state.identity_file()).map_err(refused)?;
        if peer != self.me {
            tracing::warn!(%peer, "the key was replaced, so the daemon stops");
            self.stopping = true;
        }
        Ok(Reply::Identity { peer })
    }
}

impl Hub {
    /// Lets the key `from` of this daemon give way to a new one. The daemon starts anew with that: wherever it is a member, the new key
    /// takes the old one's place as soon as the room is awake. Once for each key, however often it is asked for.
    pub(super) fn rotate_identity(&mut self, from: &PeerKey) -> Result<Reply, ApiError> {
        let file = self.state.identity_file();
        let now = Identity::read(&file).map_err(refused)?;
        if now.is_after(from) {
            if now.key() != self.me {
                // The answer was an error: whether the file is on the disk was not known.
                Identity::keep(&file).map_err(refused)?;
                self.begin_anew(now.key());
            }
            return Ok(Reply::Identity { peer: now.key() });
        }
        if *from != now.key() {
            return Err(ApiError::new(Code::NotFound, "that is not the key of this machine")
                .with_hint("`rtc identity show` prints it"));
        }
        let peer = Identity::rotate(&file).map_err(refused)?;
        self.begin_anew(peer);
        Ok(Reply::Identity { peer })
    }

    fn begin_anew(&mut self, peer: PeerKey) {
        tracing::warn!(%peer, "the key gives way to a new one, and the daemon starts anew");
        self.stopping = true;
    }
}

fn check_absolute(file: &str) -> Result<(), ApiError> {
    match Path::new(file).is_absolute() {
        true => Ok(()),
        false => Err(ApiError::new(Code::BadArgument, format!("{file:?} is no absolute path"))),
    }
}

fn refused(error: IdentityError) -> ApiError {
    let hint = match &error {
        IdentityError::OpenToOthers { .. } | IdentityError::NotOurs { .. } => {
            "whoever can read the file can be you in every room"
        }
        IdentityError::Damaged { .. } => "use another copy",
        IdentityError::GaveWay { .. } => "it may do nothing any more; use a backup made since",
        IdentityError::TooManyKeys { .. } => "move the file away to become a new peer, and be invited again",
        IdentityError::NoRandomness(_) | IdentityError::Io { .. } => "name a file that can be used",
    };
    ApiError::new(Code::BadArgument, error.to_string()).with_hint(hint)
}
