//! Runs as they are made, in few bytes: what both ends of a connection know from the runs before is named by number.
//!
//! Both keep the same dictionary of forms and names, which only grows and is full one day; then what is new goes literally. Each run
//! carries its number, so who misses one notices, reads nothing more, and waits until the other begins anew. A run that is
//! read wrongly nonetheless is not what its author signed.

use std::collections::BTreeMap;

use crate::block::Bodies;
use crate::block::form::{Fill, Form, Gap, OPAQUE_FORM, Parts, write_header, write_number};
use crate::canonical::DecodeError;
use crate::chain::Signature;
use crate::id::Actor;
use crate::limits::{
    LAMPORT_MAX, LIVE_FORMS_MAX, LIVE_NAME_BYTES_MAX, LIVE_NAMES_MAX, MESSAGE_BYTES_MAX, RUN_MESSAGES_MAX,
};
use crate::sync::Run;

/// Bytes of a form that is remembered.
const FORM_BYTES_MAX: usize = 512;
/// Most bodies take no more: so much memory is made ready for one.
const BODY_BYTES: usize = 128;
/// Actors whose next number is remembered.
const ACTORS_MAX: usize = 64;
/// Differences of integers below take one byte.
const BYTE_MAX: u64 = 0xf0;

/// Writes runs for one connection.
#[derive(Default)]
pub struct Encoder {
    known: Known,
    numbers: BTreeMap<Box<[u8]>, usize>,
    forms: BTreeMap<Vec<u8>, usize>,
    sent: Option<u8>,
}

/// Reads what the [`Encoder`] at the other end wrote.
#[derive(Default)]
pub struct Decoder {
    known: Known,
    taken: Option<u8>,
}

/// What both ends know.
struct Known {
    names: Vec<Box<[u8]>>,
    forms: Vec<KnownForm>,
    /// The number of each actor's next message.
    next: BTreeMap<Actor, u64>,
}

struct KnownForm {
    form: Form,
    /// The last integer in each gap.
    last: Vec<i64>,
}

impl Default for Known {
    fn default() -> Self {
        let opaque = Form::parse(OPAQUE_FORM).expect("it is a form");
        Self { names: Vec::new(), forms: vec![KnownForm::new(opaque)], next: BTreeMap::new() }
    }
}

impl KnownForm {
    fn new(form: Form) -> Self {
        Self { last: vec![0; form.gaps.len()], form }
    }
}

impl Known {
    fn expect_next(&mut self, run: &Run) {
        if self.next.len() < ACTORS_MAX || self.next.contains_key(&run.actor) {
            self.next.insert(run.actor, run.last() + 1);
        }
    }
}

/// The number after this one; 0 only begins.
fn number_after(number: Option<u8>) -> u8 {
    number.map_or(0, |number| number.checked_add(1).unwrap_or(1))
}

impl Encoder {
    /// Forgets what the other end knows: a run it was to be sent did not leave. The next one begins anew.
    pub fn begin_anew(&mut self) {
        *self = Self::default();
    }

    /// The bytes of a run, which has to be sent after those written before.
    pub fn encode(&mut self, run: &Run) -> Vec<u8> {
        let number = number_after(self.sent);
        self.sent = Some(number);
        let mut out = vec![number];
        self.write_name(&mut out, &run.actor.0);
        let foreseen = self.known.next.get(&run.actor).copied().unwrap_or(1);
        write_size(&mut out, zigzag(run.first.wrapping_sub(foreseen).cast_signed()));
        self.known.expect_next(run);
        write_size(&mut out, run.bodies.len() as u64);
        out.extend(run.signature.0);
        let mut parts = Parts::default();
        for body in &run.bodies {
            parts.split(body);
            let news =
                parts.iter().filter(|(form, _)| *form != OPAQUE_FORM && !self.forms.contains_key(*form));
            let (count, longest) =
                news.fold((0, 0), |(count, longest), (form, _)| (count + 1, form.len().max(longest)));
            if self.known.forms.len() + count > LIVE_FORMS_MAX || longest > FORM_BYTES_MAX {
                parts.split_opaque(body);
            }
            for (form, fills) in parts.iter() {
                let index = self.write_form(&mut out, form);
                self.write_fills(&mut out, index, fills);
            }
        }
        out
    }

