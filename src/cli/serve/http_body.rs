//! The body of a request, read and discarded: by its length, or in chunks (RFC 9112 section 7.1).

use httparse::Status;

use super::http::{MAX_BODY, MAX_HEAD};

/// Longest line with the size of a chunk.
const MAX_SIZE_LINE: usize = 256;

/// How far a body is read.
#[derive(Debug)]
pub(super) enum Body {
    /// So many octets are left.
    Length(u64),
    /// In chunks: where in them, and how much has come in all.
    Chunked { at: Chunk, total: u64 },
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunk {
    /// At the line with a size, of which the input so far holds only a part.
    Size,
    /// In a chunk of which so many octets are left, CR LF included.
    Data(u64),
    /// In the lines after the last chunk, of which so many octets have come.
    Trailer(usize),
}

/// What a call of [`Body::discard`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
    Malformed,
    TooLarge,
}

impl Body {
    pub(super) fn of_length(length: u64) -> Body {
        Body::Length(length)
    }

    pub(super) fn chunked() -> Body {
        Body::Chunked { at: Chunk::Size, total: 0 }
    }

    /// Takes what belongs to the body from the head of `input`; says how much that was.
    pub(super) fn discard(&mut self, input: &[u8]) -> (usize, Progress) {
        match self {
            Body::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                (taken, if *left == 0 { Progress::Done } else { Progress::More })
            }
            Body::Chunked { at, total } => discard_chunks(at, total, input),
        }
    }
}

fn discard_chunks(at: &mut Chunk, total: &mut u64, input: &[u8]) -> (usize, Progress) {
    let mut used = 0;
    loop {
        let rest = &input[used..];
        match at {
            Chunk::Size => match httparse::parse_chunk_size(rest) {
                Ok(Status::Partial) if rest.len() > MAX_SIZE_LINE => return (used, Progress::Malformed),
                Ok(Status::Partial) => return (used, Progress::More),
                Err(_) => return (used, Progress::Malformed),
                Ok(Status::Complete((len, 0))) => {
                    used += len;
                    *at = Chunk::Trailer(0);
                }
                Ok(Status::Complete((len, size))) => {
                    used += len;
                    *total = total.saturating_add(size);
                    if *total > MAX_BODY {
                        return (used, Progress::TooLarge);
                    }
                    *at = Chunk::Data(size + 2);
                }
            },
            Chunk::Data(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                // The two octets behind the data end the line.
                let ends = (0..taken).rev().take(2).all(|i| match *left - i as u64 {
                    2 => rest[i] == b'\r',
                    1 => rest[i] == b'\n',
                    _ => true,
                });
                if !ends {
                    return (used, Progress::Malformed);
                }
                used += taken;
                *left -= taken as u64;
                if *left > 0 {
                    return (used, Progress::More);
                }
                *at = Chunk::Size;
            }
            Chunk::Trailer(len) => {
                let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                    let progress = if *len + rest.len() > MAX_HEAD { Progress::TooLarge } else { Progress::More };
                    return (used, progress);
                };
                used += end + 1;
                *len += end + 1;
                if matches!(&rest[..end], b"" | b"\r") {
                    return (used, Progress::Done);
                }
                if *len > MAX_HEAD {
                    return (used, Progress::TooLarge);
                }
            }
        }
    }
}
