//! The operation table: every row of every family, found by code and by name.

use std::sync::LazyLock;

use super::NoEffect;
use super::row::Row;
use super::{Op, OpCode, OpView};
use super::{
    array, boolean, color, counter, dict, euler, list, meta, node, number, object, quaternion, room, set,
    string, text, vector3,
};
use crate::planted::is_missing;

/// The rows of each family, at the family's number. A family is added by its file and its line here.
static FAMILIES: [&[Row]; 18] = [
    &[],
    number::ROWS,
    string::ROWS,
    boolean::ROWS,
    vector3::ROWS,
    euler::ROWS,
    quaternion::ROWS,
    color::ROWS,
    array::ROWS,
    object::ROWS,
    text::ROWS,
    counter::ROWS,
    set::ROWS,
    dict::ROWS,
    node::ROWS,
    meta::ROWS,
    list::ROWS,
    room::ROWS,
];

/// The version of the table: how many rows and options it has. Both only ever grow, and a code means what it means for ever; so
/// replicas of one version give the same messages the same meaning, and a greater version knows all that a lesser one knows.
pub const TABLE_VERSION: u32 = {
    let (mut version, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let (rows, mut row) = (FAMILIES[family], 0);
        while row < rows.len() {
            version += 1 + rows[row].options.len();
            row += 1;
        }
        family += 1;
    }
    assert!(version <= u32::MAX as usize);
    #[expect(clippy::cast_possible_truncation, reason = "as just asserted")]
    let version = version as u32;
    version
};

/// Every row, by code.
///
/// ```
/// use rtc_core::op::{OpCode, nearest_name, table};
///
/// let add = OpCode::named("vector3.add").and_then(OpCode::row).expect("it is in the table");
/// assert!(table().any(|row| row.code == add.code));
/// assert_eq!(add.argument.to_string(), "a list of 3 numbers");
/// assert_eq!(nearest_name("vector3.ad"), Some("vector3.add"));
/// ```
pub fn table() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|rows| rows.iter())
}

impl OpCode {
    /// The operation's row; none where this version does not know it.
    pub fn row(self) -> Option<&'static Row> {
        let [family, number] = self.0.to_be_bytes();
        let row = FAMILIES.get(usize::from(family))?.get(usize::from(number).checked_sub(1)?)?;
        debug_assert_eq!(row.code, self, "rows stand in the order of their codes");
        (!is_missing(self)).then_some(row)
    }

    /// The code of the operation of that name.
    pub fn named(name: &str) -> Option<Self> {
        row_named(name).map(|row| row.code)
    }
}

impl Op {
    /// The op's row, or why the op can have no effect whatever the scene is.
    pub fn resolve(&self) -> Result<&'static Row, NoEffect> {
        let row = self.code.row().ok_or(NoEffect::UnknownOperation { code: self.code })?;
        let options = self.options.iter().map(|(name, value)| (name.as_str(), value));
        row.check(self.path.is_some(), &self.value, options)?;
        Ok(row)
    }
}

impl OpView<'_> {
    /// The op's row, or why the op can have no effect whatever the scene is.
    pub fn resolve(&self) -> Result<&'static Row, NoEffect> {
        if let Some(known) = self.known {
            return Ok(known.row);
        }
        let row = self.code.row().ok_or(NoEffect::UnknownOperation { code: self.code })?;
        row.check(self.path.is_some(), self.value, self.options.entries())?;
        Ok(row)
    }
}

/// Places of rows by their names: few enough to stay near, and so many that most names have one of their own.
const NAMED_PLACES: usize = 512;

/// The row of that name.
pub(crate) fn row_named(name: &str) -> Option<&'static Row> {
    static NAMED: LazyLock<[Option<&'static Row>; NAMED_PLACES]> = LazyLock::new(|| {
        let mut places = [None; NAMED_PLACES];
        for row in table() {
            let free = places_of(row.name).find(|&place| places[place].is_none());
            places[free.expect("there are more places than rows")] = Some(row);
        }
        places
    });
    let mut rows = places_of(name).map_while(|place| NAMED[place]);
    rows.find(|row| row.name == name)
}

/// Where to look for a name, one place after the other: what tells names apart is mostly at their end.
fn places_of(name: &str) -> impl Iterator<Item = usize> {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let end = name.as_bytes().last_chunk().map_or(0, |end| u64::from_le_bytes(*end));
    let begin = u64::from(name.bytes().next().unwrap_or_default());
    let hash = (end ^ begin ^ (name.len() as u64) << 8).wrapping_mul(FACTOR).to_be_bytes();
    let first = usize::from(u16::from_be_bytes([hash[0], hash[1]]));
    (first..first + NAMED_PLACES).map(|place| place % NAMED_PLACES)
}

/// The known name that is nearest to `name`, if one is near enough to be meant.
pub fn nearest_name(name: &str) -> Option<&'static str> {
    let family = |name: &str| name.split('.').next().map(str::to_ascii_lowercase);
    // Of two as near, the one of the family that was named is meant.
    let rank = |row: &'static Row| (distance(name, row.name), family(name) != family(row.name), row.name);
    let (distance, _, nearest) = table().map(rank).min()?;
    (distance <= 1 + nearest.len() / 3).then_some(nearest)
}

/// The least number of letters to add, drop or change (Levenshtein), ignoring ASCII case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_code_and_its_name() {
        for (family, rows) in FAMILIES.iter().enumerate() {
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(usize::from(row.code.0), family << 8 | (i + 1), "{}", row.name);
                assert_eq!(row.code.row().map(|found| found.name), Some(row.name));
                assert_eq!(OpCode::named(row.name), Some(row.code));
                assert!(row.doc.ends_with('.') && row.example.contains(row.name), "{}", row.name);
            }
        }
        assert!(OpCode(0x0100).row().is_none() && OpCode(0xffff).row().is_none());
    }

    #[test]
    fn the_version_grows_with_every_row_and_every_option() {
        let counted: usize = table().map(|row| 1 + row.options.len()).sum();
        assert_eq!(usize::try_from(TABLE_VERSION), Ok(counted));
    }

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        assert_eq!(nearest_name("vector3.applyeuler"), Some("vector3.applyEuler"));
        assert_eq!(nearest_name("vector.add"), Some("vector3.add"));
        assert_eq!(nearest_name("node.delete"), Some("node.remove"));
        assert_eq!(nearest_name("make me a sandwich"), None);
    }
}