    fn write_form(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> usize {
        let known = if bytes == OPAQUE_FORM { Some(0) } else { self.forms.get(bytes).copied() };
        let next = self.known.forms.len();
        let index = known.unwrap_or(next);
        write_size(out, index as u64);
        if index == next {
            write_string(out, bytes);
            let form = Form::parse(bytes).expect("a message was taken apart into it");
            self.known.forms.push(KnownForm::new(form));
            self.forms.insert(bytes.to_vec(), next);
        }
        index
    }

    fn write_fills(&mut self, out: &mut Vec<u8>, form: usize, fills: &[Fill<'_>]) {
        for (index, fill) in fills.iter().enumerate() {
            let KnownForm { form, last } = &mut self.known.forms[form];
            match (fill, form.gaps[index].1) {
                (&Fill::Number(number), _) => write_difference(out, &mut last[index], number),
                (Fill::String(string), Gap::String { again: true, .. }) => self.write_name(out, string),
                (Fill::String(string), _) => write_string(out, string),
            }
        }
    }

    fn write_name(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        let next = self.known.names.len();
        let index = self.numbers.get(name).copied().unwrap_or(next);
        write_size(out, index as u64);
        if index == next {
            write_string(out, name);
            if is_kept(next, name) {
                self.numbers.insert(name.into(), next);
                self.known.names.push(name.into());
            }
        }
    }
}

impl Decoder {
    /// Reads a run; none where one before it did not come, and the other end has not begun anew since.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Option<Run>, DecodeError> {
        let mut rest = bytes;
        let number = take_byte(&mut rest)?;
        if number == 0 {
            self.known = Known::default();
        } else if self.taken.is_none() || number != number_after(self.taken) {
            self.taken = None;
            return Ok(None);
        }
        self.taken = Some(number);
        let run = self.read_run(&mut rest)?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing { extra_bytes: rest.len() });
        }
        self.known.expect_next(&run);
        Ok(Some(run))
    }

    fn read_run(&mut self, rest: &mut &[u8]) -> Result<Run, DecodeError> {
        let mut actor = Vec::new();
        self.read_name(rest, &mut actor, None)?;
        let actor = Actor(actor.try_into().map_err(|_| malformed("an actor"))?);
        let foreseen = self.known.next.get(&actor).copied().unwrap_or(1);
        let first = foreseen.wrapping_add(unzigzag(take_size(rest)?).cast_unsigned());
        let messages = take_size(rest)?;
        if !(1..=LAMPORT_MAX - RUN_MESSAGES_MAX as u64).contains(&first)
            || !(1..=RUN_MESSAGES_MAX as u64).contains(&messages)
        {
            return Err(malformed("a run of at least one message"));
        }
        let signature = rest.split_off(..64).ok_or(malformed("a signature"))?;
        let signature = Signature(signature.try_into().expect("64 bytes"));
        let mut bodies = Bodies::default();
        let mut body = Vec::with_capacity(BODY_BYTES);
        for _ in 0..messages {
            self.read_body(rest, &mut body)?;
            bodies.push(&body);
        }
        Ok(Run { actor, first, bodies, signature })
    }

    /// Reads a body over what was there.
    fn read_body(&mut self, rest: &mut &[u8], body: &mut Vec<u8>) -> Result<(), DecodeError> {
        body.clear();
        let envelope = self.read_part(rest, body)?;
        for _ in 0..self.known.forms[envelope].form.count() {
            self.read_part(rest, body)?;
        }
        Ok(())
    }

    fn read_part(&mut self, rest: &mut &[u8], body: &mut Vec<u8>) -> Result<usize, DecodeError> {
        let index = usize::try_from(take_size(rest)?).unwrap_or(usize::MAX);
        if index == self.known.forms.len() {
            let bytes = take_string(rest)?;
            let form = Form::parse(bytes).filter(|_| index < LIVE_FORMS_MAX && bytes.len() <= FORM_BYTES_MAX);
            self.known.forms.push(KnownForm::new(form.ok_or(malformed("a form"))?));
        }
        let gaps = self.known.forms.get(index).ok_or(malformed("a form's number"))?.form.gaps.len();
        for gap in 0..gaps {
            let KnownForm { form, last } = &mut self.known.forms[index];
            let (before, gap_kind) = &form.gaps[gap];
            body.extend_from_slice(before);
            match *gap_kind {
                Gap::Number(_) => write_number(body, take_difference(rest, &mut last[gap])?),
                Gap::String { major, again: true } => self.read_name(rest, body, major)?,
                Gap::String { major, again: false } => append(body, major, take_string(rest)?),
            }
            check_len(body)?;
        }
        body.extend_from_slice(&self.known.forms[index].form.end);
        check_len(body)?;
        Ok(index)
    }

    fn read_name(
        &mut self,
        rest: &mut &[u8],
        out: &mut Vec<u8>,
        major: Option<u8>,
    ) -> Result<(), DecodeError> {
        let index = usize::try_from(take_size(rest)?).unwrap_or(usize::MAX);
        if index == self.known.names.len() {
            let name = take_string(rest)?;
            append(out, major, name);
            if is_kept(index, name) {
                self.known.names.push(name.into());
            }
            return Ok(());
        }
        append(out, major, self.known.names.get(index).ok_or(malformed("a name's number"))?);
        Ok(())
    }
}

