//! A whole scene as plain data: what replicas are compared by.

use std::collections::BTreeMap;

use crate::api::Node;
use crate::canonical::Writer;
use crate::founding::Founding;
use crate::id::{PeerKey, StateHash};
use crate::op::TABLE_VERSION;

/// Separates state hashes from every other use of the hash function.
const HASH_CONTEXT: &str = "rtc 2026 state hash 2";

/// What a room begins with: the node every scene begins with, which can be neither removed nor moved, and who founded it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// Its key.
    pub key: String,
    /// What it is.
    pub tag: String,
    /// Its name.
    pub name: String,
    /// The room's first member. None in an open room, in which everybody edits.
    pub founder: Option<PeerKey>,
}

impl Default for Root {
    fn default() -> Self {
        Self { key: "scene".into(), tag: "Scene".into(), name: "Root".into(), founder: None }
    }
}

impl Root {
    /// That of a room of which this is the founding message, as far as that has come.
    pub fn of(founding: Option<&Founding>) -> Self {
        Self { founder: founding.and_then(Founding::first_member), ..Self::default() }
    }
}

/// Every live node, those included that hang hidden below a removed one.
#[derive(Clone, PartialEq, Debug)]
pub struct Scene {
    /// The root's key.
    pub root: String,
    /// The live nodes by key.
    pub nodes: BTreeMap<String, Node>,
    /// The keys whose last life has ended, in order.
    pub deleted: Vec<String>,
}

impl Scene {
    /// The keys of all nodes that show, parents before children and siblings in order.
    pub fn reachable(&self) -> Vec<&str> {
        let mut keys = Vec::new();
        let mut next = vec![self.root.as_str()];
        while let Some(key) = next.pop() {
            if let Some(node) = self.nodes.get(key) {
                keys.push(key);
                next.extend(node.children.iter().rev().map(String::as_str));
            }
        }
        keys
    }

    /// The hash that replicas with the same messages and the same operation table agree on.
    pub fn hash(&self) -> StateHash {
        self.hash_at(TABLE_VERSION)
    }

    /// The hash that this scene has where the operation table is of that version.
    pub fn hash_at(&self, table_version: u32) -> StateHash {
        state_hash(table_version, &self.root, self.nodes.values())
    }
}

/// The hash of a scene's live nodes, given in the order of their keys: BLAKE3 over the canonical `table_version`, the root's key
/// and, of each node, `[key, tag, name, parent, [child…], {path: value…}]`.
///
/// The version is part of it because a newer table can give the same messages another scene: whoever compares hashes across
/// versions should learn nothing from it.
pub fn state_hash<N: std::borrow::Borrow<Node>>(
    table_version: u32,
    root: &str,
    nodes: impl Iterator<Item = N>,
) -> StateHash {
    let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
    let mut writer = Writer::new();
    writer.uint(table_version.into()).text(root);
    hasher.update(&writer.finish());
    for node in nodes {
        let node = node.borrow();
        let mut writer = Writer::new();
        writer.array(6).text(&node.key).text(&node.tag).text(&node.name).text_or_null(node.parent.as_deref());
        writer.array(node.children.len());
        for child in &node.children {
            writer.text(child);
        }
        writer.value_map(&node.properties);
        hasher.update(&writer.finish());
    }
    StateHash(*hasher.finalize().as_bytes())
}
