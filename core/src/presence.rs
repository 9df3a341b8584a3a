//! What vanishes with its session: who is here (a presence), and edits that are not committed yet (a draft).
//!
//! Neither is history: they travel beside the messages, are on no disk, and nothing that counts follows from them.

use std::collections::BTreeMap;

use crate::api::{ApiError, Code, EditOp};
use crate::canonical::{DecodeError, Reader, Writer};
use crate::limits::{DRAFT_BYTES_MAX, DRAFT_OPS_MAX, KEY_BYTES_MAX, PATH_BYTES_MAX, PRESENCE_BYTES_MAX};
use crate::op::{Kind, Shape, row_named};
use crate::value::Value;

/// What a session tells of itself, by the names of [`FIELDS`].
pub type Fields = BTreeMap<String, Value>;

/// The fields of a presence, and the shape of each.
pub const FIELDS: [(&str, Shape); 6] = [
    ("name", Shape::Text),
    ("color", Shape::Color),
    ("selection", Shape::List),
    ("cursor", Shape::Any),
    ("camera", Shape::Any),
    ("extra", Shape::Any),
];

/// A part of what a session shows; each is told, and ends, by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// Who is here.
    Presence,
    /// Edits that are not committed yet.
    Draft,
}

/// What a session shows; where it is empty, nothing any more.
#[derive(Clone, PartialEq, Debug)]
pub enum Show {
    /// Who is here.
    Presence(Fields),
    /// Edits that are not committed yet, in order.
    Draft(Vec<EditOp>),
}

impl Show {
    /// Nothing of that part.
    pub fn over(part: Part) -> Self {
        match part {
            Part::Presence => Self::Presence(Fields::new()),
            Part::Draft => Self::Draft(Vec::new()),
        }
    }

    /// Which part it is.
    pub fn part(&self) -> Part {
        match self {
            Self::Presence(_) => Part::Presence,
            Self::Draft(_) => Part::Draft,
        }
    }

    /// Whether that part is not shown any more.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Presence(fields) => fields.is_empty(),
            Self::Draft(edits) => edits.is_empty(),
        }
    }

    /// Its bytes: a map of fields, or a list of edits, `[otype, key, path, value, options]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Presence(fields) => _ = writer.value_map(fields),
            Self::Draft(edits) => {
                writer.array(edits.len());
                for EditOp { otype, key, path, value, options } in edits {
                    writer.array(5).text(otype).text(key).text_or_null(path.as_deref());
                    writer.value(value.as_ref().unwrap_or(&Value::Null)).value_map(options);
                }
            }
        }
        writer.finish()
    }

    /// Reads what [`Show::encode`] writes. Fields of a later version are kept.
    pub fn decode(part: Part, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (what, limit) = match part {
            Part::Presence => ("presence", PRESENCE_BYTES_MAX),
            Part::Draft => ("draft", DRAFT_BYTES_MAX),
        };
        if bytes.len() > limit {
            return Err(DecodeError::TooLong { what, found: bytes.len(), limit });
        }
        let mut reader = Reader::new(bytes);
        let show = match part {
            Part::Presence => Self::Presence(reader.value_map()?),
            Part::Draft => {
                let edits = reader.array(DRAFT_OPS_MAX, "edits of a draft")?;
                Self::Draft((0..edits).map(|_| read_edit(&mut reader)).collect::<Result<_, _>>()?)
            }
        };
        reader.finish()?;
        Ok(show)
    }

    /// Fails where it is more than a session may show.
    pub fn check(&self) -> Result<(), ApiError> {
        let (what, hint, limit) = match self {
            Self::Presence(_) => ("a presence", "show less, such as a shorter selection", PRESENCE_BYTES_MAX),
            Self::Draft(_) => ("a draft", "commit what is staged", DRAFT_BYTES_MAX),
        };
        let too_large = |text: String| Err(ApiError::new(Code::TooLarge, text).with_hint(hint));
        match self {
            Self::Draft(edits) if edits.len() > DRAFT_OPS_MAX => {
                return too_large(format!("{what} of {} edits exceeds {DRAFT_OPS_MAX}", edits.len()));
            }
            Self::Draft(_) => {}
            Self::Presence(fields) => fields.iter().try_for_each(|(name, value)| check_field(name, value))?,
        }
        let content = self.encode();
        if content.len() > limit {
            return too_large(format!("{what} of {} bytes exceeds {limit}", content.len()));
        }
        // Values nested too deep are in nobody's frames.
        match Self::decode(self.part(), &content) {
            Ok(_) => Ok(()),
            Err(error) => Err(ApiError::new(Code::TooLarge, format!("{what} cannot be told: {error}"))),
        }
    }
}

