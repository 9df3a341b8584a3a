//! Scenes, values and edits as text for people.
//!
//! Everything shown here may have been written by somebody else: nothing of it reaches a terminal as a command.

use std::collections::BTreeMap;
use std::fmt::Write;

use rtc_core::api::{Change, EditOp, Node};
use rtc_core::id::Dot;
use rtc_core::value::Value;

use crate::short;

/// Dim, for what frames the data.
pub const DIM: &str = "\x1b[2m";
/// For what is named.
pub const BOLD: &str = "\x1b[1m";
/// For ids.
pub const YELLOW: &str = "\x1b[33m";
/// For what is well.
pub const GREEN: &str = "\x1b[32m";
/// For what is not.
pub const RED: &str = "\x1b[31m";
/// The end of any of these.
pub const RESET: &str = "\x1b[0m";

/// `text` with everything escaped that a terminal would act on.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        // Direction marks make text read as something it is not.
        let turns =
            matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || turns {
            plain.extend(letter.escape_default());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// A value as a line of JSON that is safe to show.
pub fn value(value: &Value) -> String {
    plain(&json(value))
}

/// A value as a line of JSON.
pub fn json(value: &Value) -> String {
    serde_json::to_string(value).expect("values are finite and their keys are texts")
}

/// One edit as the words that would make it.
pub fn edit(edit: &EditOp) -> String {
    let mut line = String::new();
    if !edit.key.is_empty() {
        line = plain(&edit.key) + " ";
    }
    line += &plain(&edit.otype);
    if let Some(path) = &edit.path {
        line = line + " " + &plain(path);
    }
    match &edit.value {
        None | Some(Value::Null) => {}
        Some(argument) => line = line + " " + &value(argument),
    }
    for (name, option) in &edit.options {
        // Writing to a text cannot fail.
        let _ = write!(line, " {}={}", plain(name), option_text(name, option));
    }
    line
}

fn option_text(name: &str, option: &Value) -> String {
    let Some(text) = option.as_text() else { return value(option) };
    match text.parse::<Dot>() {
        Ok(dot) if name == "target" => short::dot(&dot),
        Ok(_) | Err(_) if text.contains(char::is_whitespace) => value(option),
        Ok(_) | Err(_) => plain(text),
    }
}

/// One change of the scene.
pub fn change(change: &Change) -> String {
    match change {
        Change::Property { key, path, value: Some(now) } => {
            format!("{} {} = {}", plain(key), plain(path), value(now))
        }
        Change::Property { key, path, value: None } => format!("{} {} is gone", plain(key), plain(path)),
        Change::Node { key, tag, name, parent, .. } => {
            let parent = parent.as_deref().map(|parent| format!(" in {}", plain(parent))).unwrap_or_default();
            format!("{GREEN}+{RESET} {}{}", label(key, tag, name), parent)
        }
        Change::Removed { key } => format!("{RED}-{RESET} {}", plain(key)),
    }
}

fn label(key: &str, tag: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!(" {:?}", plain(name)) };
    format!("{BOLD}{}{RESET} {DIM}{}{RESET}{name}", plain(key), plain(tag))
}

/// Draws a tree from nodes that come parents first. Lines are given out as soon as they are final: nodes that come
/// depth first are drawn at once and forgotten, any others wait for their turn.
#[derive(Debug, Default)]
pub struct Tree {
    properties: bool,
    waiting: BTreeMap<String, Node>,
    /// The nodes above the next line: each with the children still to draw, the next one last.
    above: Vec<Vec<String>>,
    started: bool,
}

impl Tree {
    /// A tree that shows properties too.
    pub fn with_properties(properties: bool) -> Self {
        Self { properties, ..Self::default() }
    }

    /// Takes the next node, and gives out the lines that are now final.
    pub fn push(&mut self, node: Node, lines: &mut Vec<String>) {
        if self.started {
            self.waiting.insert(node.key.clone(), node);
        } else {
            self.started = true;
            self.draw(node, lines);
        }
        self.advance(lines);
    }

    /// Gives out what is left. A child that never came was removed while the scene was read.
    pub fn finish(mut self, lines: &mut Vec<String>) {
        while let Some(key) = self.next_key() {
            match self.waiting.remove(&key) {
                Some(node) => self.draw(node, lines),
                None => self.skip(),
            }
        }
    }

    fn advance(&mut self, lines: &mut Vec<String>) {
        while let Some(node) = self.next_key().and_then(|key| self.waiting.remove(&key)) {
            self.draw(node, lines);
        }
    }

