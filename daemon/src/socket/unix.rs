//! Clients over a Unix socket: in a directory of the user's alone, mode 0600, and only this user's processes.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rtc_client::places::{PlaceError, private_dir};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// A bound socket; dropping it removes the file.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our file: another one at its path is not ours to remove.
    file: (u64, u64),
    us: u32,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its directory will not do.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Somebody answers there: a daemon with other data and the same socket.
    #[error("another daemon answers at {}; give each its own RTC_HOME", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something of that name is no socket.
    #[error("{} is in the way: it is not a socket", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen at {}: {error}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Listener {
    /// Binds `path`, in place of what a killed daemon left there. The caller holds the lock on its data.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        private_dir(path.parent().unwrap_or(Path::new("/")))?;
        remove_stale(path).await?;
        let bind = || {
            // The directory keeps others out until the mode is set.
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok((listener, identity(path)?))
        };
        let (listener, file) = bind().map_err(|error| BindError::Io { path: path.to_owned(), error })?;
        Ok(Self { listener, path: path.to_owned(), file, us: nix::unistd::geteuid().as_raw() })
    }

    /// The next client that runs as this user. Others are turned away, whatever the socket's mode has become.
    pub(super) async fn accept(&self) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == self.us => return Ok(stream.into_split()),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "turned away a process of another user"),
                Err(error) => tracing::warn!(%error, "turned away a process that the system does not name"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // What stays is found to be stale by the next daemon.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Io { path: path.to_owned(), error };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => Err(BindError::InTheWay { path: path.to_owned() }),
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
            Err(_) => fs::remove_file(path).map_err(failed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_the_users_alone_and_goes_with_its_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/rtcd.sock");
        let listener = Listener::bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/rtcd.sock");
        private_dir(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let _live = Listener::bind(&path).await.unwrap();
        assert!(matches!(Listener::bind(&path).await, Err(BindError::InUse { .. })));
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_the_way_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/rtcd.sock");
        private_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path).await, Err(BindError::InTheWay { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_directory_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = Listener::bind(&dir.path().join("rtcd.sock")).await;
        assert!(matches!(refused, Err(BindError::Place(PlaceError::OpenToOthers { .. }))));
    }
}
