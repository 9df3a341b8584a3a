//! Blocks: many consecutive messages of one actor in few bytes, from which exactly their canonical bytes come back.
//!
//! A message is taken apart into forms (what repeats) and what fills their gaps. Numbers are foretold from those before them at
//! the same place, names are told apart from those that came before, and what remains goes through a range coder. Texts are
//! deflated. Nothing is lost: what is not understood travels as it is. See docs/protocol.md for the layout.

mod bodies;
mod cursor;
pub(crate) mod form;
mod model;
mod name;
mod number;
mod range;
mod reader;
mod writer;

pub use bodies::{Bodies, Iter};

use std::borrow::Cow;

use crate::limits::{BLOCK_BYTES_MAX, BLOCK_MESSAGES_MAX};
use form::Parts;
use reader::Reader;
use writer::Writer;

/// The layout this code writes; the first byte of every block.
const VERSION: u8 = 1;
/// Forms of one block; messages of still other forms are opaque.
const FORMS_MAX: usize = 256;
/// Gaps of all forms of one block: what is learnt of each takes a kilobyte.
const BLOCK_GAPS_MAX: usize = 4096;
/// Strings of one block that may come again; messages with still other ones are opaque.
const NAMES_MAX: usize = 1 << 16;
/// Messages from which on it pays to tell their form.
const ALIKE_MIN: usize = 3;
/// Texts shorter than that are not deflated: setting it up takes some 30 us and memory for thousands of times as many bytes.
const DEFLATED_BYTES_MIN: usize = 512;
/// How hard to deflate: past that it takes twice the time for a hundredth.
const DEFLATE_LEVEL: u8 = 6;

/// Bytes that are no block, or messages that are too much for one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// Another layout.
    #[error("block of layout {0}")]
    Version(u8),
    /// The bytes end early, or say what cannot be.
    #[error("malformed block")]
    Malformed,
    /// More messages than a block may have.
    #[error("block of {0} messages exceeds {BLOCK_MESSAGES_MAX}")]
    Messages(usize),
    /// Longer messages than a block may have.
    #[error("block of {0} bytes of messages exceeds {BLOCK_BYTES_MAX}")]
    Bytes(usize),
}

/// Packs the bodies of consecutive messages of one actor; any bytes will do, canonical messages become small.
///
/// Fails where they are more than [`BLOCK_MESSAGES_MAX`], or longer than [`BLOCK_BYTES_MAX`] together.
pub fn encode<B: AsRef<[u8]>>(bodies: &[B]) -> Result<Vec<u8>, BlockError> {
    let body_bytes: usize = bodies.iter().map(|body| body.as_ref().len()).sum();
    check_size(bodies.len(), body_bytes)?;
    let mut writer = Writer::default();
    let mut parts = Parts::default();
    for body in bodies {
        if bodies.len() >= ALIKE_MIN {
            parts.split(body.as_ref());
        }
        if bodies.len() < ALIKE_MIN || !writer.add(&parts) {
            parts.split_opaque(body.as_ref());
            writer.add(&parts);
        }
    }
    let (texts, coded) = writer.finish();
    let packed = deflate(&texts);
    let mut block = vec![VERSION];
    for size in [bodies.len(), body_bytes, texts.len(), packed.len()] {
        write_size(&mut block, size);
    }
    block.extend(&*packed);
    block.extend(coded);
    Ok(block)
}

/// Unpacks a block.
///
/// Takes memory in proportion to what the block says it holds, which is checked against the limits first.
pub fn decode(block: &[u8]) -> Result<Bodies, BlockError> {
    let mut rest = block;
    let version = rest.split_off_first().ok_or(BlockError::Malformed)?;
    if *version != VERSION {
        return Err(BlockError::Version(*version));
    }
    let [messages, body_bytes, text_bytes, packed_bytes] = read_sizes(&mut rest)?;
    check_size(messages, body_bytes)?;
    // All of it comes out in the bodies, but for what marks the gaps.
    if text_bytes > body_bytes + BLOCK_GAPS_MAX {
        return Err(BlockError::Malformed);
    }
    let packed = rest.split_off(..packed_bytes).ok_or(BlockError::Malformed)?;
    let texts = inflate(packed, text_bytes)?;
    Reader::new(&texts, rest, body_bytes)?.read(messages)
}

/// How many messages a block holds, and how many bytes they have, without unpacking it.
pub fn size(block: &[u8]) -> Result<(usize, usize), BlockError> {
    let mut rest = block.get(1..).ok_or(BlockError::Malformed)?;
    let [messages, body_bytes] = read_sizes(&mut rest)?;
    check_size(messages, body_bytes)?;
    Ok((messages, body_bytes))
}

fn check_size(messages: usize, body_bytes: usize) -> Result<(), BlockError> {
    if messages > BLOCK_MESSAGES_MAX {
        return Err(BlockError::Messages(messages));
    }
    if body_bytes > BLOCK_BYTES_MAX {
        return Err(BlockError::Bytes(body_bytes));
    }
    Ok(())
}

/// The texts deflated, or as they are where that is shorter.
pub(crate) fn deflate(texts: &[u8]) -> Cow<'_, [u8]> {
    if texts.len() < DEFLATED_BYTES_MIN {
        return texts.into();
    }
    let deflated = miniz_oxide::deflate::compress_to_vec(texts, DEFLATE_LEVEL);
    if deflated.len() < texts.len() { deflated.into() } else { texts.into() }
}

pub(crate) fn inflate(packed: &[u8], text_bytes: usize) -> Result<Vec<u8>, BlockError> {
    if packed.len() == text_bytes {
        return Ok(packed.to_vec());
    }
    let mut texts = vec![0; text_bytes];
    let packed = std::iter::once(packed);
    match miniz_oxide::inflate::decompress_slice_iter_to_slice(&mut texts, packed, false, true) {
        Ok(len) if len == text_bytes => Ok(texts),
        _ => Err(BlockError::Malformed),
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn write_size(out: &mut Vec<u8>, mut size: usize) {
    loop {
        let low = u8::try_from(size & 0x7f).expect("seven bits");
        size >>= 7;
        if size == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn read_sizes<const N: usize>(bytes: &mut &[u8]) -> Result<[usize; N], BlockError> {
    let mut sizes = [0; N];
    for size in &mut sizes {
        for shift in (0..).step_by(7) {
            let byte = *bytes.split_off_first().ok_or(BlockError::Malformed)?;
            if shift > 28 {
                return Err(BlockError::Malformed);
            }
            *size |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
    }
    Ok(sizes)
}
