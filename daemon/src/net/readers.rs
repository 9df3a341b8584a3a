//! What this module reads of others, for tests that give it any bytes: nobody else outside needs these readers.

use rtc_core::canonical::DecodeError;

use super::book::Book;
use super::greeting::Control;
use super::piece::{Assembler, Cutter, Track};

/// Reads a frame of the control track, writes it, and reads that.
///
/// # Errors
/// Where it is none.
///
/// # Panics
/// Panics where what was read comes back as something else.
pub fn control(bytes: &[u8]) -> Result<(), DecodeError> {
    let control = Control::decode(bytes)?;
    assert_eq!(Control::decode(&control.encode()).as_ref(), Ok(&control));
    Ok(())
}

/// The frames of a stream that comes in portions of so many bytes, until something is no piece; each begins with its track.
///
/// # Panics
/// Panics where a frame, cut again, comes back as another.
pub fn frames(stream: &[u8], portion: usize) -> Vec<Vec<u8>> {
    let (mut assembler, mut frames) = (Assembler::default(), Vec::new());
    for mut input in stream.chunks(portion.max(1)) {
        loop {
            let (track, frame) = match assembler.next(&mut input) {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(_) => return frames,
            };
            assert_eq!(again(track, &frame), Some((track, frame.clone())));
            frames.push([&[track as u8], &frame[..]].concat());
        }
    }
    frames
}

fn again(track: Track, frame: &[u8]) -> Option<(Track, Vec<u8>)> {
    let (mut cutter, mut stream) = (Cutter::new(track, frame.to_vec()), Vec::new());
    while !cutter.cut(&mut stream) {}
    Assembler::default().next(&mut stream.as_slice()).ok().flatten()
}

/// What an address book's file holds, written again; nothing where it is none.
pub fn book(text: &str) -> Option<String> {
    Book::from_json(text).ok().map(|book| book.to_json())
}
