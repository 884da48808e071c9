//! One HTTP/1.1 connection from the server's side, without input or output: bytes go in, responses come out.
//!
//! It answers GET and HEAD, keeps the connection alive, takes requests one after the other however many have arrived at
//! once, and reads and discards bodies. What is no HTTP gets a 400 that says what to type, as soon as it can no longer
//! become HTTP. It holds at most one head or one piece of input, whichever is larger.

use httparse::{EMPTY_HEADER, Status};

use super::http_body::{Body, Progress};
use super::http_head::{self, Framing, Head};

/// Longest head of a request, in octets.
pub(super) const MAX_HEAD: usize = 8 * 1024;
/// Most header lines of a request.
pub(super) const MAX_HEADERS: usize = 64;
/// Longest body that is read (and discarded).
pub(super) const MAX_BODY: u64 = 1 << 20;

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The page of `/`, renewed by the browser each so many seconds if that is not 0.
    Page { refresh: u32 },
    /// `/connections.json`.
    Json,
    /// An error, with words for a person.
    Error(u16, &'static str),
}

/// Makes the content of a page. Errors have a content of their own.
pub(super) trait Site {
    /// The page for people.
    fn page(&mut self, refresh: u32) -> String;
    /// The same for programs.
    fn json(&mut self) -> String;
}

/// What stands in a 400 for somebody who typed something else into `nc`.
const HOW_TO: &str = "\
This port speaks HTTP/1.1. Type these two lines and then an empty line (press Enter twice):

    GET / HTTP/1.1
    Host: x

Or let a program do it:  curl http://ADDRESS/   or   curl http://ADDRESS/connections.json
";

const NOT_HTTP: Answer = Answer::Error(400, "That is no HTTP request.");

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Http {
    input: Vec<u8>,
    /// How much of `input` is used up.
    used: usize,
    phase: Phase,
    ended: bool,
}

#[derive(Debug, Default)]
enum Phase {
    /// A head is expected.
    #[default]
    Head,
    /// A body is discarded before the request is answered.
    Body(Body, Reply),
    /// The last response has been given.
    Over,
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug)]
struct Reply {
    answer: Answer,
    without_body: bool,
    /// The connection ends with this response.
    close: bool,
    /// The client speaks HTTP/1.0.
    old: bool,
}

impl Reply {
    fn last(answer: Answer) -> Reply {
        Reply { answer, without_body: false, close: true, old: false }
    }
}

