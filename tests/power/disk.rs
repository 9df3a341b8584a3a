//! A disk as a power cut may leave it: what was synced is there, of the rest anything may be.

use std::collections::BTreeMap;
use std::path::Path;

use crate::chance::Chance;
use crate::shim::{Note, What};

/// Bytes that reach a disk together or not at all.
const SECTOR: usize = 512;

/// The content of a directory, by name.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// Files and names, each as synced, with what was done since.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// In order: a journalling file system keeps theirs.
    renaming: Vec<(String, Option<usize>)>,
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, data: Vec<u8> },
    Cut { len: usize },
}

/// What becomes of a file's changes since its last sync.
#[derive(Clone, Copy)]
enum Fate {
    Dropped,
    Kept,
    /// The first of them.
    Begun,
    /// The first of them, and of the next one any sectors.
    Torn,
    /// Any sectors of any of them: the disk wrote them in another order.
    Scattered,
    /// Likewise, but the file is as long as if all were there.
    Grown,
}

const FATES: [Fate; 6] = [Fate::Dropped, Fate::Kept, Fate::Begun, Fate::Torn, Fate::Scattered, Fate::Grown];

impl Disk {
    /// A disk on which `image` is, durably.
    pub(crate) fn of(image: &Image) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in image {
            disk.synced_names.insert(name.clone(), disk.files.len());
            disk.files.push(File { synced: bytes.clone(), since: Vec::new() });
        }
        disk.names.clone_from(&disk.synced_names);
        disk
    }

    /// Does what was noted.
    pub(crate) fn apply(&mut self, Note { path, what }: &Note) {
        match what {
            What::Created => {
                let file = self.files.len();
                self.files.push(File::default());
                self.name(path, Some(file));
            }
            What::Unlinked => self.name(path, None),
            What::Renamed { to } => {
                let file = self.names[path];
                self.name(to, Some(file));
                self.name(path, None);
            }
            // The directory itself.
            What::Synced if path.is_empty() => {
                for (name, file) in self.renaming.drain(..) {
                    rename(&mut self.synced_names, name, file);
                }
            }
            What::Synced => {
                let file = self.file(path);
                file.since.drain(..).for_each(|change| change.apply(&mut file.synced));
            }
            What::SyncFailed => panic!("nobody asked for that"),
            What::Cut { len } => self.file(path).since.push(Change::Cut { len: *len }),
            What::Written { at, data } => {
                self.file(path).since.push(Change::Write { at: *at, data: data.clone() });
            }
        }
    }

    /// What is there after a power cut now.
    pub(crate) fn cut(&self, chance: &mut Chance) -> Image {
        let mut names = self.synced_names.clone();
        let kept = chance.below(self.renaming.len() + 1);
        for (name, file) in &self.renaming[..kept] {
            rename(&mut names, name.clone(), *file);
        }
        names.into_iter().map(|(name, file)| (name, self.files[file].cut(chance))).collect()
    }

    fn file(&mut self, path: &str) -> &mut File {
        &mut self.files[self.names[path]]
    }

    fn name(&mut self, path: &str, file: Option<usize>) {
        self.renaming.push((path.to_owned(), file));
        rename(&mut self.names, path.to_owned(), file);
    }
}

fn rename(names: &mut BTreeMap<String, usize>, name: String, file: Option<usize>) {
    match file {
        Some(file) => _ = names.insert(name, file),
        None => _ = names.remove(&name),
    }
}

impl File {
    fn cut(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let fate = FATES[chance.below(FATES.len())];
        let begun = chance.below(self.since.len() + 1);
        let (whole, sectors) = match fate {
            Fate::Dropped => (0, 0..0),
            Fate::Kept => (self.since.len(), 0..0),
            Fate::Begun => (begun, 0..0),
            Fate::Torn => (begun, begun..self.since.len().min(begun + 1)),
            Fate::Scattered | Fate::Grown => (0, 0..self.since.len()),
        };
        self.since[..whole].iter().for_each(|change| change.clone().apply(&mut bytes));
        self.since[sectors].iter().for_each(|change| change.apply_some(&mut bytes, chance));
        if matches!(fate, Fate::Grown) {
            let mut all = self.synced.clone();
            self.since.iter().for_each(|change| change.clone().apply(&mut all));
            bytes.resize(all.len(), 0);
        }
        bytes
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { at, data } => put(bytes, at, &data),
            Self::Cut { len } => bytes.resize(len, 0),
        }
    }

    fn apply_some(&self, bytes: &mut Vec<u8>, chance: &mut Chance) {
        match self {
            Self::Cut { len } if chance.flip() => bytes.resize(*len, 0),
            Self::Cut { .. } => {}
            Self::Write { at, data } => {
                let mut begin = 0;
                while begin < data.len() {
                    let end = data.len().min((at + begin) / SECTOR * SECTOR + SECTOR - at);
                    if chance.flip() {
                        put(bytes, at + begin, &data[begin..end]);
                    }
                    begin = end;
                }
            }
        }
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(at + data.len()), 0);
    bytes[at..at + data.len()].copy_from_slice(data);
}

/// Makes `dir`, which is empty or holds an earlier image, hold this one.
pub(crate) fn write(image: &Image, dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir_all(dir).expect("a directory");
    for (name, bytes) in image {
        std::fs::write(dir.join(name), bytes).expect("a file");
    }
}
