//! Daemons of one user on one host find each other by files in a directory only that user can touch.
//!
//! Each daemon keeps one file there, `<key>.addr`, with its addresses one per line. The directory is watched, so a
//! newcomer is found at once and without multicast.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libp2p::Multiaddr;
use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rtc_core::id::PeerKey;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Duration, timeout};
use tracing::{debug, warn};

use super::limits::{
    PEER_ADDRESSES_MAX, RENDEZVOUS_BYTES_MAX, RENDEZVOUS_FILES_MAX, RENDEZVOUS_POLL, RENDEZVOUS_STALE,
};

/// How a rendezvous file's name ends.
const EXTENSION: &str = "addr";
/// Waiting for ever, for those who may as well wait.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What one peer's file says now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// Whose file.
    pub(crate) peer: PeerKey,
    /// Its addresses.
    pub(crate) addresses: Vec<Multiaddr>,
}

/// The directory, and our file in it.
#[derive(Debug)]
pub(crate) struct Rendezvous {
    dir: PathBuf,
    us: PeerKey,
    /// What was reported of whom.
    told: BTreeMap<PeerKey, Vec<Multiaddr>>,
}

/// What the rendezvous task hears and says.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Our addresses, as they change; when their sender is gone, the task ends and takes our file along.
    pub(crate) listening: watch::Receiver<Vec<Multiaddr>>,
    /// Peers whose daemons refused a dial.
    pub(crate) refused: mpsc::Receiver<PeerKey>,
    /// New and changed files.
    pub(crate) found: mpsc::Sender<Found>,
}

/// The directory is not one to trust.
#[derive(Debug, thiserror::Error)]
enum DirError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("others may write to it, or it is not ours")]
    NotPrivate,
}

impl Rendezvous {
    /// The rendezvous of `us` in `dir`, which need not exist yet.
    pub(crate) fn new(dir: PathBuf, us: PeerKey) -> Self {
        Self { dir, us, told: BTreeMap::new() }
    }

    /// Keeps our file and reports others' until `lines.listening` ends, then removes our file.
    pub(crate) async fn run(mut self, mut lines: Lines) {
        let changed = Arc::new(Notify::new());
        let mut watcher = None;
        loop {
            let addresses = lines.listening.borrow_and_update().clone();
            let Some((rendezvous, found)) = self.sync_blocking(addresses).await else { return };
            self = rendezvous;
            if watcher.is_none() {
                watcher = watch_dir(&self.dir, &changed);
                if watcher.is_some() {
                    // What came between reading and watching is read now.
                    changed.notify_one();
                }
            }
            for found in found {
                if lines.found.send(found).await.is_err() {
                    break;
                }
            }
            let pause = if watcher.is_some() { NEVER } else { RENDEZVOUS_POLL };
            tokio::select! {
                result = lines.listening.changed() => if result.is_err() { break },
                Some(peer) = lines.refused.recv() => self.remove_stale(&peer),
                _ = timeout(pause, changed.notified()) => {
                    if !self.dir.exists() {
                        // Whoever removed the directory removed our watch with it.
                        watcher = None;
                    }
                }
            }
        }
        remove(&self.file_of(&self.us));
    }

    /// [`Self::sync`] where blocking is allowed; `None` only when the runtime is going down.
    async fn sync_blocking(mut self, addresses: Vec<Multiaddr>) -> Option<(Self, Vec<Found>)> {
        let synced = tokio::task::spawn_blocking(move || {
            let found = self.sync(&addresses).unwrap_or_else(|error| {
                warn!(%error, dir = %self.dir.display(), "no rendezvous with other daemons of this host");
                Vec::new()
            });
            (self, found)
        });
        synced.await.ok()
    }

    /// Puts our file in order and reads the others'; returns what is new.
    fn sync(&mut self, addresses: &[Multiaddr]) -> Result<Vec<Found>, DirError> {
        create_private(&self.dir)?;
        let own = self.file_of(&self.us);
        let lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        if addresses.is_empty() {
            remove(&own);
        } else if read_file(&own).ok().as_deref() != Some(lines.as_str()) {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(lines.as_bytes())?;
            file.persist(&own).map_err(|error| error.error)?;
        }
        require_private(&self.dir, &own)?;
        let now = self.scan()?;
        let news = now.iter().filter(|(peer, addresses)| self.told.get(peer) != Some(addresses));
        let found =
            news.map(|(peer, addresses)| Found { peer: *peer, addresses: addresses.clone() }).collect();
        self.told = now;
        Ok(found)
    }

    /// All other daemons' files, as far as they make sense.
    fn scan(&self) -> io::Result<BTreeMap<PeerKey, Vec<Multiaddr>>> {
        let mut peers = BTreeMap::new();
        for entry in fs::read_dir(&self.dir)?.take(RENDEZVOUS_FILES_MAX) {
            let path = entry?.path();
            let Some(peer) = peer_of(&path).filter(|peer| *peer != self.us) else { continue };
            // A file may go while we look; its event brings us back.
            let Ok(text) = read_file(&path) else { continue };
            let addresses = text.lines().filter_map(|line| line.parse().ok());
            peers.insert(peer, addresses.take(PEER_ADDRESSES_MAX).collect());
        }
        Ok(peers)
    }

