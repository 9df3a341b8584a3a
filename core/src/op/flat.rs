//! Edits as flat maps with `vuer.rtc`'s field names, for JSON at the edges:
//! `{"key": "cube-1", "otype": "vector3.add", "path": "transform.position", "value": [1, 0, 0]}`.

use std::collections::BTreeMap;

use crate::api::EditOp;
use crate::value::Value;

/// Fields that go by another name inside.
const RENAMED: [(&str, &str); 2] = [("parentKey", "parent"), ("targetMsgId", "target")];

/// A map that is no edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlatError {
    /// Something else than a map.
    #[error("an edit is a map with `key`, `otype`, `path` and `value`")]
    NotAMap,
    /// `otype` is not there.
    #[error("the field otype is missing")]
    NoOperation,
    /// `otype`, `key` or `path` is no text.
    #[error("the field {field} should be text")]
    NotText {
        /// The field.
        field: &'static str,
    },
}

impl EditOp {
    /// Reads a flat map: `key`, `otype`, `path` and `value` are the edit's, every other field is an option.
    pub fn from_flat(value: &Value) -> Result<Self, FlatError> {
        let mut map = value.as_map().ok_or(FlatError::NotAMap)?.clone();
        let mut text = |field: &'static str| match map.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(FlatError::NotText { field }),
        };
        let otype = text("otype")?.ok_or(FlatError::NoOperation)?;
        let key = text("key")?.unwrap_or_default();
        let path = text("path")?;
        let value = map.remove("value");
        let rename = |name: String| match RENAMED.iter().find(|(outside, _)| *outside == name) {
            Some((_, inside)) => (*inside).to_owned(),
            None => name,
        };
        let options = map.into_iter().map(|(name, value)| (rename(name), value)).collect();
        Ok(Self { otype, key, path, value, options })
    }

    /// Writes the flat map that [`EditOp::from_flat`] reads.
    pub fn to_flat(&self) -> Value {
        let mut map = BTreeMap::new();
        for (name, value) in &self.options {
            let outside = RENAMED
                .iter()
                .find(|(_, inside)| inside == name)
                .map_or(name.as_str(), |(outside, _)| outside);
            map.insert(outside.to_owned(), value.clone());
        }
        map.insert("otype".to_owned(), self.otype.as_str().into());
        map.insert("key".to_owned(), self.key.as_str().into());
        map.extend(self.path.as_deref().map(|path| ("path".to_owned(), path.into())));
        map.extend(self.value.clone().map(|value| ("value".to_owned(), value)));
        Value::Map(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<EditOp, FlatError> {
        EditOp::from_flat(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_flat_map_round_trips_under_the_names_of_vuer() {
        let json = r#"{"key":"a","otype":"node.insert","parentKey":"scene","tag":"Mesh","value":{"p":1}}"#;
        let edit = read(json).unwrap();
        assert_eq!(edit.options.keys().collect::<Vec<_>>(), ["parent", "tag"]);
        assert_eq!(serde_json::to_string(&edit.to_flat()).unwrap(), json);
        let undo = read(r#"{"key":"_meta","otype":"meta.undo","path":"_meta","targetMsgId":"a:1"}"#).unwrap();
        assert_eq!(undo.options["target"], "a:1".into());
    }

    #[test]
    fn what_is_no_edit_is_refused() {
        assert_eq!(read("[]"), Err(FlatError::NotAMap));
        assert_eq!(read("{}"), Err(FlatError::NoOperation));
        assert_eq!(read(r#"{"otype":"number.add","key":3}"#), Err(FlatError::NotText { field: "key" }));
    }
}
