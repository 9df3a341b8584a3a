//! What is learnt of a block's messages while they go by, the same on both sides.

use super::cursor::Cursor;
use super::form::{Form, Gap};
use super::name::{Names, Order};
use super::number::{Magnitude, Series, Slots};
use super::range::{Coder, Odds};

/// Forms before that tell which follows; later ones count as one.
const BEFORE_MAX: usize = 16;

/// All that is learnt.
pub(super) struct Model {
    pub(super) forms: Vec<FormModel>,
    pub(super) cursor: Cursor,
    pub(super) order: Order,
    pub(super) slots: Slots,
    /// How many strings that may come again are told.
    pub(super) names: u32,
    /// The length of a string that may come again.
    pub(super) name_len: Magnitude,
    envelopes: Sequence,
    ops: Sequence,
}

/// What is learnt of the messages' parts of one form.
pub(super) struct FormModel {
    pub(super) form: Form,
    pub(super) gaps: Vec<GapModel>,
}

/// What is learnt of what fills a gap.
pub(super) enum GapModel {
    /// A number.
    Number(Series),
    /// A string that may come again; its major type.
    Name(u8, Names),
    /// A string that will not; its major type, and how long it is.
    Text(Option<u8>, Box<Magnitude>),
}

impl FormModel {
    /// `series` are those of the form's numbers, in order.
    pub(super) fn new(form: Form, mut series: impl FnMut(usize) -> Series) -> Self {
        let gap = |(index, (_, gap)): (usize, &(Vec<u8>, Gap))| match *gap {
            Gap::Number(_) => GapModel::Number(series(index)),
            Gap::String { major: Some(major), again: true } => GapModel::Name(major, Names::default()),
            Gap::String { major, .. } => GapModel::Text(major, Box::default()),
        };
        Self { gaps: form.gaps.iter().enumerate().map(gap).collect(), form }
    }
}

impl Model {
    /// Nothing is learnt yet.
    pub(super) fn new(forms: Vec<FormModel>) -> Self {
        let sequence = || Sequence::new(forms.len());
        Self {
            envelopes: sequence(),
            ops: sequence(),
            forms,
            cursor: Cursor::default(),
            order: Order::default(),
            slots: Slots::default(),
            names: 0,
            name_len: Magnitude::default(),
        }
    }

    /// Codes the form of a message's envelope; says whether it is that of the message before.
    pub(super) fn code_envelope(&mut self, coder: &mut impl Coder, form: usize) -> (usize, bool) {
        self.envelopes.code(coder, form)
    }

    /// Codes the form of an op; says whether it is that of the op before.
    pub(super) fn code_op(&mut self, coder: &mut impl Coder, form: usize) -> (usize, bool) {
        self.ops.code(coder, form)
    }
}

/// Which form follows which.
struct Sequence {
    forms: usize,
    depth: u32,
    last: usize,
    repeated: bool,
    /// A tree of bits by the form before, and whether that was the one before it, too.
    odds: Vec<[Odds; 2]>,
}

impl Sequence {
    fn new(forms: usize) -> Self {
        let depth = usize::BITS - forms.saturating_sub(1).leading_zeros();
        let odds = vec![[Odds::default(); 2]; BEFORE_MAX << depth];
        Self { forms, depth, last: 0, repeated: false, odds }
    }

    fn code(&mut self, coder: &mut impl Coder, form: usize) -> (usize, bool) {
        let tree = self.last.min(BEFORE_MAX - 1) << self.depth;
        let mut node = 1;
        for left in (0..self.depth).rev() {
            let odds = &mut self.odds[tree + node - 1][usize::from(self.repeated)];
            node = node << 1 | usize::from(coder.bit(odds, form >> left & 1 == 1));
        }
        // Only what no encoder wrote is beyond the last.
        let coded = (node - (1 << self.depth)).min(self.forms.saturating_sub(1));
        self.repeated = self.last == coded;
        self.last = coded;
        (coded, self.repeated)
    }
}
