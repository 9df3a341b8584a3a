//! Frames cut into pieces and put together again: a live frame waits for at most one piece of a backlog.
//!
//! The byte table is docs/protocol.md, "Pieces". Nothing here allocates on a peer's word: a lane's buffer grows only
//! with bytes that have arrived.

use rtc_core::limits::{FRAME_BYTES_MAX, PIECE_BYTES_MAX};

use super::Lane;
use super::limits::CONTROL_BYTES_MAX;

/// Bytes before each piece's payload.
pub(crate) const HEADER_BYTES: usize = 3;
/// Set in the first byte while the frame goes on in a later piece of its lane.
const MORE: u8 = 0x80;

/// What travels independently on one stream; also the order of urgency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Track {
    /// Greeting and choice: this module's neighbours speak here, not the hub.
    Control = 0,
    /// The hub's live frames.
    Live = 1,
    /// The hub's backlog frames.
    Bulk = 2,
}

impl From<Lane> for Track {
    fn from(lane: Lane) -> Self {
        match lane {
            Lane::Live => Self::Live,
            Lane::Bulk => Self::Bulk,
        }
    }
}

/// Bytes that are no pieces of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PieceError {
    /// The first byte names no track, or sets a reserved bit.
    #[error("a piece begins with {0:#04x}, which is no known kind")]
    Kind(u8),
    /// The piece is longer than allowed.
    #[error("piece of {0} bytes exceeds {PIECE_BYTES_MAX}")]
    PieceLength(usize),
    /// A piece that carries nothing yet promises more could go on for ever.
    #[error("an empty piece announces another")]
    Empty,
    /// A frame for the hub of a link that may never reach it.
    #[error("a frame before the link is agreed")]
    Early,
    /// The pieces add up to more than a frame may have.
    #[error("frame of more than {limit_bytes} bytes")]
    FrameLength {
        /// What its track allows.
        limit_bytes: usize,
    },
}

/// A frame on its way out, cut as it goes.
#[derive(Debug)]
pub(crate) struct Cutter {
    track: Track,
    frame: Vec<u8>,
    at: usize,
}

impl Cutter {
    /// Begins to cut `frame`, which is no longer than its track allows.
    pub(crate) fn new(track: Track, frame: Vec<u8>) -> Self {
        Self { track, frame, at: 0 }
    }

    /// Appends the next piece to `out`; true when it was the last.
    pub(crate) fn cut(&mut self, out: &mut Vec<u8>) -> bool {
        let rest = &self.frame[self.at..];
        let payload = &rest[..rest.len().min(PIECE_BYTES_MAX)];
        let last = payload.len() == rest.len();
        let length = u16::try_from(payload.len()).expect("a piece's length fits, by its limit");
        out.push(self.track as u8 | if last { 0 } else { MORE });
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(payload);
        self.at += payload.len();
        last
    }
}

/// Puts frames together from bytes that arrive in any portions.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    header: Vec<u8>,
    piece: Option<Piece>,
    tracks: [Vec<u8>; 3],
    /// Whether only control frames may come: nothing large is held of who may be nobody.
    control_only: bool,
}

/// The piece whose payload is arriving.
#[derive(Debug)]
struct Piece {
    track: Track,
    more: bool,
    missing_bytes: usize,
}

impl Assembler {
    /// One that takes nothing but control frames until [`Assembler::agree`].
    pub(crate) fn before_agreement() -> Self {
        Self { control_only: true, ..Self::default() }
    }

    /// The link is agreed: from now on every track may be used.
    pub(crate) fn agree(&mut self) {
        self.control_only = false;
    }

