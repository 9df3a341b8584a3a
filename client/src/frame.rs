//! One frame of the local socket: a big-endian `u32` length, then that many bytes of CBOR.
//!
//! Lengths are checked before memory is taken for them; nesting is bounded by the decoder.

use rtc_core::limits::API_FRAME_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Nesting a frame may have: a value's own limit and what the API wraps around it.
const NESTING_MAX: usize = rtc_core::limits::VALUE_DEPTH_MAX + 32;
/// Memory taken for a frame before its bytes are there: a length alone costs its sender nothing.
const TRUSTED_BYTES: usize = 64 * 1024;

/// Bytes that are no frame of the local API.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is longer than a frame may be.
    #[error("frame of {found} bytes exceeds {API_FRAME_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        found: usize,
    },
    /// What is in it is not what belongs there.
    #[error("a frame's content is invalid: {0}")]
    Content(String),
    /// The connection ended or failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The bytes of one frame that holds `content`, length included.
pub fn encode<T: Serialize>(content: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    ciborium::into_writer(content, &mut bytes).map_err(|error| FrameError::Content(error.to_string()))?;
    let found = bytes.len() - 4;
    let length = u32::try_from(found).ok().filter(|_| found <= API_FRAME_BYTES_MAX);
    let length = length.ok_or(FrameError::TooLong { found })?;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    Ok(bytes)
}

/// Reads one frame; nothing where the connection ended between two.
pub async fn read<T: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, FrameError> {
    read_bytes(reader).await?.map(|bytes| decode(&bytes)).transpose()
}

/// What the bytes of a frame hold; they hold one thing and nothing after it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let mut rest = bytes;
    let content = ciborium::de::from_reader_with_recursion_limit(&mut rest, NESTING_MAX)
        .map_err(|error| FrameError::Content(error.to_string()))?;
    if !rest.is_empty() {
        return Err(FrameError::Content(format!("{} bytes follow it", rest.len())));
    }
    Ok(content)
}

/// Reads the bytes of one frame, without its length; nothing where the connection ended between two.
pub async fn read_bytes(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<u8>>, FrameError> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length[..1]).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    reader.read_exact(&mut length[1..]).await?;
    let found = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if found > API_FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { found });
    }
    let mut bytes = Vec::with_capacity(found.min(TRUSTED_BYTES));
    let read = reader.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut bytes).await?;
    if read < found {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_core::api::{Ask, Request};

    #[tokio::test]
    async fn a_frame_round_trips_and_the_end_between_frames_is_no_error() {
        let request = Request { id: 7, ask: Ask::Status {} };
        let bytes = encode(&request).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read::<Request>(&mut reader).await.unwrap(), Some(request));
        assert_eq!(read::<Request>(&mut reader).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_frame_too_long_is_refused_before_its_bytes_come() {
        let mut reader = &[0xff, 0xff, 0xff, 0xff][..];
        assert!(matches!(read::<Request>(&mut reader).await, Err(FrameError::TooLong { .. })));
        assert!(matches!(encode(&"x".repeat(API_FRAME_BYTES_MAX)), Err(FrameError::TooLong { .. })));
    }

    #[tokio::test]
    async fn a_cut_frame_is_an_error() {
        let bytes = encode(&Request { id: 7, ask: Ask::Status {} }).unwrap();
        for cut in 1..bytes.len() {
            assert!(read::<Request>(&mut &bytes[..cut]).await.is_err(), "cut at {cut}");
        }
    }
}
