//! Messages on their way into a block: first sorted by their forms, then coded one after the other.

use std::collections::BTreeMap;

use super::form::{Fill, Form, Gap, Parts};
use super::model::{FormModel, GapModel, Model};
use super::number::{Context, Magnitude, Series};
use super::range::Encoder;
use super::{BLOCK_GAPS_MAX, FORMS_MAX, NAMES_MAX};

/// Collects messages.
#[derive(Default)]
pub(super) struct Writer<'a> {
    forms: Vec<Sorted>,
    of_form: BTreeMap<Vec<u8>, usize>,
    gaps: usize,
    /// Which form came after each form the last time: most often it does again.
    guesses: Vec<usize>,
    last: usize,
    /// The number of each string that may come again.
    names: BTreeMap<&'a [u8], u32>,
    /// How many parts each message has.
    messages: Vec<usize>,
    parts: Vec<usize>,
    fills: Vec<Coded<'a>>,
}

struct Sorted {
    bytes: Vec<u8>,
    form: Form,
    /// At each gap the numbers, each with the key of its op.
    columns: Vec<Vec<(f64, u32)>>,
}

/// What fills a gap, ready to be coded.
enum Coded<'a> {
    Number(f64),
    /// A string that comes again, and whether it does so for the first time.
    Name(u32, Option<&'a [u8]>),
    Text(&'a [u8]),
}

impl<'a> Writer<'a> {
    /// Adds the next message. Returns false where its forms or names are too many: then nothing is added.
    pub(super) fn add(&mut self, parts: &Parts<'a>) -> bool {
        let (start, forms) = (self.parts.len(), self.forms.len());
        let is_opaque = parts.iter().count() == 1 && parts.gaps() == 1;
        for (bytes, _) in parts.iter() {
            let form = self.find(bytes).filter(|_| self.names.len() + parts.gaps() <= NAMES_MAX || is_opaque);
            let Some(form) = form else {
                self.parts.truncate(start);
                self.forget_forms(forms);
                return false;
            };
            self.parts.push(form);
        }
        let count = self.parts.len() - start;
        self.messages.push(count);
        for (index, (_, fills)) in (start..).zip(parts.iter()) {
            self.add_part(self.parts[index], fills);
        }
        true
    }

    /// Forms that no message has would take room in the block.
    fn forget_forms(&mut self, len: usize) {
        for Sorted { bytes, form, .. } in self.forms.drain(len..) {
            self.of_form.remove(&bytes);
            self.gaps -= form.gaps.len();
        }
        self.guesses.truncate(len);
        self.last = 0;
    }

    /// The number of a form; none where there are too many.
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let guess = self.guesses.get(self.last).copied().unwrap_or(0);
        let is_guess = self.forms.get(guess).is_some_and(|form| form.bytes == bytes);
        let found = if is_guess { Some(guess) } else { self.of_form.get(bytes).copied() };
        let index = match found {
            Some(index) => index,
            // The last place is for what is opaque.
            None if self.forms.len() + usize::from(bytes.len() > 1) >= FORMS_MAX => return None,
            None => {
                let form = Form::parse(bytes)?;
                if self.gaps + form.gaps.len() >= BLOCK_GAPS_MAX && bytes.len() > 1 {
                    return None;
                }
                self.gaps += form.gaps.len();
                let columns = vec![Vec::new(); form.gaps.len()];
                self.of_form.insert(bytes.to_vec(), self.forms.len());
                self.forms.push(Sorted { bytes: bytes.to_vec(), form, columns });
                self.guesses.push(0);
                self.forms.len() - 1
            }
        };
        if let Some(next) = self.guesses.get_mut(self.last) {
            *next = index;
        }
        self.last = index;
        Some(index)
    }

    fn add_part(&mut self, form: usize, fills: &[Fill<'a>]) {
        let Sorted { form, columns, .. } = &mut self.forms[form];
        let mut key = None;
        for (((_, gap), column), fill) in form.gaps.iter().zip(columns).zip(fills) {
            self.fills.push(match (fill, gap) {
                (&Fill::Number(number), _) => {
                    column.push((number, key.unwrap_or(0)));
                    Coded::Number(number)
                }
                (&Fill::String(string), Gap::String { again: true, .. }) => {
                    let next = u32::try_from(self.names.len()).expect("at most NAMES_MAX");
                    let id = *self.names.entry(string).or_insert(next);
                    key.get_or_insert(id);
                    Coded::Name(id, (id == next).then_some(string))
                }
                (&Fill::String(string), _) => Coded::Text(string),
            });
        }
    }

    /// The texts, and everything else.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let mut texts = Vec::new();
        let mut encoder = Encoder::new(Vec::new());
        let mut size = Magnitude::default();
        size.code(&mut encoder, self.forms.len() as u64);
        let mut forms = Vec::with_capacity(self.forms.len());
        for Sorted { bytes, form, columns } in self.forms {
            size.code(&mut encoder, bytes.len() as u64);
            texts.extend(bytes);
            let roles: Vec<_> = form.gaps.iter().map(|(_, gap)| gap.role()).collect();
            forms.push(FormModel::new(form, |gap| {
                Series::plan(&columns[gap], roles[gap]).code_plan(&mut encoder, roles[gap])
            }));
        }
        let mut model = Model::new(forms);
        let (mut parts, mut fills) = (self.parts.into_iter(), self.fills.into_iter());
        for count in self.messages {
            model.cursor.advance();
            for index in 0..count {
                let form = parts.next().expect("each message has its parts");
                let (form, repeats) = match index {
                    0 => model.code_envelope(&mut encoder, form),
                    _ => model.code_op(&mut encoder, form),
                };
                write_part(&mut model, form, repeats, &mut fills, &mut encoder, &mut texts);
            }
        }
        (texts, encoder.finish())
    }
}

fn write_part<'a>(
    model: &mut Model,
    form: usize,
    repeats: bool,
    fills: &mut impl Iterator<Item = Coded<'a>>,
    encoder: &mut Encoder,
    texts: &mut Vec<u8>,
) {
    let Model { forms, cursor, order, name_len, names, slots, .. } = model;
    let mut context = Context { key: None, slot: 0, repeats, cursor };
    for (gap, fill) in forms[form].gaps.iter_mut().zip(fills) {
        match (gap, fill) {
            (GapModel::Number(series), Coded::Number(number)) => {
                series.code(encoder, &mut context, number);
            }
            (GapModel::Name(_, coder), Coded::Name(id, new)) => {
                let order = context.key.is_none().then_some(&mut *order);
                coder.code(encoder, order, *names, id);
                context.name_key(slots, form, id);
                if let Some(string) = new {
                    *names += 1;
                    name_len.code(encoder, string.len() as u64);
                    texts.extend(string);
                }
            }
            (GapModel::Text(_, len), Coded::Text(string)) => {
                len.code(encoder, string.len() as u64);
                texts.extend(string);
            }
            (GapModel::Number(_) | GapModel::Name(..) | GapModel::Text(..), _) => {
                unreachable!("what fills a gap is what the gap is for")
            }
        }
    }
}
