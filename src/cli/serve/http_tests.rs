//! Tests of the HTTP connection: whatever the pieces in which the input arrives, the responses are the same.

use super::*;

struct Fixed;

impl Site for Fixed {
    fn page(&mut self, refresh: u32) -> String {
        format!("<page {refresh}>")
    }

    fn json(&mut self) -> String {
        "{}".into()
    }
}

/// Everything that is answered to `pieces`, and whether the connection is over then.
fn answers<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, end: bool) -> (String, bool) {
    let mut http = Http::default();
    let mut out = Vec::new();
    for piece in pieces {
        http.feed(piece);
        while http.respond(&mut Fixed, &mut out) {}
        assert!(http.input.len() - http.used <= MAX_HEAD + piece.len());
    }
    if end {
        http.end_of_input();
        while http.respond(&mut Fixed, &mut out) {}
    }
    (String::from_utf8(out).unwrap(), http.is_over())
}

/// The status of each response, wherever the input is cut in two, and cut into single octets.
fn statuses(input: &str, end: bool) -> Vec<u16> {
    let whole = answers([input.as_bytes()], end);
    for at in 0..input.len() {
        let (a, b) = input.as_bytes().split_at(at);
        assert_eq!(answers([a, b], end), whole, "cut at {at} of {input:?}");
    }
    assert_eq!(answers(input.as_bytes().chunks(1), end), whole, "{input:?} octet by octet");
    let status = |response: &str| response[9..12].parse().unwrap();
    let found: Vec<u16> = whole
        .0
        .match_indices("HTTP/1.1 ")
        .filter(|(at, _)| starts_response(&whole.0, *at))
        .map(|(at, _)| status(&whole.0[at..]))
        .collect();
    assert!(!found.iter().any(|status| [400, 411, 413, 431].contains(status)) || whole.1, "errors of framing end it");
    found
}

/// The words `HTTP/1.1` stand in the help, too, but not before a status.
fn starts_response(text: &str, at: usize) -> bool {
    text[at + 9..].starts_with(|c: char| c.is_ascii_digit())
}

#[test]
fn requests_are_answered_in_any_pieces() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(statuses(get, false), [200]);
    assert_eq!(statuses(&get.repeat(3), false), [200; 3]);
    assert_eq!(statuses("GET / HTTP/1.1\nHost: x\n\n", false), [200]);
    assert_eq!(statuses("\r\n\r\nGET /connections.json HTTP/1.1\r\nHost:\r\n\r\n", false), [200]);
    assert_eq!(statuses("GET http://10.0.0.2/connections.json HTTP/1.1\r\nHost: x\r\n\r\n", false), [200]);
    assert_eq!(
        statuses("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", false),
        [404, 200]
    );
    assert_eq!(statuses("DELETE / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n", false), [405, 200]);
    assert_eq!(statuses("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", false), [405]);
}

