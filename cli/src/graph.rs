//! The JSON of vuer.rtc's SceneGraph, out and in: `{"nodes": {key: {key, tag, name, children, …}}, "rootKey": key}`.
//!
//! That format spreads a node's properties beside its fields. Properties whose names would be taken for fields go into a
//! map `properties` of their own, so nothing is lost on the way out and back.

use std::collections::{BTreeMap, BTreeSet};

use rtc_core::api::{EditOp, Node};
use rtc_core::value::Value;

/// What is no property at the top level of a node: its fields, and what vuer.rtc keeps for its own merging.
const FIELDS: [&str; 10] = [
    "key",
    "tag",
    "name",
    "children",
    "properties",
    "clock",
    "lamportTime",
    "createdAt",
    "updatedAt",
    "deletedAt",
];
/// Ops of one commit of an import.
const COMMIT_OPS_MAX: usize = 256;
/// Bytes of one commit of an import, about: half of what a message may have.
const COMMIT_BYTES_MAX: usize = rtc_core::limits::MESSAGE_BYTES_MAX / 2;

/// JSON that is no SceneGraph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// It is no JSON, or holds a number that is not finite.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A part that is missing or of another kind.
    #[error("{0}")]
    NotAGraph(&'static str),
    /// A node's field that is of another kind.
    #[error("node {key:?}: {field} must be {expected}")]
    BadField {
        /// Which node.
        key: String,
        /// Which field.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
}

/// A node as an entry of the graph's `nodes`, without the comma.
pub fn entry(node: &Node) -> String {
    let mut fields = BTreeMap::new();
    let mut hidden = BTreeMap::new();
    for (path, value) in &node.properties {
        let into = if FIELDS.contains(&path.as_str()) { &mut hidden } else { &mut fields };
        into.insert(path.clone(), value.clone());
    }
    if !hidden.is_empty() {
        fields.insert("properties".to_owned(), Value::Map(hidden));
    }
    let children = node.children.iter().map(|child| child.as_str().into()).collect();
    fields.insert("key".to_owned(), node.key.as_str().into());
    fields.insert("tag".to_owned(), node.tag.as_str().into());
    fields.insert("name".to_owned(), node.name.as_str().into());
    fields.insert("children".to_owned(), Value::List(children));
    let json = |value: &Value| serde_json::to_string(value).expect("values are finite, their keys are texts");
    format!("{}:{}", json(&node.key.as_str().into()), json(&Value::Map(fields)))
}

/// What an import will do.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Import {
    /// Its commits, to be made in this order: parents come first.
    pub commits: Vec<Vec<EditOp>>,
    /// Nodes below the root that it adds or changes.
    pub nodes: usize,
    /// Nodes it leaves out, since no path leads to them from the root.
    pub unreachable: usize,
}

/// Reads a graph as the edits that add it to a scene whose root is `root`.
pub fn import(json: &str, root: &str) -> Result<Import, GraphError> {
    let Value::Map(mut graph) = serde_json::from_str(json)? else {
        return Err(GraphError::NotAGraph("expected an object with nodes and rootKey"));
    };
    let Some(Value::Map(mut nodes)) = graph.remove("nodes") else {
        return Err(GraphError::NotAGraph("expected a map of nodes under \"nodes\""));
    };
    let Some(Value::Text(top)) = graph.remove("rootKey") else {
        return Err(GraphError::NotAGraph("expected the root's key under \"rootKey\""));
    };
    nodes.retain(|_, node| !is_removed(node));
    let mut batches = Batches::default();
    let mut import = Import::default();
    let mut seen = BTreeSet::new();
    // The last one is next, so children are put in reversed.
    let mut ahead = vec![(top, None::<String>)];
    while let Some((key, parent)) = ahead.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        let Some(node) = nodes.remove(&key) else { continue };
        let Value::Map(fields) = node else { return Err(bad(&key, "the node", "an object")) };
        let is_top = parent.is_none();
        // The graph's root is the scene's, whatever it is called there.
        let new_key = if is_top { root.to_owned() } else { key.clone() };
        let children = read_node(&key, &new_key, parent, fields, &mut batches)?;
        import.nodes += usize::from(!is_top);
        ahead.extend(children.into_iter().rev().map(|child| (child, Some(new_key.clone()))));
    }
    import.unreachable = nodes.len();
    import.commits = batches.finish();
    Ok(import)
}

