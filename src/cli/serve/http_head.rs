//! What the head of a request asks for, and how its body is framed.

use super::http::Answer;

/// A whole head, understood.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) answer: Answer,
    /// HEAD: the response has no body.
    pub(super) without_body: bool,
    /// The connection ends with this response.
    pub(super) close: bool,
    /// HTTP/1.0.
    pub(super) old: bool,
    /// `Expect: 100-continue`: the client waits before it sends the body.
    pub(super) expects_go_ahead: bool,
    pub(super) framing: Framing,
}

/// How the body of a request is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// By its length.
    Length(u64),
    /// In chunks.
    Chunked,
    /// In a way that leaves its end open; the status and why.
    Refused(u16, &'static str),
}

impl Head {
    pub(super) fn new(request: &httparse::Request<'_, '_>) -> Head {
        let method = request.method.unwrap_or_default();
        let old = request.version == Some(0);
        let values = |name: &'static str| {
            let named = request.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value)
        };
        let tokens = || values("connection").flat_map(|value| value.split(|&byte| byte == b','));
        let connection =
            |wanted: &str| tokens().any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()));
        let close = connection("close") || old && !connection("keep-alive");
        let hosts = values("host").count();
        let answer = match method {
            // RFC 9112 section 3.2: exactly one Host line; HTTP/1.0 knows none.
            _ if hosts == 0 && !old => Answer::Error(400, "HTTP/1.1 wants a Host line."),
            _ if hosts > 1 => Answer::Error(400, "There is more than one Host line."),
            "GET" | "HEAD" => resource(request.path.unwrap_or_default()),
            _ => Answer::Error(405, "That method does nothing here."),
        };
        let lengths: Vec<&[u8]> = values("content-length").collect();
        let codings: Vec<&[u8]> = values("transfer-encoding").collect();
        let framing = framing(&lengths, &codings, old, matches!(method, "POST" | "PUT" | "PATCH"));
        let asks = values("expect").any(|value| value.trim_ascii().eq_ignore_ascii_case(b"100-continue"));
        Head {
            answer,
            without_body: method == "HEAD",
            close: close || matches!(answer, Answer::Error(400, _)),
            old,
            expects_go_ahead: asks && !old && matches!(framing, Framing::Length(1..) | Framing::Chunked),
            framing,
        }
    }
}

/// What a target names: a path, or a whole URI (RFC 9112 section 3.2.2) with any host.
fn resource(target: &str) -> Answer {
    let rest = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => target,
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    match path {
        "/" | "" => {
            let seconds = query.split('&').find_map(|pair| pair.strip_prefix("refresh="));
            Answer::Page { refresh: seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(0).min(3_600) }
        }
        "/connections.json" => Answer::Json,
        _ => Answer::Error(404, "There is nothing of that name."),
    }
}

fn framing(lengths: &[&[u8]], codings: &[&[u8]], old: bool, has_body: bool) -> Framing {
    if let Some(coding) = codings.first() {
        // RFC 9112 section 6.1: a length beside it, or a coding in HTTP/1.0, may be an attack on who stands in between.
        return match () {
            () if !lengths.is_empty() => Framing::Refused(400, "A body has a length or a transfer coding, not both."),
            () if old => Framing::Refused(400, "HTTP/1.0 has no transfer codings."),
            () if codings.len() == 1 && coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            () => Framing::Refused(501, "The only transfer coding known here is chunked."),
        };
    }
    let Some(first) = lengths.first() else {
        let endless = old && has_body;
        return if endless { Framing::Refused(411, "Say how long the body is.") } else { Framing::None };
    };
    let number = |text: &[u8]| {
        let text = text.trim_ascii();
        let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        digits.then(|| str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX))
    };
    match number(first) {
        Some(0) if lengths.len() == 1 => Framing::None,
        Some(length) if lengths.iter().all(|other| number(other) == Some(length)) => Framing::Length(length),
        _ => Framing::Refused(400, "The length of the body is not a number."),
    }
}

/// `GET /` and the end of the line: what HTTP/0.9 was, and what a person types first.
pub(super) fn is_request_without_version(input: &[u8]) -> bool {
    let line = input.trim_ascii_start().split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    matches!(method.to_ascii_uppercase().as_slice(), b"GET" | b"HEAD")
        && target.starts_with(b"/")
        && words.next().is_none()
}