fn check_field(name: &str, value: &Value) -> Result<(), ApiError> {
    let Some((_, shape)) = FIELDS.iter().find(|(known, _)| *known == name) else {
        let names = FIELDS.map(|(name, _)| name).join(", ");
        return Err(ApiError::new(Code::BadArgument, format!("a presence has no field `{name}`"))
            .with_hint(format!("it has {names}; `extra` holds anything")));
    };
    shape
        .check(value)
        .map_err(|error| ApiError::new(Code::BadArgument, format!("field `{name}` of a presence: {error}")))
}

fn read_edit(reader: &mut Reader<'_>) -> Result<EditOp, DecodeError> {
    reader.array_of(5, "an edit")?;
    Ok(EditOp {
        otype: reader.text(KEY_BYTES_MAX, "operation")?,
        key: reader.text(KEY_BYTES_MAX, "node key")?,
        path: reader.text_or_null(PATH_BYTES_MAX, "property path")?,
        value: Some(reader.value()?).filter(|value| *value != Value::Null),
        options: reader.value_map()?,
    })
}

/// The draft with more edits staged. A reset takes the place of every step on its property before it, which it would cover.
///
/// Nothing else is merged: float addition is not associative, so one sum for two would not be what the two make.
pub fn stage(mut draft: Vec<EditOp>, edits: Vec<EditOp>) -> Vec<EditOp> {
    let kind = |edit: &EditOp| row_named(&edit.otype).map(|row| row.kind);
    for edit in edits {
        if matches!(kind(&edit), Some(Kind::Reset(_))) {
            let is_covered = |other: &EditOp| {
                kind(other).is_some_and(Kind::is_property) && other.key == edit.key && other.path == edit.path
            };
            draft.retain(|other| !is_covered(other));
        }
        draft.push(edit);
    }
    draft
}

/// How much may be shown in a time: so many frames at once, then one in each interval.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pace {
    /// When all that was shown is paid for, on the monotonic clock.
    paid_us: u64,
}

/// So much at once, and one frame more after each interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) burst: u64,
    pub(crate) interval_us: u64,
}

impl Pace {
    /// What content of that length costs, in frames.
    pub(crate) fn cost(content_bytes: usize) -> u64 {
        1 + content_bytes as u64 / 1024
    }

    /// When so much more is allowed.
    pub(crate) fn due_us(self, cost: u64, allowance: Allowance) -> u64 {
        let Allowance { burst, interval_us } = allowance;
        (self.paid_us + cost * interval_us).saturating_sub(burst * interval_us)
    }

