//! A line of `rtc edit -`: one edit as JSON with the names of `vuer.rtc`, or a list of them for a commit of several.

use rtc_core::api::EditOp;
use rtc_core::value::Value;

/// A line that is no commit.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is no JSON, or holds a number that is not finite.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A commit of nothing.
    #[error("an empty list is no commit")]
    Empty,
    /// JSON, but not of an edit.
    #[error("{0}")]
    NotAnEdit(#[from] rtc_core::op::FlatError),
}

/// The edits of one line.
pub fn parse(line: &str) -> Result<Vec<EditOp>, LineError> {
    match serde_json::from_str(line)? {
        Value::List(edits) if edits.is_empty() => Err(LineError::Empty),
        Value::List(edits) => edits.into_iter().map(edit).collect(),
        one => Ok(vec![edit(one)?]),
    }
}

fn edit(mut value: Value) -> Result<EditOp, LineError> {
    if let Value::Map(fields) = &mut value {
        // An absent field and an explicit null mean the same in that dialect.
        fields.retain(|_, value| *value != Value::Null);
    }
    Ok(EditOp::from_flat(&value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let edits = parse(line).unwrap();
        let shown: Vec<String> = edits.iter().map(crate::draw::edit).collect();
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn a_line_is_an_edit_or_a_list_of_them() {
        let one = r#"{"key":"c","otype":"node.insert","tag":"Mesh","parentKey":null,"value":{"x":1}}"#;
        check(one, &[r#"c node.insert {"x":1} tag=Mesh"#]);
        check(&format!("[{one},{one}]"), &[r#"c node.insert {"x":1} tag=Mesh"#; 2]);
    }

    #[test]
    fn what_is_no_edit_is_refused() {
        for line in ["", "{", "5", "[]", "[5]", r#"{"key":"c"}"#, r#"{"otype":"number.add","value":1e999}"#] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
