//! Edits as JSON, with the flat names of `vuer.rtc`: `key, otype, path, value, tag, parentKey, targetMsgId`; every
//! further field is an option. One object, or a list of them for a commit of several.

use std::collections::BTreeMap;

use rtc_core::api::EditOp;
use rtc_core::value::Value;

/// JSON that is no edit.
#[derive(Debug, thiserror::Error)]
pub enum FlatError {
    /// It is no JSON, or holds a number that is not finite.
    #[error("not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// JSON, but neither an edit nor a list of them.
    #[error(
        "expected an edit, such as {{\"key\":\"cube-1\",\"otype\":\"number.add\",\"path\":\"x\",\"value\":1}}, or a list of edits"
    )]
    NotAnEdit,
    /// A commit of nothing.
    #[error("an empty list is no commit")]
    Empty,
    /// A field that is not what it should be.
    #[error("the field {0:?} must be a text")]
    NotAText(&'static str),
    /// An edit that does not say what to do.
    #[error("an edit needs the field \"otype\"")]
    NoOperation,
}

/// The edits of one line.
pub fn parse(line: &str) -> Result<Vec<EditOp>, FlatError> {
    match serde_json::from_str(line)? {
        Value::Map(edit) => Ok(vec![edit_of(edit)?]),
        Value::List(edits) if edits.is_empty() => Err(FlatError::Empty),
        Value::List(edits) => edits
            .into_iter()
            .map(|edit| match edit {
                Value::Map(edit) => edit_of(edit),
                _ => Err(FlatError::NotAnEdit),
            })
            .collect(),
        _ => Err(FlatError::NotAnEdit),
    }
}

fn edit_of(mut fields: BTreeMap<String, Value>) -> Result<EditOp, FlatError> {
    let otype = take_text(&mut fields, "otype")?.ok_or(FlatError::NoOperation)?;
    let is_meta = otype.starts_with("meta.");
    let has_path = !is_meta && !otype.starts_with("node.");
    let key = take_text(&mut fields, "key")?.filter(|_| !is_meta).unwrap_or_default();
    // vuer.rtc writes a path on every operation; only property operations have one.
    let path = take_text(&mut fields, "path")?.filter(|_| has_path);
    let value = fields.remove("value");
    for (theirs, ours) in [("parentKey", "parent"), ("targetMsgId", "target")] {
        if let Some(value) = fields.remove(theirs) {
            fields.insert(ours.to_owned(), value);
        }
    }
    // An absent field and an explicit null mean the same in that dialect.
    let options = fields.into_iter().filter(|(_, value)| *value != Value::Null).collect();
    Ok(EditOp { otype, key, path, value, options })
}

fn take_text(fields: &mut BTreeMap<String, Value>, name: &'static str) -> Result<Option<String>, FlatError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(FlatError::NotAText(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let meaning = match parse(line) {
            Ok(edits) => serde_json::to_string(&edits).unwrap(),
            Err(error) => error.to_string(),
        };
        assert_eq!(meaning, expected, "{line}");
    }

    #[test]
    fn an_edit_has_the_names_of_vuer_rtc() {
        check(
            r#"{"key":"c","otype":"node.insert","path":"","tag":"Mesh","parentKey":"g","value":{"x":1}}"#,
            r#"[{"otype":"node.insert","key":"c","path":null,"value":{"x":1},"options":{"parent":"g","tag":"Mesh"}}]"#,
        );
        check(
            r#"[{"key":"c","otype":"string.concat","path":"l","value":"a","separator":","}]"#,
            r#"[{"otype":"string.concat","key":"c","path":"l","value":"a","options":{"separator":","}}]"#,
        );
        check(
            r#"{"key":"_meta","path":"_meta","otype":"meta.undo","targetMsgId":"k:1"}"#,
            r#"[{"otype":"meta.undo","key":"","path":null,"value":null,"options":{"target":"k:1"}}]"#,
        );
    }

    #[test]
    fn what_is_no_edit_is_named() {
        check("[]", "an empty list is no commit");
        check(r#"{"key":"c"}"#, r#"an edit needs the field "otype""#);
        check(r#"{"key":1,"otype":"number.add"}"#, r#"the field "key" must be a text"#);
        for line in ["", "{", "5", "[5]", r#"{"key":"c","otype":"number.add","value":1e999}"#] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