    /// Notes what was shown.
    pub(crate) fn pay(&mut self, cost: u64, allowance: Allowance, now_us: u64) {
        self.paid_us = self.paid_us.max(now_us) + cost * allowance.interval_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(lines: &[&str]) -> Vec<EditOp> {
        lines.iter().map(|json| EditOp::from_flat(&serde_json::from_str(json).unwrap()).unwrap()).collect()
    }

    #[test]
    fn what_is_shown_comes_back_and_cut_bytes_do_not() {
        let fields =
            [("name".to_owned(), "Ann".into()), ("extra".to_owned(), Value::List(vec![true.into()]))];
        let draft = edits(&[
            r#"{"otype":"vector3.add","key":"a","path":"p","value":[1,0.5,0]}"#,
            r#"{"otype":"node.move","key":"a","parentKey":"b","index":0}"#,
        ]);
        for show in [Show::Presence(fields.into()), Show::Draft(draft), Show::over(Part::Presence)] {
            let bytes = show.encode();
            assert_eq!(Show::decode(show.part(), &bytes), Ok(show.clone()));
            for cut in 0..bytes.len() {
                assert!(Show::decode(show.part(), &bytes[..cut]).is_err(), "{show:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_reset_takes_the_place_of_the_steps_before_it() {
        let staged = stage(
            edits(&[
                r#"{"otype":"node.insert","key":"a","value":{"x":1}}"#,
                r#"{"otype":"number.set","key":"a","path":"x","value":2}"#,
                r#"{"otype":"number.add","key":"a","path":"x","value":3}"#,
                r#"{"otype":"number.add","key":"a","path":"y","value":4}"#,
            ]),
            edits(&[
                r#"{"otype":"number.set","key":"a","path":"x","value":5}"#,
                r#"{"otype":"number.add","key":"a","path":"x","value":6}"#,
            ]),
        );
        let names: Vec<String> = staged
            .iter()
            .map(|edit| format!("{} {}", edit.otype, edit.path.as_deref().unwrap_or("")))
            .collect();
        assert_eq!(names, ["node.insert ", "number.add y", "number.set x", "number.add x"]);
    }

    #[test]
    fn presences_have_known_fields_of_their_shape() {
        let check = |name: &str, value: Value| Show::Presence([(name.to_owned(), value)].into()).check();
        assert_eq!(check("name", "Ann".into()), Ok(()));
        assert_eq!(check("color", "#ff0000".into()), Ok(()));
        for (name, value) in [("color", "red".into()), ("name", true.into()), ("nose", "red".into())] {
            assert_eq!(check(name, value).unwrap_err().code, Code::BadArgument, "{name}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused_by_its_limit() {
        let name =
            |bytes: usize| Show::Presence([("name".to_owned(), "x".repeat(bytes).as_str().into())].into());
        let frame = name(1000).encode().len() - 1000;
        assert_eq!(name(PRESENCE_BYTES_MAX - frame).check(), Ok(()));
        let refused = name(PRESENCE_BYTES_MAX - frame + 1);
        assert!(refused.check().unwrap_err().message.contains("exceeds 4096"));
        assert!(Show::decode(Part::Presence, &refused.encode()).is_err());
        let edit = |path: usize| EditOp {
            otype: "string.set".into(),
            key: "a".into(),
            path: Some("p".into()),
            value: Some("x".repeat(path).as_str().into()),
            ..EditOp::default()
        };
        let long = Show::Draft(vec![edit(DRAFT_BYTES_MAX)]);
        assert!(long.check().unwrap_err().message.contains("exceeds 16384"));
        assert!(Show::decode(Part::Draft, &long.encode()).is_err());
        assert_eq!(Show::Draft(vec![edit(1); DRAFT_OPS_MAX]).check(), Ok(()));
        let many = Show::Draft(vec![edit(1); DRAFT_OPS_MAX + 1]);
        assert!(many.check().unwrap_err().message.contains("257 edits exceeds 256"));
        assert!(Show::decode(Part::Draft, &many.encode()).is_err());
    }

    #[test]
    fn after_a_burst_each_frame_waits_for_its_interval() {
        let allowance = Allowance { burst: 3, interval_us: 10 };
        let (mut pace, mut now_us) = (Pace::default(), 1000);
        for _ in 0..100 {
            now_us = now_us.max(pace.due_us(1, allowance));
            pace.pay(1, allowance, now_us);
        }
        assert_eq!(now_us, 1000 + 10 * (100 - 3));
        pace.pay(5, allowance, now_us + 1000);
        assert_eq!(pace.due_us(1, allowance), now_us + 1000 + 30);
    }
}