    /// The key of the next node to draw.
    fn next_key(&mut self) -> Option<String> {
        while self.above.last().is_some_and(Vec::is_empty) {
            self.above.pop();
        }
        self.above.last().and_then(|children| children.last().cloned())
    }

    fn skip(&mut self) {
        if let Some(children) = self.above.last_mut() {
            children.pop();
        }
    }

    fn draw(&mut self, node: Node, lines: &mut Vec<String>) {
        self.skip();
        let mut indent = String::new();
        let mut branch = "";
        if let Some((siblings, above)) = self.above.split_last() {
            for children in above {
                indent += if children.is_empty() { "    " } else { "│   " };
            }
            branch = if siblings.is_empty() { "└── " } else { "├── " };
        }
        lines.push(format!("{DIM}{indent}{branch}{RESET}{}", label(&node.key, &node.tag, &node.name)));
        if self.properties {
            let under = match branch {
                "" => "",
                "└── " => "    ",
                _ => "│   ",
            };
            let below = if node.children.is_empty() { "    " } else { "│   " };
            for (path, now) in &node.properties {
                lines.push(format!("{DIM}{indent}{under}{below}{RESET}{} = {}", plain(path), value(now)));
            }
        }
        let mut children = node.children;
        children.reverse();
        self.above.push(children);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(key: &str, children: &[&str]) -> Node {
        Node {
            key: key.to_owned(),
            tag: "T".to_owned(),
            name: String::new(),
            parent: None,
            children: children.iter().map(|&child| child.to_owned()).collect(),
            properties: BTreeMap::from([("x".to_owned(), Value::number(1.0).unwrap())]),
        }
    }

    fn scene() -> Vec<Node> {
        vec![
            node("scene", &["a", "b", "c"]),
            node("a", &["d"]),
            node("d", &[]),
            node("b", &[]),
            node("c", &["e"]),
            node("e", &[]),
        ]
    }

    const DRAWN: &str = "scene T\n├── a T\n│   └── d T\n├── b T\n└── c T\n    └── e T";

    fn drawn(nodes: Vec<Node>, properties: bool) -> String {
        let mut tree = Tree::with_properties(properties);
        let mut lines = Vec::new();
        for node in nodes {
            tree.push(node, &mut lines);
        }
        tree.finish(&mut lines);
        anstream::adapter::strip_str(&lines.join("\n")).to_string()
    }

    #[test]
    fn a_tree_is_drawn_the_same_from_any_order_of_its_nodes() {
        assert_eq!(drawn(scene(), false), DRAWN);
        let mut breadth_first = scene();
        breadth_first.swap(2, 4);
        assert_eq!(drawn(breadth_first, false), DRAWN);
        let mut reversed = scene();
        reversed[1..].reverse();
        assert_eq!(drawn(reversed, false), DRAWN);
    }

    #[test]
    fn nodes_that_come_depth_first_are_drawn_at_once() {
        let mut tree = Tree::default();
        for node in scene() {
            let mut lines = Vec::new();
            tree.push(node, &mut lines);
            assert_eq!(lines.len(), 1);
        }
    }

    #[test]
    fn a_child_that_never_came_is_left_out() {
        let mut nodes = scene();
        nodes.remove(3);
        assert!(!drawn(nodes, false).contains("b T"));
    }

    #[test]
    fn properties_stand_below_their_node() {
        let nodes = vec![node("scene", &["a"]), node("a", &[])];
        assert_eq!(drawn(nodes, true), "scene T\n│   x = 1\n└── a T\n        x = 1");
    }

    #[test]
    fn what_others_wrote_never_commands_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\u{9b}c\nd\u{202e}e"), "a\\u{1b}[2Jb\\u{9b}c\\nd\\u{202e}e");
        let hostile = EditOp { otype: "\x1b]0;x\x07".into(), key: "\x1b".into(), ..EditOp::default() };
        assert!(!edit(&hostile).contains('\x1b'));
    }

    #[test]
    fn an_edit_reads_as_its_words() {
        let move_it = EditOp {
            otype: "vector3.add".into(),
            key: "cube-1".into(),
            path: Some("p".into()),
            value: Value::numbers(&[1.0, 0.5, 0.0]),
            options: BTreeMap::from([("order".to_owned(), "XYZ".into())]),
        };
        assert_eq!(edit(&move_it), "cube-1 vector3.add p [1,0.5,0] order=XYZ");
    }
}