    /// Takes from `input` up to the end of a frame and returns that frame; `None` when `input` is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<(Track, Vec<u8>)>, PieceError> {
        loop {
            let Some(piece) = &mut self.piece else {
                let missing_bytes = HEADER_BYTES - self.header.len();
                let (header, rest) = input.split_at(missing_bytes.min(input.len()));
                self.header.extend_from_slice(header);
                *input = rest;
                let &[kind, high, low] = self.header.as_slice() else { return Ok(None) };
                self.piece = Some(self.begin(kind, usize::from(u16::from_be_bytes([high, low])))?);
                self.header.clear();
                continue;
            };
            let (payload, rest) = input.split_at(piece.missing_bytes.min(input.len()));
            let buffer = &mut self.tracks[piece.track as usize];
            buffer.extend_from_slice(payload);
            *input = rest;
            piece.missing_bytes -= payload.len();
            if piece.missing_bytes > 0 {
                return Ok(None);
            }
            let (track, more) = (piece.track, piece.more);
            let frame = if more { None } else { Some(std::mem::take(buffer)) };
            self.piece = None;
            if let Some(frame) = frame {
                return Ok(Some((track, frame)));
            }
        }
    }

    /// Judges a header before a byte of its payload is kept.
    fn begin(&self, kind: u8, length: usize) -> Result<Piece, PieceError> {
        let (track, limit_bytes) = match kind & !MORE {
            0 => (Track::Control, CONTROL_BYTES_MAX),
            1 => (Track::Live, FRAME_BYTES_MAX),
            2 => (Track::Bulk, FRAME_BYTES_MAX),
            _ => return Err(PieceError::Kind(kind)),
        };
        if self.control_only && track != Track::Control {
            return Err(PieceError::Early);
        }
        let more = kind & MORE != 0;
        if length > PIECE_BYTES_MAX {
            return Err(PieceError::PieceLength(length));
        }
        if more && length == 0 {
            return Err(PieceError::Empty);
        }
        if self.tracks[track as usize].len() + length > limit_bytes {
            return Err(PieceError::FrameLength { limit_bytes });
        }
        Ok(Piece { track, more, missing_bytes: length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(track: Track, frame: &[u8]) -> Vec<u8> {
        let (mut cutter, mut out) = (Cutter::new(track, frame.to_vec()), Vec::new());
        while !cutter.cut(&mut out) {}
        out
    }

    fn assemble(bytes: &[u8], portion: usize) -> Result<Vec<(Track, Vec<u8>)>, PieceError> {
        let (mut assembler, mut frames) = (Assembler::default(), Vec::new());
        for mut input in bytes.chunks(portion) {
            while let Some(frame) = assembler.next(&mut input)? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_survive_any_portions() {
        let long: Vec<u8> = (0..=250).cycle().take(PIECE_BYTES_MAX * 2 + 7).collect();
        let exact = vec![9; PIECE_BYTES_MAX];
        let mut bytes = pieces(Track::Live, b"");
        bytes.extend(pieces(Track::Bulk, &long));
        bytes.extend(pieces(Track::Control, b"hello"));
        bytes.extend(pieces(Track::Live, &exact));
        let expected = vec![
            (Track::Live, Vec::new()),
            (Track::Bulk, long),
            (Track::Control, b"hello".to_vec()),
            (Track::Live, exact),
        ];
        for portion in [1, 2, 3, 4, 1000, PIECE_BYTES_MAX, bytes.len()] {
            assert_eq!(assemble(&bytes, portion).as_ref(), Ok(&expected), "portions of {portion}");
        }
    }

    #[test]
    fn a_live_frame_may_come_between_two_pieces_of_a_backlog() {
        let long = vec![1; PIECE_BYTES_MAX + 1];
        let (mut bulk, mut bytes) = (Cutter::new(Track::Bulk, long.clone()), Vec::new());
        assert!(!bulk.cut(&mut bytes));
        bytes.extend(pieces(Track::Live, b"now"));
        assert!(bulk.cut(&mut bytes));
        let expected = vec![(Track::Live, b"now".to_vec()), (Track::Bulk, long)];
        assert_eq!(assemble(&bytes, 100), Ok(expected));
    }

    #[test]
    fn before_the_link_is_agreed_nothing_but_control_frames_is_held() {
        let mut assembler = Assembler::before_agreement();
        let bytes = [pieces(Track::Control, b"hello"), pieces(Track::Live, b"now")].concat();
        let mut input = &bytes[..];
        assert_eq!(assembler.next(&mut input), Ok(Some((Track::Control, b"hello".to_vec()))));
        let mut agreed = input;
        assert_eq!(assembler.next(&mut input), Err(PieceError::Early));
        let mut assembler = Assembler::before_agreement();
        assembler.agree();
        assert_eq!(assembler.next(&mut agreed), Ok(Some((Track::Live, b"now".to_vec()))));
    }

    #[test]
    fn what_breaks_a_limit_is_refused_at_its_header() {
        let too_long = u16::try_from(PIECE_BYTES_MAX + 1).unwrap().to_be_bytes();
        let cases = [
            (vec![3, 0, 0], PieceError::Kind(3)),
            (vec![0x41, 0, 0], PieceError::Kind(0x41)),
            (vec![1, too_long[0], too_long[1]], PieceError::PieceLength(PIECE_BYTES_MAX + 1)),
            (vec![0x81, 0, 0], PieceError::Empty),
        ];
        for (bytes, error) in cases {
            assert_eq!(assemble(&bytes, 1), Err(error));
        }
        let endless = {
            let mut bytes = vec![0x81, 0x40, 0];
            bytes.resize(HEADER_BYTES + PIECE_BYTES_MAX, 7);
            bytes.repeat(FRAME_BYTES_MAX / PIECE_BYTES_MAX + 1)
        };
        assert_eq!(assemble(&endless, 50_000), Err(PieceError::FrameLength { limit_bytes: FRAME_BYTES_MAX }));
        let control = pieces(Track::Control, &vec![0; CONTROL_BYTES_MAX + 1]);
        assert_eq!(assemble(&control, 100), Err(PieceError::FrameLength { limit_bytes: CONTROL_BYTES_MAX }));
    }
}
