//! A block on its way back into messages.

use super::form::{Form, write_header, write_number};
use super::model::{FormModel, GapModel, Model};
use super::number::{Context, Magnitude, Series};
use super::range::Decoder;
use super::{BLOCK_GAPS_MAX, BlockError, Bodies, FORMS_MAX, NAMES_MAX};

/// Reads one block.
pub(super) struct Reader<'a> {
    decoder: Decoder<'a>,
    texts: &'a [u8],
    model: Model,
    names: Vec<&'a [u8]>,
    bytes: Vec<u8>,
    body_bytes: usize,
}

impl<'a> Reader<'a> {
    /// Reads the forms of messages that have so many bytes together.
    pub(super) fn new(mut texts: &'a [u8], coded: &'a [u8], body_bytes: usize) -> Result<Self, BlockError> {
        let mut decoder = Decoder::new(coded);
        let mut size = Magnitude::default();
        let count = size.code(&mut decoder, 0);
        if count > FORMS_MAX as u64 {
            return Err(BlockError::Malformed);
        }
        let mut forms = Vec::new();
        // What fills a gap has a byte, unless it is opaque: so small blocks are read with little effort.
        let mut gaps_left = BLOCK_GAPS_MAX.min(body_bytes + 1);
        for _ in 0..count {
            let len = size.code(&mut decoder, 0);
            let form = Form::parse(take(&mut texts, len)?).ok_or(BlockError::Malformed)?;
            gaps_left = gaps_left.checked_sub(form.gaps.len()).ok_or(BlockError::Malformed)?;
            let roles: Vec<_> = form.gaps.iter().map(|(_, gap)| gap.role()).collect();
            forms.push(FormModel::new(form, |gap| {
                Series::plan(&[], None).code_plan(&mut decoder, roles[gap])
            }));
        }
        let model = Model::new(forms);
        Ok(Self { decoder, texts, model, names: Vec::new(), bytes: Vec::new(), body_bytes })
    }

    /// Reads that many messages.
    pub(super) fn read(mut self, messages: usize) -> Result<Bodies, BlockError> {
        if messages > 0 && self.model.forms.is_empty() {
            return Err(BlockError::Malformed);
        }
        let body_bytes = self.body_bytes;
        // Every op has bytes, or nobody would have written it.
        let mut ops_left = body_bytes;
        self.bytes.reserve_exact(body_bytes);
        let mut ends = Vec::with_capacity(messages);
        for _ in 0..messages {
            self.model.cursor.advance();
            let (form, repeats) = self.model.code_envelope(&mut self.decoder, 0);
            self.read_part(form, repeats)?;
            let ops = self.model.forms[form].form.count();
            ops_left = ops_left.checked_sub(ops).ok_or(BlockError::Malformed)?;
            for _ in 0..ops {
                let (form, repeats) = self.model.code_op(&mut self.decoder, 0);
                self.read_part(form, repeats)?;
            }
            ends.push(self.bytes.len());
        }
        if self.bytes.len() != body_bytes || !self.texts.is_empty() {
            return Err(BlockError::Malformed);
        }
        Ok(Bodies::new(self.bytes, ends))
    }

    fn read_part(&mut self, form: usize, repeats: bool) -> Result<(), BlockError> {
        let Self { decoder, texts, model, names, bytes, body_bytes } = self;
        let Model { forms, cursor, order, name_len, slots, .. } = model;
        let number = form;
        let FormModel { form, gaps } = &mut forms[number];
        let mut context = Context { key: None, slot: 0, repeats, cursor };
        for (gap, (before, _)) in gaps.iter_mut().zip(&form.gaps) {
            bytes.extend_from_slice(before);
            match gap {
                GapModel::Number(series) => write_number(bytes, series.code(decoder, &mut context, 0.0)),
                GapModel::Name(major, coder) => {
                    let order = context.key.is_none().then_some(&mut *order);
                    let count = u32::try_from(names.len()).map_err(|_| BlockError::Malformed)?;
                    let id = coder.code(decoder, order, count, 0);
                    context.name_key(slots, number, id);
                    let id = id as usize;
                    if id == names.len() {
                        if names.len() == NAMES_MAX {
                            return Err(BlockError::Malformed);
                        }
                        names.push(take(texts, name_len.code(decoder, 0))?);
                    }
                    write_header(bytes, *major, names[id].len() as u64);
                    bytes.extend_from_slice(names[id]);
                }
                GapModel::Text(major, len) => {
                    let text = take(texts, len.code(decoder, 0))?;
                    if let Some(major) = major {
                        write_header(bytes, *major, text.len() as u64);
                    }
                    bytes.extend_from_slice(text);
                }
            }
            if bytes.len() > *body_bytes {
                return Err(BlockError::Malformed);
            }
        }
        bytes.extend_from_slice(&form.end);
        if bytes.len() > *body_bytes { Err(BlockError::Malformed) } else { Ok(()) }
    }
}

fn take<'a>(texts: &mut &'a [u8], len: u64) -> Result<&'a [u8], BlockError> {
    let len = usize::try_from(len).map_err(|_| BlockError::Malformed)?;
    texts.split_off(..len).ok_or(BlockError::Malformed)
}
