//! Follows the settings file: what can change without a restart does, and a broken file changes nothing.
//!
//! Editors replace files by renaming, so the directory is watched, not the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::{Overrides, Settings};

/// An editor's save is several events; the file is read once they pause this long.
const SETTLE: Duration = Duration::from_millis(50);

/// The settings in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Current {
    /// The last ones that made sense.
    pub settings: Settings,
    /// What is wrong with the file now, if something is.
    pub error: Option<String>,
}

/// Follows the file until dropped.
#[derive(Debug)]
pub struct ConfigWatch {
    current: watch::Receiver<Current>,
    following: JoinHandle<()>,
}

impl ConfigWatch {
    /// Begins to follow `path`, whose settings are `settings` now. Where the system cannot watch, the log says so, and
    /// a restart reads the file.
    pub fn start(path: &Path, settings: Settings, overrides: Overrides) -> Self {
        let (current_tx, current) = watch::channel(Current { settings, error: None });
        let following = Following { path: path.to_owned(), overrides, current: current_tx };
        Self { current, following: tokio::spawn(following.run()) }
    }

    /// The settings in force, and news of them.
    pub fn current(&self) -> watch::Receiver<Current> {
        self.current.clone()
    }
}

impl Drop for ConfigWatch {
    fn drop(&mut self) {
        self.following.abort();
    }
}

struct Following {
    path: PathBuf,
    overrides: Overrides,
    current: watch::Sender<Current>,
}

impl Following {
    async fn run(self) {
        // One waiting word is enough: the file is read after it.
        let (changed_tx, mut changed) = mpsc::channel(1);
        let _watcher = match watcher(&self.path, changed_tx) {
            Ok(watcher) => watcher,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%error, %path, "cannot follow the settings: changes count after a restart");
                // Kept, so that the settings in force stay known.
                return self.current.closed().await;
            }
        };
        // What changed between the first reading and the watch.
        self.reread();
        while changed.recv().await.is_some() {
            let settled = Instant::now() + SETTLE;
            while let Ok(Some(())) = tokio::time::timeout_at(settled, changed.recv()).await {}
            self.reread();
        }
    }

    fn reread(&self) {
        let before = self.current.borrow().clone();
        let path = self.path.display();
        let now = match Settings::load(&self.path, &self.overrides) {
            Ok(settings) => Current { settings, error: None },
            Err(error) => Current { settings: before.settings.clone(), error: Some(error.to_string()) },
        };
        if now == before {
            return;
        }
        match &now.error {
            Some(error) => tracing::error!(%error, "the settings are broken; the old ones stay"),
            None => {
                tracing::info!(%path, "the settings changed");
                for (key, has_changed) in [
                    ("listen", now.settings.listen != before.settings.listen),
                    ("metrics", now.settings.metrics != before.settings.metrics),
                ] {
                    if has_changed {
                        tracing::warn!("`{key}` changed: that counts after a restart");
                    }
                }
            }
        }
        self.current.send_replace(now);
    }
}

/// Says a word for everything that happens to the file. Where it is a link, what it leads to is watched as well.
fn watcher(path: &Path, changed: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let names = [path.file_name().map(ToOwned::to_owned), target.file_name().map(ToOwned::to_owned)];
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error may have cost events.
        let concerns = event.map_or(true, |event| {
            changes(event.kind)
                && event.paths.iter().any(|path| names.contains(&path.file_name().map(ToOwned::to_owned)))
        });
        if concerns {
            // Full: a word is waiting already.
            let _ = changed.try_send(());
        }
    })?;
    let mut dirs = vec![path.parent(), target.parent()];
    dirs.dedup();
    for dir in dirs.into_iter().flatten() {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether the event can mean new content. Reading the file is an event too, and must not lead to reading it again.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than anything here takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Followed {
        path: PathBuf,
        current: watch::Receiver<Current>,
        _watch: ConfigWatch,
        _dir: tempfile::TempDir,
    }

    impl Followed {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("config.toml");
            let watch = ConfigWatch::start(&path, Settings::default(), Overrides::default());
            Self { path, current: watch.current(), _watch: watch, _dir: dir }
        }

        async fn until(&mut self, wanted: impl FnMut(&Current) -> bool) -> Current {
            let seen = tokio::time::timeout(PATIENCE, self.current.wait_for(wanted));
            seen.await.expect("in time").expect("it is followed").clone()
        }
    }

    #[tokio::test]
    async fn a_written_file_counts_at_once() {
        let mut followed = Followed::start();
        fs::write(&followed.path, "mdns = false").unwrap();
        followed.until(|current| !current.settings.mdns).await;
        fs::remove_file(&followed.path).unwrap();
        followed.until(|current| current.settings.mdns).await;
    }

    #[tokio::test]
    async fn a_file_replaced_by_renaming_counts() {
        let mut followed = Followed::start();
        for log in ["debug", "warn", "error"] {
            let next = followed.path.with_extension("swp");
            fs::write(&next, format!("log = \"{log}\"")).unwrap();
            fs::rename(&next, &followed.path).unwrap();
            followed.until(|current| current.settings.log == log).await;
        }
    }

    #[tokio::test]
    async fn a_broken_file_is_named_and_the_old_settings_stay() {
        let mut followed = Followed::start();
        fs::write(&followed.path, "mdns = false").unwrap();
        followed.until(|current| !current.settings.mdns).await;
        fs::write(&followed.path, "mdns = false\nmdsn = true").unwrap();
        let broken = followed.until(|current| current.error.is_some()).await;
        assert!(!broken.settings.mdns);
        assert!(broken.error.unwrap().contains("line 2, column 1: unknown field `mdsn`"));
        fs::write(&followed.path, "mdns = true").unwrap();
        followed.until(|current| current.settings.mdns && current.error.is_none()).await;
    }

    #[tokio::test]
    async fn a_link_is_followed_to_the_file_it_leads_to() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, target) = (dir.path().join("config.toml"), elsewhere.path().join("mine.toml"));
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let watch = ConfigWatch::start(&path, Settings::default(), Overrides::default());
        let mut current = watch.current();
        fs::write(&target, "mdns = false").unwrap();
        let seen = tokio::time::timeout(PATIENCE, current.wait_for(|current| !current.settings.mdns));
        seen.await.expect("in time").expect("it is followed");
    }
}
