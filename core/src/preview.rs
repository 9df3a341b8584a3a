//! What the scene would show with edits that are not committed: folded beside it, on a scratch that holds what they name.
//!
//! A draft has seen all that is held, so it comes last in the fold of every property, and the values there are all it needs. Costs what
//! the draft costs; where it moves nodes, also what stands beside them. What a draft brings back from the dead shows
//! alone: what was below it shows again once it is committed.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Change, EditOp, Node};
use crate::id::Actor;
use crate::message::Message;
use crate::op::edit::{self, Commit};
use crate::op::{Op, OpCode, Options};
use crate::place::Place;
use crate::replica::{NodeIx, Replica};
use crate::scene::Root;
use crate::value::Value;

/// Nodes of the scene that are looked at where nodes move: a draft must not cost what a large scene does. Past that, what is moved shows
/// beside those of its new siblings that were looked at.
const NODES_MAX: usize = 1024;
/// The options of edits that name nodes.
const NAMING: [&str; 4] = ["parent", "parentKey", "before", "after"];

/// What the scene would show differently. Edits that cannot be made as things stand are left out.
pub fn changes(replica: &Replica, edits: &[EditOp]) -> Vec<Change> {
    let actor = Actor::from_name("preview");
    // Whoever drafts it may: the scratch has no members to ask.
    let mut scratch = Replica::new(Root { founder: None, ..replica.root().clone() });
    let message = |seq: u64, ops: Vec<Op>| Message {
        actor,
        seq,
        lamport: seq,
        clock: Vec::new(),
        time_ms: None,
        request: None,
        note: None,
        ops,
    };
    scratch.apply(&message(1, known(replica, edits)));
    scratch.drop_changes();
    let mut seq = 2;
    for edit in edits {
        // One by one, so that one that cannot be made takes no other with it.
        let commit = Commit { lamport: seq, actor, seq };
        if let Ok(ops) = edit::compile(std::slice::from_ref(edit), &scratch, commit) {
            scratch.apply(&message(seq, ops));
            seq += 1;
        }
    }
    scratch.take_changes()
}

/// What the edits name of the scene, as insertions.
fn known(replica: &Replica, edits: &[EditOp]) -> Vec<Op> {
    let mut properties: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    let mut moves = false;
    for edit in edits {
        let of_node = properties.entry(&edit.key).or_default();
        match edit.path.as_deref().filter(|_| !edit.otype.starts_with("node.")) {
            Some(path) => {
                of_node.extend(replica.value(&edit.key, path).map(|value| (path.to_owned(), value)));
            }
            None => moves = true,
        }
        let named = NAMING.iter().filter_map(|name| edit.options.get(*name)?.as_text());
        named.for_each(|key| _ = properties.entry(key).or_default());
    }
    let insert = OpCode::named("node.insert").expect("it is in the table");
    let op = |key: &str, options: Options, properties: BTreeMap<String, Value>| {
        let (key, value) = (key.to_owned(), Value::Map(properties));
        Op { code: insert, key, path: None, value, options }
    };
    if !moves {
        // Where nothing moves it does not matter where a node stands.
        let live = properties.into_iter().filter(|(key, _)| replica.is_live(key));
        return live.map(|(key, properties)| op(key, Options::new(), properties)).collect();
    }
    let root = replica.root().key.as_str();
    let mut ops = vec![op(root, Options::new(), properties.remove(root).unwrap_or_default())];
    for (parent, node) in family(replica, properties.keys().copied()) {
        let key = replica.key_of(node).expect("it was found there");
        let (tag, name) = replica.tag_and_name(node);
        let parent = replica.key_of(parent).expect("it was found there");
        let options = [("tag", tag), ("name", name), ("parent", parent)];
        let options = options.map(|(name, value)| (name.to_owned(), value.into())).into();
        ops.push(op(key, options, properties.remove(key).unwrap_or_default()));
    }
    ops
}