/// Whether both ends remember a new name, of which there are that many.
fn is_kept(names: usize, name: &[u8]) -> bool {
    names < LIVE_NAMES_MAX && name.len() <= LIVE_NAME_BYTES_MAX
}

fn append(out: &mut Vec<u8>, major: Option<u8>, string: &[u8]) {
    if let Some(major) = major {
        write_header(out, major, string.len() as u64);
    }
    out.extend_from_slice(string);
}

fn check_len(body: &[u8]) -> Result<(), DecodeError> {
    match body.len() {
        0..=MESSAGE_BYTES_MAX => Ok(()),
        found => Err(DecodeError::TooLong { what: "message", found, limit: MESSAGE_BYTES_MAX }),
    }
}

/// An integer as its difference to the last one, anything else in its canonical bytes, which begin with f9, fa or fb.
fn write_difference(out: &mut Vec<u8>, last: &mut i64, number: f64) {
    let start = out.len();
    write_number(out, number);
    if out[start] >= 0xf9 {
        return;
    }
    out.truncate(start);
    #[expect(clippy::cast_possible_truncation, reason = "numbers that do not travel as floats are integers")]
    let integer = number as i64;
    let difference = zigzag(integer.wrapping_sub(*last));
    *last = integer;
    if difference < BYTE_MAX {
        return out.push(difference.to_le_bytes()[0]);
    }
    let len = 8 - difference.leading_zeros() as usize / 8;
    out.push(BYTE_MAX.to_le_bytes()[0] + u8::try_from(len).expect("at most 8"));
    out.extend_from_slice(&difference.to_le_bytes()[..len]);
}

fn take_difference(rest: &mut &[u8], last: &mut i64) -> Result<f64, DecodeError> {
    let first = take_byte(rest)?;
    let mut bytes = [0; 8];
    let difference = match first {
        0..0xf0 => u64::from(first),
        0xf1..=0xf8 => {
            let taken = rest.split_off(..usize::from(first - 0xf0)).ok_or(malformed("a number"))?;
            bytes[..taken.len()].copy_from_slice(taken);
            u64::from_le_bytes(bytes)
        }
        0xf9..=0xfb => {
            let float = rest.split_off(..2 << (first - 0xf9)).ok_or(malformed("a number"))?;
            return Form::float(first, float).ok_or(malformed("a number"));
        }
        0xf0 | 0xfc.. => return Err(malformed("a number")),
    };
    *last = last.wrapping_add(unzigzag(difference));
    #[expect(clippy::cast_precision_loss, reason = "those that were written are exact")]
    Ok(*last as f64)
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn write_size(out: &mut Vec<u8>, mut size: u64) {
    while size >= 0x80 {
        out.push(size.to_le_bytes()[0] | 0x80);
        size >>= 7;
    }
    out.push(size.to_le_bytes()[0]);
}

fn take_size(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut size = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(rest)?;
        size |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(size);
        }
    }
    Err(malformed("a size"))
}

fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    write_size(out, string.len() as u64);
    out.extend_from_slice(string);
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let len = usize::try_from(take_size(rest)?).unwrap_or(usize::MAX);
    rest.split_off(..len).ok_or(malformed("a string"))
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, DecodeError> {
    rest.split_off_first().copied().ok_or(malformed("a byte"))
}

fn malformed(expected: &'static str) -> DecodeError {
    DecodeError::Unexpected { expected, offset: 0 }
}
