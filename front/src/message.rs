//! gRPC's framing: one message of a unary call out of its DATA frames, the deadline, and the answer.
//!
//! A unary request is five bytes (compressed or not, length) and the message, and then the stream ends. Anything else
//! (nothing, several messages, bytes behind it, fewer than announced, a compressed one) is refused: what two readers
//! could understand in two ways is not handed on. Nothing is ever decompressed.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

use crate::queue::Cause;

/// Bytes before a message: a flag and the length.
pub const PREFIX: usize = 5;

/// Puts a message together.
pub struct Assembler {
    limit: usize,
    first: Bytes,
    more: BytesMut,
}

impl Assembler {
    /// For a message of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, first: Bytes::new(), more: BytesMut::new() }
    }

    fn so_far(&self) -> &[u8] {
        if self.more.is_empty() { &self.first } else { &self.more }
    }

    /// Bytes that have come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.so_far().len()
    }

    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Take in the data of a frame.
    ///
    /// # Errors
    /// As soon as it is certain that this becomes no message.
    pub fn push(&mut self, data: Bytes) -> Result<(), Cause> {
        if self.is_empty() {
            self.first = data; // nearly always everything: nothing is copied
        } else {
            if self.more.is_empty() {
                self.more.extend_from_slice(&self.first);
                self.first = Bytes::new();
            }
            self.more.extend_from_slice(&data);
        }
        match announced(self.so_far()) {
            Some((flag, length)) if flag != 0 || length > self.limit => Err(Cause::Invalid),
            Some((_, length)) if self.len() > PREFIX + length => Err(Cause::Invalid),
            _ => Ok(()),
        }
    }

    /// The message, at the end of the stream.
    ///
    /// # Errors
    /// When it is not complete.
    pub fn finish(self) -> Result<Bytes, Cause> {
        let whole = if self.more.is_empty() { self.first } else { self.more.freeze() };
        match announced(&whole) {
            Some((_, length)) if whole.len() == PREFIX + length => Ok(whole.slice(PREFIX..)),
            _ => Err(Cause::Invalid),
        }
    }
}

fn announced(data: &[u8]) -> Option<(u8, usize)> {
    let prefix: &[u8; PREFIX] = data.first_chunk()?;
    let [flag, length @ ..] = *prefix;
    Some((flag, usize::try_from(u32::from_be_bytes(length)).ok()?))
}

/// A message with its prefix. Too long for the prefix, and it is none: `None`.
#[must_use]
pub fn framed(message: &[u8]) -> Option<Bytes> {
    let length = u32::try_from(message.len()).ok()?;
    let mut whole = BytesMut::with_capacity(PREFIX + message.len());
    whole.put_u8(0);
    whole.put_u32(length);
    whole.put_slice(message);
    Some(whole.freeze())
}

/// Whether the headers are those of a gRPC request that is not compressed.
#[must_use]
pub fn is_plain_grpc(headers: &HeaderMap) -> bool {
    let is_grpc = |value: &http::HeaderValue| match value.as_bytes().strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    };
    headers.contains_key(http::header::CONTENT_TYPE)
        && headers.get_all(http::header::CONTENT_TYPE).iter().all(is_grpc)
        && headers.get_all("grpc-encoding").iter().all(|value| value.as_bytes() == b"identity")
}

/// How long the caller waits: `grpc-timeout`, at most eight digits and a unit. None without one, or with one that is
/// no timeout.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (unit_at, unit) = value.char_indices().next_back()?;
    let digits = value.get(..unit_at)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number * 3600),
        'M' => Duration::from_secs(number * 60),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn assemble(limit: usize, frames: &[&[u8]]) -> Result<Bytes, Cause> {
        let mut assembler = Assembler::new(limit);
        for frame in frames {
            assembler.push(Bytes::copy_from_slice(frame))?;
        }
        assembler.finish()
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_message_is_the_same_however_it_is_cut_into_frames() {
        let whole = framed(b"one message").expect("short");
        assert_eq!(assemble(100, &[&whole]), Ok(Bytes::from_static(b"one message")));
        for cut in 0..whole.len() {
            let (left, right) = whole.split_at(cut);
            assert_eq!(assemble(100, &[left, b"", right]), Ok(Bytes::from_static(b"one message")), "cut at {cut}");
        }
        let each: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(assemble(100, &each), Ok(Bytes::from_static(b"one message")));
    }

    #[test]
    fn an_empty_message_is_a_message_and_no_message_is_none() {
        assert_eq!(assemble(0, &[&[0, 0, 0, 0, 0]]), Ok(Bytes::new()));
        assert_eq!(assemble(100, &[]), Err(Cause::Invalid));
    }

    #[test]
    fn what_is_short_or_long_or_compressed_or_too_large_is_refused() {
        let whole = framed(b"abc").expect("short");
        assert_eq!(assemble(100, &[&whole[..7]]), Err(Cause::Invalid));
        assert_eq!(assemble(100, &[&whole[..3]]), Err(Cause::Invalid));
        assert_eq!(assemble(100, &[&whole, b"x"]), Err(Cause::Invalid));
        assert_eq!(assemble(100, &[&whole, &whole]), Err(Cause::Invalid));
        assert_eq!(assemble(2, &[&whole]), Err(Cause::Invalid));
        assert_eq!(assemble(3, &[&whole]), Ok(Bytes::from_static(b"abc")));
        for flag in 1..=255 {
            assert_eq!(assemble(100, &[&[flag, 0, 0, 0, 1, 7]]), Err(Cause::Invalid));
        }
    }

    #[test]
    fn what_is_too_large_is_refused_when_its_length_is_known() {
        let mut assembler = Assembler::new(1000);
        assert_eq!(assembler.push(Bytes::from_static(&[0, 255, 255, 255])), Ok(()));
        assert_eq!(assembler.push(Bytes::from_static(&[255])), Err(Cause::Invalid));
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |value: &'static str| timeout(&headers(&[("grpc-timeout", value)]));
        assert_eq!(read("200m"), Some(Duration::from_millis(200)));
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for no_timeout in ["", "m", "1", "-1m", "1.5S", "123456789m", "1s", "1 m", "１m", "1ü"] {
            assert_eq!(read(no_timeout), None, "{no_timeout}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }

    #[test]
    fn only_plain_grpc_is_read() {
        let grpc = ("content-type", "application/grpc");
        assert!(is_plain_grpc(&headers(&[grpc])));
        assert!(is_plain_grpc(&headers(&[("content-type", "application/grpc+proto")])));
        assert!(is_plain_grpc(&headers(&[grpc, ("grpc-encoding", "identity")])));
        assert!(!is_plain_grpc(&headers(&[grpc, ("grpc-encoding", "gzip")])));
        assert!(!is_plain_grpc(&headers(&[("content-type", "application/grpc-web")])));
        assert!(!is_plain_grpc(&headers(&[("content-type", "text/plain")])));
        let mut two = headers(&[grpc]);
        two.append("content-type", HeaderValue::from_static("text/plain"));
        assert!(!is_plain_grpc(&two));
        assert!(!is_plain_grpc(&HeaderMap::new()));
    }
}