fn is_removed(node: &Value) -> bool {
    node.as_map().and_then(|node| node.get("deletedAt")).is_some_and(|deleted| *deleted != Value::Null)
}

/// Adds the edits that make one node, and gives out its children's keys.
fn read_node(
    key: &str,
    new_key: &str,
    parent: Option<String>,
    mut fields: BTreeMap<String, Value>,
    batches: &mut Batches,
) -> Result<Vec<String>, GraphError> {
    let tag = take_text(key, "tag", &mut fields)?;
    let name = take_text(key, "name", &mut fields)?;
    let children = take_children(key, &mut fields)?;
    let mut properties = match fields.remove("properties") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Map(properties)) => properties,
        Some(_) => return Err(bad(key, "properties", "a map")),
    };
    fields.retain(|name, _| !FIELDS.contains(&name.as_str()));
    properties.extend(fields);
    let mut options = BTreeMap::new();
    if let Some(parent) = parent {
        options.insert("parent".to_owned(), parent.into());
        options.extend(tag.map(|tag| ("tag".to_owned(), tag.into())));
        options.extend(name.map(|name| ("name".to_owned(), name.into())));
    } else if properties.is_empty() {
        return Ok(children);
    }
    batches.insert(new_key, options, properties);
    Ok(children)
}

fn take_text(
    key: &str,
    field: &'static str,
    fields: &mut BTreeMap<String, Value>,
) -> Result<Option<String>, GraphError> {
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(bad(key, field, "a text")),
    }
}

fn take_children(key: &str, fields: &mut BTreeMap<String, Value>) -> Result<Vec<String>, GraphError> {
    let children = match fields.remove("children") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(children)) => children,
        Some(_) => return Err(bad(key, "children", "a list of keys")),
    };
    let text = |child| match child {
        Value::Text(child) => Ok(child),
        _ => Err(bad(key, "children", "a list of keys")),
    };
    children.into_iter().map(text).collect()
}

fn bad(key: &str, field: &'static str, expected: &'static str) -> GraphError {
    GraphError::BadField { key: key.to_owned(), field, expected }
}

/// Edits, put together into commits of bounded size.
#[derive(Default)]
struct Batches {
    full: Vec<Vec<EditOp>>,
    open: Vec<EditOp>,
    open_bytes: usize,
}

impl Batches {
    /// Inserts a node. Properties too many for one commit follow as inserts of the node that is then there, which
    /// set them and change nothing else.
    fn insert(
        &mut self,
        key: &str,
        mut options: BTreeMap<String, Value>,
        properties: BTreeMap<String, Value>,
    ) {
        let mut part = BTreeMap::new();
        let mut part_bytes = 0;
        for (path, value) in properties {
            let bytes = path.len() + bytes_of(&value);
            if part_bytes + bytes > COMMIT_BYTES_MAX && !part.is_empty() {
                self.push(key, std::mem::take(&mut options), std::mem::take(&mut part), part_bytes);
                part_bytes = 0;
            }
            part.insert(path, value);
            part_bytes += bytes;
        }
        self.push(key, options, part, part_bytes);
    }

    fn push(
        &mut self,
        key: &str,
        options: BTreeMap<String, Value>,
        properties: BTreeMap<String, Value>,
        bytes: usize,
    ) {
        let bytes = bytes
            + key.len()
            + options.iter().map(|(name, value)| name.len() + bytes_of(value)).sum::<usize>();
        if self.open.len() == COMMIT_OPS_MAX || self.open_bytes + bytes > COMMIT_BYTES_MAX {
            self.full.extend(Some(std::mem::take(&mut self.open)).filter(|open| !open.is_empty()));
            self.open_bytes = 0;
        }
        let value = (!properties.is_empty()).then_some(Value::Map(properties));
        self.open.push(EditOp {
            otype: "node.insert".to_owned(),
            key: key.to_owned(),
            path: None,
            value,
            options,
        });
        self.open_bytes += bytes;
    }