#[test]
fn responses_are_well_formed() {
    let (text, over) = answers([b"HEAD /?a=b&refresh=2 HTTP/1.1\r\nHost: x\r\n\r\n".as_slice()], false);
    assert!(text.contains("Content-Length: 8\r\n") && text.ends_with("\r\n\r\n") && !over, "{text}");
    let (text, over) =
        answers([b"GET /?refresh=2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, Close\r\n\r\nGET".as_slice()], false);
    assert!(text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\n<page 2>") && over, "{text}");
    let (text, over) = answers([b"GET / HTTP/1.0\r\n\r\n".as_slice()], false);
    assert!(text.contains("Connection: close\r\n") && over, "{text}");
    let (text, over) = answers([b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".as_slice()], false);
    assert!(text.contains("Connection: keep-alive\r\n") && !over, "{text}");
    let (text, _) = answers([b"POST / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice()], false);
    assert!(text.contains("Allow: GET, HEAD\r\n"), "{text}");
}

#[test]
fn what_is_no_http_is_told_what_to_type() {
    for garbage in
        ["hello\n", "hello world\n", "GET\r\n", "\x16\x03\x01", "GET / x\r\n", "GET / HTTP/2.0\r\n", "{\"a\": 1}\n"]
    {
        let (text, over) = answers([garbage.as_bytes()], false);
        assert!(text.starts_with("HTTP/1.1 400 ") && over, "{garbage:?}: {text}");
        assert!(text.contains("    GET / HTTP/1.1\n    Host: x\n"), "{text}");
        statuses(garbage, false);
    }
    for bare in ["GET /\n", "GET /\r\n", "get /connections.json \r\n"] {
        let (text, _) = answers([bare.as_bytes()], false);
        assert!(text.contains("names no HTTP version") && text.contains("Host: x"), "{bare:?}: {text}");
    }
    assert_eq!(statuses("GET / HTTP/1.1\r\n\r\n", false), [400]);
    assert_eq!(statuses("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", false), [400]);
    assert_eq!(statuses("GET / HTTP/1.1\r\nHost", true), [400]);
    assert_eq!(statuses("\r\n", true), [0u16; 0]);
    assert_eq!(statuses("", true), [0u16; 0]);
}

#[test]
fn what_is_too_large_is_refused() {
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
    assert!(answers([long.as_bytes()], false).0.starts_with("HTTP/1.1 431 "));
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(MAX_HEAD));
    assert!(answers(long.as_bytes().chunks(1_000), false).0.starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS));
    assert!(answers([many.as_bytes()], false).0.starts_with("HTTP/1.1 431 "));
    let body = |length: u64| format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(statuses(&body(MAX_BODY + 1), false), [413]);
    assert_eq!(statuses(&body(MAX_BODY), false), [0u16; 0]);
    let chunk = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", MAX_BODY + 1);
    assert_eq!(statuses(&chunk, false), [413]);
    assert_eq!(statuses(&chunk.replace("100001", "fffffffffffffffe"), false), [413]);
}

#[test]
fn bodies_are_read_and_discarded() {
    let next = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{body}{next}");
    assert_eq!(statuses(&post("Content-Length: 5", "GET /"), false), [405, 200]);
    assert_eq!(statuses(&post("Content-Length: 0", ""), false), [405, 200]);
    assert_eq!(statuses(&post("Content-Length: 5\r\nContent-Length: 5", "GET /"), false), [405, 200]);
    assert_eq!(
        statuses(&post("Transfer-Encoding: Chunked", "3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\n\r\n"), false),
        [405, 200]
    );
    assert_eq!(statuses(&post("Transfer-Encoding: chunked", "1\r\na\r\n0\r\nA: b\r\n\r\n"), false), [405, 200]);
    assert_eq!(
        statuses(&format!("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc{next}"), false),
        [200, 200]
    );
    assert_eq!(statuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", true), [400]);
}

#[test]
fn bodies_without_a_clear_end_are_refused() {
    let post = |fields: &str| statuses(&format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n3\r\n"), false);
    assert_eq!(post("Content-Length: 1\r\nContent-Length: 2"), [400]);
    assert_eq!(post("Content-Length: -1"), [400]);
    assert_eq!(post("Content-Length: 99999999999999999999999"), [413]);
    assert_eq!(post("Content-Length: 1\r\nTransfer-Encoding: chunked"), [400]);
    assert_eq!(post("Transfer-Encoding: gzip, chunked"), [501]);
    assert_eq!(statuses("POST / HTTP/1.0\r\n\r\n", false), [411]);
    assert_eq!(statuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", false), [400]);
    let chunks =
        |body: &str| statuses(&format!("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}"), false);
    assert_eq!(chunks("3\r\nabcd\r\n"), [400]);
    assert_eq!(chunks("x\r\n"), [400]);
    // Nothing can follow where the client waits for a go-ahead before its body.
    let expect = "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    let (text, over) = answers([expect.as_bytes()], false);
    assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("Connection: close") && over, "{text}");
}