    fn file_of(&self, peer: &PeerKey) -> PathBuf {
        self.dir.join(format!("{peer}.{EXTENSION}"))
    }

    /// Removes the file of a daemon that was killed: it is old, and nobody listens where it says. A daemon that is
    /// alive after all writes its own anew.
    fn remove_stale(&self, peer: &PeerKey) {
        let path = self.file_of(peer);
        let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > RENDEZVOUS_STALE)) {
            remove(&path);
        }
    }
}

/// Watches `dir`; `None`, and a word of it, where that is impossible.
fn watch_dir(dir: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let on_event = move |event: notify::Result<Event>| match event.map(|event| event.kind) {
        // Our own reading, above all.
        Ok(EventKind::Access(_)) => {}
        Ok(EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_))
        | Ok(EventKind::Other)
        | Err(_) => changed.notify_one(),
    };
    let watcher = notify::recommended_watcher(on_event).and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| debug!(%error, dir = %dir.display(), "cannot watch, reading at intervals"))
        .ok()
}

fn peer_of(path: &Path) -> Option<PeerKey> {
    if path.extension()? != EXTENSION {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok()
}

/// The start of a regular file; links and pipes are nobody's rendezvous file.
fn read_file(path: &Path) -> io::Result<String> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    fs::File::open(path)?.take(RENDEZVOUS_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, path = %path.display(), "cannot remove a rendezvous file");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Creates `dir`, and what is missing above it, for this user alone.
fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Fails where others could put files into `dir`; `own` is a file we made.
#[cfg(unix)]
fn require_private(dir: &Path, own: &Path) -> Result<(), DirError> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(dir)?;
    let ours = fs::metadata(own).map_or(true, |own| own.uid() == found.uid());
    if found.mode() & 0o022 == 0 && ours { Ok(()) } else { Err(DirError::NotPrivate) }
}

#[cfg(not(unix))]
fn require_private(_: &Path, _: &Path) -> Result<(), DirError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerKey = PeerKey([1; 32]);
    const B: PeerKey = PeerKey([2; 32]);

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn two_daemons_read_each_other_once_per_change() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("runtime").join("rendezvous");
        let mut a = Rendezvous::new(dir.clone(), A);
        let mut b = Rendezvous::new(dir.clone(), B);
        assert_eq!(a.sync(&[address(1)]).unwrap(), []);
        let found_a = Found { peer: A, addresses: vec![address(1)] };
        assert_eq!(b.sync(&[address(2)]).unwrap(), [found_a]);
        assert_eq!(b.sync(&[address(2)]).unwrap(), []);
        let moved_b = Found { peer: B, addresses: vec![address(3)] };
        b.sync(&[address(3)]).unwrap();
        assert_eq!(a.sync(&[address(1)]).unwrap(), [moved_b]);
        a.remove_stale(&B);
        assert!(a.file_of(&B).exists(), "a fresh file stays");
        fs::remove_file(a.file_of(&A)).unwrap();
        a.sync(&[address(1)]).unwrap();
        assert!(a.file_of(&A).exists(), "our own file comes back");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_others_can_write_to_is_refused_and_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let mut ours = Rendezvous::new(home.path().to_owned(), A);
        ours.sync(&[address(1)]).unwrap();
        let mode = fs::metadata(ours.file_of(&A)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(ours.sync(&[address(1)]), Err(DirError::NotPrivate)));
    }

    #[test]
    fn no_more_files_are_read_than_there_may_be_and_none_past_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let mut ours = Rendezvous::new(dir.path().to_owned(), A);
        // Lines past the limit of a file are not there.
        let lines =
            "/ip4/127.0.0.1/tcp/1\n".to_owned() + &" ".repeat(usize::try_from(RENDEZVOUS_BYTES_MAX).unwrap());
        fs::write(ours.file_of(&B), lines + "\n/ip4/127.0.0.1/tcp/2\n").unwrap();
        let found = Found { peer: B, addresses: vec![address(1)] };
        assert_eq!(ours.sync(&[address(3)]).unwrap(), [found]);
        for number in 0..RENDEZVOUS_FILES_MAX {
            let mut key = [9; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            fs::write(ours.file_of(&PeerKey(key)), "/ip4/127.0.0.1/tcp/1\n").unwrap();
        }
        ours.told.clear();
        let count = ours.sync(&[address(3)]).unwrap().len();
        assert!((1..=RENDEZVOUS_FILES_MAX).contains(&count), "{count} files are read");
    }

    #[test]
    fn odd_files_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut ours = Rendezvous::new(dir.path().to_owned(), A);
        fs::write(dir.path().join("README"), "hello").unwrap();
        fs::write(dir.path().join("nobody.addr"), "/ip4/127.0.0.1/tcp/1").unwrap();
        fs::write(ours.file_of(&B), "no address\n/ip4/127.0.0.1/tcp/1\n").unwrap();
        let found = Found { peer: B, addresses: vec![address(1)] };
        assert_eq!(ours.sync(&[address(2)]).unwrap(), [found]);
    }
}
