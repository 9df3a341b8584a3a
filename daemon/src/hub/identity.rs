//! The daemon's key, kept in another place and brought back from there.

use std::path::Path;

use rtc_core::api::{ApiError, Code, Reply};

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
        IdentityError::NoRandomness(_) | IdentityError::Io { .. } => "name a file that can be used",
    };
    ApiError::new(Code::BadArgument, error.to_string()).with_hint(hint)
}