    fn finish(mut self) -> Vec<Vec<EditOp>> {
        self.full.extend(Some(self.open).filter(|open| !open.is_empty()));
        self.full
    }
}

/// At least the bytes a value takes in a message.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(_) => 9,
        Value::Text(text) => text.len() + 5,
        Value::List(list) => 5 + list.iter().map(bytes_of).sum::<usize>(),
        Value::Map(map) => 5 + map.iter().map(|(key, value)| key.len() + 5 + bytes_of(value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(json: &str) -> Vec<String> {
        let import = import(json, "scene").unwrap();
        import.commits.iter().flatten().map(crate::draw::edit).collect()
    }

    #[test]
    fn a_graph_becomes_inserts_with_parents_first_and_siblings_in_order() {
        let graph = r#"{"rootKey":"r","nodes":{
            "a":{"key":"a","tag":"Mesh","name":"A","children":[],"x":1,"clock":{},"deletedAt":null},
            "b":{"key":"b","tag":"Group","children":["c"]},
            "c":{"key":"c","tag":"Mesh"},
            "gone":{"key":"gone","deletedAt":5},
            "lost":{"key":"lost"},
            "r":{"key":"r","tag":"Scene","name":"Root","children":["b","a","gone"],"up":[0,1,0]}}}"#;
        assert_eq!(
            ops(graph),
            [
                r#"scene node.insert {"up":[0,1,0]}"#,
                "b node.insert parent=scene tag=Group",
                "c node.insert parent=b tag=Mesh",
                r#"a node.insert {"x":1} name=A parent=scene tag=Mesh"#,
            ]
        );
        assert_eq!(import(graph, "scene").unwrap().unreachable, 1);
    }

    #[test]
    fn properties_named_like_fields_survive_the_way_out_and_back() {
        let node = Node {
            key: "a".into(),
            tag: "Mesh".into(),
            name: String::new(),
            parent: Some("scene".into()),
            children: vec![],
            properties: ["tag", "properties", "x"].map(|path| (path.to_owned(), path.into())).into(),
        };
        let json =
            format!(r#"{{"nodes":{{"scene":{{"children":["a"]}},{}}},"rootKey":"scene"}}"#, entry(&node));
        let import = import(&json, "scene").unwrap();
        assert_eq!(import.commits[0][0].value, Some(Value::Map(node.properties)));
    }

    #[test]
    fn a_cycle_ends_and_a_large_node_is_split() {
        assert_eq!(
            ops(r#"{"rootKey":"a","nodes":{"a":{"children":["b"]},"b":{"children":["a","b"]}}}"#).len(),
            1
        );
        let text = "x".repeat(COMMIT_BYTES_MAX / 2);
        let many: Vec<String> = (0..5).map(|n| format!("\"p{n}\":\"{text}\"")).collect();
        let graph = format!(
            r#"{{"rootKey":"r","nodes":{{"r":{{"children":["a"]}},"a":{{"tag":"T",{}}}}}}}"#,
            many.join(",")
        );
        let import = import(&graph, "scene").unwrap();
        assert_eq!(import.commits.len(), 5);
        assert!(import.commits[0][0].options.contains_key("tag"));
        assert!(import.commits[1][0].options.is_empty());
    }

    #[test]
    fn what_is_no_graph_is_named() {
        let cases = [
            ("[]", "expected an object with nodes and rootKey"),
            ("{}", "expected a map of nodes under \"nodes\""),
            (r#"{"nodes":{}}"#, "expected the root's key under \"rootKey\""),
            (r#"{"nodes":{"a":1},"rootKey":"a"}"#, "node \"a\": the node must be an object"),
            (r#"{"nodes":{"a":{"tag":1}},"rootKey":"a"}"#, "node \"a\": tag must be a text"),
        ];
        for (json, expected) in cases {
            assert_eq!(import(json, "scene").unwrap_err().to_string(), expected);
        }
    }
}