/// Those of the named nodes that live, what they stand below, and what stands beside and below them, each with its parent; what hangs below
/// a dead one does so again, since that is not among them. In the order of their places, whoever their parents are: made anew in this
/// order, any two of them stand as they did.
fn family<'a>(replica: &Replica, named: impl Iterator<Item = &'a str>) -> Vec<(NodeIx, NodeIx)> {
    let mut needed = BTreeSet::new();
    let mut parents = BTreeSet::from([Replica::ROOT]);
    for node in named.filter_map(|key| replica.number(key)) {
        let above = |&node: &NodeIx| {
            let is_lost = needed.contains(&node) || !replica.is_live_node(node);
            replica.standing(node).filter(|_| !is_lost).map(|standing| standing.parent)
        };
        let way_up: Vec<NodeIx> = std::iter::successors(Some(node), above).take(NODES_MAX).collect();
        if needed.len() + way_up.len() <= NODES_MAX {
            parents.extend([node].into_iter().chain(replica.last_parent(node)));
            needed.extend(way_up);
        }
    }
    for children in parents.iter().filter_map(|&parent| replica.children(parent)) {
        needed.extend(children.iter().take(NODES_MAX.saturating_sub(needed.len())));
    }
    let with_parent = needed.into_iter().filter_map(|node| Some((replica.standing(node)?.parent, node)));
    let mut list: Vec<(NodeIx, NodeIx)> = with_parent.collect();
    list.sort_by(|&(_, a), &(_, b)| Place::compare(replica.rank(a), replica.rank(b)));
    list
}

/// The scene as it would show, read node by node.
#[derive(Default)]
pub struct Preview {
    nodes: BTreeMap<String, Stood>,
    /// Nodes that come below each, in the order in which they take their places.
    arrivals: BTreeMap<String, Vec<String>>,
    removed: BTreeSet<String>,
    properties: BTreeMap<String, Vec<(String, Option<Value>)>>,
}

/// What is told of a node that stands elsewhere, or is new.
struct Stood {
    tag: String,
    name: String,
    parent: Option<String>,
    after: Option<String>,
}

impl Preview {
    /// The scene with these edits.
    pub fn new(replica: &Replica, edits: &[EditOp]) -> Self {
        let mut preview = Self::default();
        for change in changes(replica, edits) {
            match change {
                Change::Node { key, tag, name, parent, after } => {
                    if let Some(parent) = &parent {
                        preview.arrivals.entry(parent.clone()).or_default().push(key.clone());
                    }
                    preview.nodes.insert(key, Stood { tag, name, parent, after });
                }
                Change::Removed { key } => _ = preview.removed.insert(key),
                Change::Property { key, path, value } => {
                    preview.properties.entry(key).or_default().push((path, value));
                }
            }
        }
        preview
    }

    /// The node of that key.
    pub fn node(&self, replica: &Replica, key: &str) -> Option<Node> {
        if self.removed.contains(key) {
            return None;
        }
        let stood = self.nodes.get(key);
        let fresh = || stood.map(|_| Node { key: key.to_owned(), ..Node::default() });
        let mut node = replica.node(key).or_else(fresh)?;
        if let Some(Stood { tag, name, parent, after: _ }) = stood {
            (node.tag, node.name, node.parent) = (tag.clone(), name.clone(), parent.clone());
        }
        node.children.retain(|child| !self.nodes.contains_key(child) && !self.removed.contains(child));
        for child in self.arrivals.get(key).into_iter().flatten() {
            let after = self.nodes.get(child).and_then(|stood| stood.after.as_ref());
            let before = after.and_then(|after| node.children.iter().position(|child| child == after));
            node.children.insert(before.map_or(0, |index| index + 1), child.clone());
        }
        for (path, value) in self.properties.get(key).into_iter().flatten() {
            match value {
                Some(value) => _ = node.properties.insert(path.clone(), value.clone()),
                None => _ = node.properties.remove(path),
            }
        }
        Some(node)
    }