impl Http {
    /// Takes input. The caller asks for responses until there are no more before it brings more.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(bytes);
    }

    /// There will be no more input.
    pub(super) fn end_of_input(&mut self) {
        self.ended = true;
    }

    /// The last response has been given: what is queued is to be sent, and then the connection ends.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Nothing is remembered: one that is new would do as well.
    pub(super) fn is_blank(&self) -> bool {
        self.input.is_empty() && !self.ended && matches!(self.phase, Phase::Head)
    }

    /// Appends the next response to `out`, if the input makes one due.
    pub(super) fn respond(&mut self, site: &mut dyn Site, out: &mut Vec<u8>) -> bool {
        let Some(reply) = self.next_reply() else {
            if self.ended && !self.is_over() {
                self.phase = Phase::Over;
            }
            self.tidy();
            return false;
        };
        self.phase = if reply.close { Phase::Over } else { Phase::Head };
        write_response(&reply, site, out);
        self.tidy();
        true
    }

    /// An idle connection holds no memory.
    fn tidy(&mut self) {
        if self.is_over() || self.used == self.input.len() {
            self.input = Vec::new();
            self.used = 0;
        }
    }

    fn next_reply(&mut self) -> Option<Reply> {
        if matches!(self.phase, Phase::Head)
            && let Some(reply) = self.take_head()
        {
            return Some(reply);
        }
        let Phase::Body(body, reply) = &mut self.phase else { return None };
        let (used, progress) = body.discard(&self.input[self.used..]);
        self.used += used;
        match progress {
            Progress::Done => Some(*reply),
            Progress::Malformed => Some(Reply::last(Answer::Error(400, "The chunks of the body are malformed."))),
            Progress::TooLarge => Some(Reply::last(Answer::Error(413, "The body is longer than this server reads."))),
            Progress::More if self.ended => {
                Some(Reply::last(Answer::Error(400, "The body ended before its announced length.")))
            }
            Progress::More => None,
        }
    }

    /// Reads a head if there is a whole one. A request without a body, or with an error, is answered at once.
    fn take_head(&mut self) -> Option<Reply> {
        let input = &self.input[self.used..];
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let result = request.parse(input);
        let Ok(Status::Complete(len)) = result else {
            return self.refuse(result.err());
        };
        if len > MAX_HEAD {
            return Some(too_large());
        }
        let head = Head::new(&request);
        let old = head.old;
        self.used += len;
        let (close, without_body, answer) = (head.close, head.without_body, head.answer);
        let reply = Reply { answer, without_body, close, old };
        match head.framing {
            // Whoever asks before sending a body may never send it, so nothing can follow on this connection.
            _ if head.expects_go_ahead => Some(Reply { close: true, ..reply }),
            Framing::None => Some(reply),
            Framing::Length(len) if len > MAX_BODY => {
                Some(Reply::last(Answer::Error(413, "The body is longer than this server reads.")))
            }
            Framing::Length(len) => {
                self.phase = Phase::Body(Body::of_length(len), reply);
                None
            }
            Framing::Chunked => {
                self.phase = Phase::Body(Body::chunked(), reply);
                None
            }
            Framing::Refused(status, why) => Some(Reply::last(Answer::Error(status, why))),
        }
    }

    /// What to say to a head that is not whole (no error) or cannot become one.
    fn refuse(&self, error: Option<httparse::Error>) -> Option<Reply> {
        let input = &self.input[self.used..];
        match error {
            Some(httparse::Error::TooManyHeaders) => Some(too_large()),
            Some(_) if http_head::is_request_without_version(input) => {
                Some(Reply::last(Answer::Error(400, "The request names no HTTP version.")))
            }
            Some(_) => Some(Reply::last(NOT_HTTP)),
            None if input.len() > MAX_HEAD => Some(too_large()),
            None if self.ended && input.iter().any(|byte| !byte.is_ascii_whitespace()) => {
                Some(Reply::last(Answer::Error(400, "The request ended before the empty line.")))
            }
            None => None,
        }
    }
}

fn too_large() -> Reply {
    Reply::last(Answer::Error(431, "The head of the request is larger than this server reads."))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "HTTP Version Not Supported",
    }
}

fn write_response(reply: &Reply, site: &mut dyn Site, out: &mut Vec<u8>) {
    let (status, kind, content) = match reply.answer {
        Answer::Page { refresh } => (200, "text/html; charset=utf-8", site.page(refresh)),
        Answer::Json => (200, "application/json", site.json()),
        Answer::Error(status, why) => (status, "text/plain; charset=utf-8", error_text(status, why)),
    };
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nServer: glasstcp/{}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\n",
        reason(status),
        env!("CARGO_PKG_VERSION"),
        content.len(),
    );
    if status == 405 {
        head.push_str("Allow: GET, HEAD\r\n");
    }
    if reply.close {
        head.push_str("Connection: close\r\n");
    } else if reply.old {
        head.push_str("Connection: keep-alive\r\n");
    }
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b"\r\n");
    if !reply.without_body {
        out.extend_from_slice(content.as_bytes());
    }
}

fn error_text(status: u16, why: &str) -> String {
    let more = match status {
        404 => "There is / for people and /connections.json for programs.\n",
        405 => "This server answers GET and HEAD.\n",
        400 => HOW_TO,
        _ => "",
    };
    let blank = if status == 400 { "\n" } else { "" };
    format!("{status} {}: {why}\n{blank}{more}", reason(status))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