    /// Every node of the scene, parents before children and siblings in order.
    pub fn scene(&self, replica: &Replica) -> Vec<Node> {
        let mut scene = Vec::new();
        let mut next = vec![replica.root().key.clone()];
        while let Some(key) = next.pop() {
            let Some(node) = self.node(replica, &key) else { continue };
            next.extend(node.children.iter().rev().cloned());
            scene.push(node);
        }
        scene
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::{About, Author};
    use crate::id::RoomId;
    use crate::sim::{Random, draw_op};

    /// Two replicas of one history, one of which goes on.
    struct Twins {
        author: Author,
        twin: Replica,
        replica: Replica,
    }

    impl Twins {
        fn new() -> Self {
            let author = Author::new(&RoomId([1; 32]), Actor::from_name("a"));
            let replica = || Replica::new(Root::default());
            Self { author, twin: replica(), replica: replica() }
        }

        fn commit(&mut self, edits: &[EditOp]) -> bool {
            let Self { author, twin, replica } = self;
            author.commit(edits, About::default(), twin, |made| _ = replica.apply_view(&made.view())).is_ok()
        }

        fn commit_on_one(&mut self, edits: &[EditOp]) -> bool {
            self.author.commit(edits, About::default(), &mut self.twin, |_| {}).is_ok()
        }
    }

    /// Any edit; those of nodes often say where among the siblings.
    fn draw(random: &mut Random) -> EditOp {
        let mut edit = draw_op(random);
        if ["node.insert", "node.move"].contains(&&*edit.otype) {
            let (name, place) = match random.below(4) {
                0 => ("index", Value::number([0.0, 1.0, 2.0][random.index(3)]).unwrap_or_default()),
                1 => ("before", (*random.pick(&["cube", "lamp", "arm", "hand"])).into()),
                2 => ("after", (*random.pick(&["cube", "lamp", "arm", "hand"])).into()),
                _ => return edit,
            };
            edit.options.insert(name.to_owned(), place);
        }
        edit
    }

    fn is_revival(edits: &[EditOp], replica: &Replica) -> bool {
        let dead = replica.deleted();
        let is_removed = |key: &String| {
            edits.iter().any(|edit| edit.otype == "node.remove" && edit.key == *key) || dead.contains(key)
        };
        edits.iter().any(|edit| edit.otype == "node.insert" && is_removed(&edit.key))
    }

    #[test]
    fn a_preview_is_what_a_commit_shows() {
        let (mut compared, mut moved) = (0, 0);
        for seed in 0..1000 {
            let mut random = Random::new(seed);
            let mut twins = Twins::new();
            for _ in 0..random.below(60) {
                twins.commit(&[draw(&mut random)]);
            }
            let draft: Vec<EditOp> = (0..=random.below(4)).map(|_| draw(&mut random)).collect();
            let before: Vec<Node> = twins.replica.scene().collect();
            let hash = twins.replica.state_hash();
            if is_revival(&draft, &twins.replica) || !twins.commit_on_one(&draft) {
                continue;
            }
            let expected: Vec<Node> = twins.twin.scene().collect();
            let preview = Preview::new(&twins.replica, &draft);
            assert_eq!(preview.scene(&twins.replica), expected, "seed {seed}: {draft:#?}");
            assert_eq!(twins.replica.state_hash(), hash, "the replica stays as it is");
            compared += 1;
            moved +=
                usize::from(before.iter().map(|node| &node.key).ne(expected.iter().map(|node| &node.key)));
        }
        assert!(compared > 100 && moved > 20, "{compared} drafts compared, {moved} of which moved nodes");
    }

    #[test]
    fn what_cannot_be_made_takes_nothing_else_with_it() {
        let mut twins = Twins::new();
        let edits = |lines: &[&str]| -> Vec<EditOp> {
            let edit = |json: &&str| EditOp::from_flat(&serde_json::from_str(json).unwrap()).unwrap();
            lines.iter().map(edit).collect()
        };
        twins.commit(&edits(&[r#"{"otype":"node.insert","key":"a","value":{"x":1}}"#]));
        let draft = edits(&[
            r#"{"otype":"number.add","key":"gone","path":"x","value":1}"#,
            r#"{"otype":"number.add","key":"a","path":"x","value":1}"#,
            r#"{"otype":"no.such","key":"a","path":"x","value":1}"#,
        ]);
        let value = Value::number(2.0);
        let change = Change::Property { key: "a".into(), path: "x".into(), value };
        assert_eq!(changes(&twins.replica, &draft), [change]);
    }
}
