//! What a correct TCP makes of captures of Fast Open (RFC 7413): those of our own stack as each end sees them, and captures by
//! hand of what other stacks do.

use std::fmt::Write as _;
use std::net::Shutdown;

use crate::captures::{Talk, explained, faults};
use glasstcp::Config;
use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::sim::script::packet;
use glasstcp::stack::{ListenOptions, ListenerHandle, Stack, TcpHandle};
use glasstcp::tcp::fast_open::{Key, Keys, ListenFastOpen};
use glasstcp::time::Instant;
use glasstcp::trace::describe;
use glasstcp::trace::explain::{Explanation, Fault, Verdict, explain};
use glasstcp::trace::segment::Side;
use glasstcp::wire::fast_open::Cookie;
use glasstcp::wire::option::TcpOptions;
use glasstcp::wire::tcp::{self, CHECKSUM_AT, Flags, TcpHeader};
use proptest::prelude::*;

const ACK: Flags = Flags::ACK;
const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags(Flags::ACK.0 | Flags::SYN.0);
const FIN: Flags = Flags(Flags::ACK.0 | Flags::FIN.0);
const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A line for each segment, with what is found behind it.
fn golden(explanation: &Explanation) -> Vec<String> {
    let lines = explanation.lines.iter().map(|line| {
        let (verdict, rule) = (line.verdict, line.rule.unwrap_or("-"));
        let mut out = match verdict {
            Verdict::Sent => format!("{} > {} sent {rule}:", line.before, line.after),
            Verdict::Accepted => format!("{} > {} accepted {rule}:", line.before, line.after),
            Verdict::Dropped(reason) => format!("{} > {} dropped {rule} {reason}:", line.before, line.after),
        };
        line.acts.iter().for_each(|act| write!(out, " {act}").unwrap());
        for finding in &line.findings {
            write!(out, " ({}: {})", finding.fault.map_or("note", Fault::word), finding.text).unwrap();
        }
        out
    });
    lines.collect()
}

#[track_caller]
fn says(talk: &Talk, side: Side, expected: &[&str]) {
    assert_eq!(golden(&explained(talk, side)), expected, "{side}");
}

// Our own stack.

/// Two of our stacks, and a capture of what they say to each other, taken at the server.
struct Pair {
    talk: Talk,
    stacks: [Stack; 2],
    listener: ListenerHandle,
    client: Option<TcpHandle>,
    server: Option<TcpHandle>,
}

impl Pair {
    /// The client knows a cookie, or has to ask for one.
    fn new(knows: bool) -> Pair {
        let talk = Talk::new();
        let now = Instant::from_secs(1_000);
        let stack = |address: std::net::SocketAddr, seed| {
            let config = Config::new(&[format!("{}/24", address.ip()).parse().unwrap()]);
            Stack::new(config, KeyedRng::from_seed(seed), now).unwrap()
        };
        let mut stacks = [stack(talk.client, 1), stack(talk.server, 2)];
        let options = ListenOptions { fast_open: Some(ListenFastOpen::new(4)), ..ListenOptions::default() };
        let listener = stacks[SERVER].tcp_listen_with(talk.server, &options).unwrap();
        let mut pair = Pair { talk, stacks, listener, client: None, server: None };
        if knows {
            pair.connect(b"");
            pair.accept();
            let (client, server) = (pair.client.unwrap(), pair.server.unwrap());
            let now = pair.now();
            pair.stacks[CLIENT].tcp_abort(now, client);
            pair.exchange();
            pair.stacks[SERVER].tcp_close(now, server);
            pair.stacks[CLIENT].tcp_close(now, client);
            // What is captured begins now.
            pair.talk = Talk { millis: 10_000, ..Talk::new() };
        }
        pair
    }

    fn now(&self) -> Instant {
        Instant::from_secs(1_000) + std::time::Duration::from_millis(self.talk.millis)
    }

    /// All that one of them has to send, captured or not; the other one gets it unless it is lost.
    fn leaves(&mut self, who: usize, arrives: bool) -> usize {
        let now = self.now();
        let mut packets = Vec::new();
        self.stacks[who].transmit(now, usize::MAX, |transmit| {
            packets.push(transmit.to_vec());
            Ok(())
        });
        for packet in &packets {
            if who == SERVER || arrives {
                self.talk.raw(packet);
            }
            if arrives {
                self.stacks[1 - who].handle_packet(now, packet, &RxMeta::plain(packet.len()));
            }
        }
        packets.len()
    }

    fn exchange(&mut self) {
        while self.leaves(CLIENT, true) + self.leaves(SERVER, true) > 0 {
            self.talk.after(1);
        }
    }

    fn opens(&mut self, text: &[u8]) {
        let (now, server) = (self.now(), self.talk.server);
        let (local, options) = (Some(self.talk.client), self.stacks[CLIENT].config().tcp.socket);
        let (client, queued) = self.stacks[CLIENT].tcp_connect_fast(now, local, server, options, text).unwrap();
        assert_eq!(queued, text.len());
        self.client = Some(client);
    }

    fn connect(&mut self, text: &[u8]) {
        self.opens(text);
        self.exchange();
    }

    fn accept(&mut self) {
        let (server, _) = self.stacks[SERVER].tcp_accept(self.listener).unwrap();
        self.server = Some(server);
    }

    /// Both finish, the server first.
    fn closes(&mut self) {
        for (who, handle) in [(SERVER, self.server.unwrap()), (CLIENT, self.client.unwrap())] {
            let now = self.now();
            self.stacks[who].tcp_shutdown(now, handle, Shutdown::Write).unwrap();
            self.exchange();
        }
    }

    /// Whoever looks finds no fault, and the end of the connection.
    #[track_caller]
    fn without_fault(&self) {
        for side in Side::BOTH {
            let lines = golden(&explained(&self.talk, side));
            assert_eq!(faults(&self.talk, side), [], "{side}: {lines:#?}");
        }
    }

    /// The first lines of what an end makes of it.
    #[track_caller]
    fn begins(&self, side: Side, expected: &[&str]) {
        let lines = golden(&explained(&self.talk, side));
        assert_eq!(lines[..expected.len().min(lines.len())], *expected, "{side}: {lines:#?}");
    }
}

/// RFC7413/4.2.1, 7413-4.1.2, 7413-4.1.3
#[test]
fn a_cookie_is_asked_for_and_learned() {
    let mut pair = Pair::new(false);
    pair.connect(b"GET /");
    pair.accept();
    pair.closes();
    pair.without_fault();
    pair.begins(
        Side::Client,
        &[
            "CLOSED > SYN-SENT sent RFC7413/4.2.1: SYN-asks",
            "SYN-SENT > ESTABLISHED accepted 7413-4.1.3: acked=1 opened owes-ACK cookie-learned",
            "ESTABLISHED > ESTABLISHED sent -: new-data",
        ],
    );
    pair.begins(
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted RFC7413/4.2.1: SYN-taken cookie-asked",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.1.2: SYN-ACK-tells",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-4: established acked=1 delivered=5 owes-ACK",
        ],
    );
}

/// 7413-4.2.2-1, 7413-4.2.2-2: text with the SYN, and an answer before the handshake is over.
#[test]
fn a_cookie_opens_and_the_server_answers_early() {
    let mut pair = Pair::new(true);
    pair.opens(b"GET /");
    pair.leaves(CLIENT, true);
    pair.accept();
    let (now, server) = (pair.now(), pair.server.unwrap());
    assert_eq!(pair.stacks[SERVER].tcp_send(now, server, b"200 OK"), Ok(6));
    pair.leaves(SERVER, true);
    pair.talk.after(9);
    pair.exchange();
    pair.closes();
    pair.without_fault();
    pair.begins(
        Side::Client,
        &[
            "CLOSED > SYN-SENT sent 7413-4.2.2-1: SYN-fast SYN-text=5",
            "SYN-SENT > ESTABLISHED accepted 7413-4.2.2-1: acked=6 opened owes-ACK",
            "ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-4: delivered=6",
            "ESTABLISHED > ESTABLISHED sent -: ACK",
        ],
    );
    pair.begins(
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=5",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.2.2-2: SYN-ACK-fast",
            "SYN-RECEIVED > SYN-RECEIVED sent -: new-data",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-2: acked=7",
        ],
    );
}

/// 7413-4.2.2-2: a server with other keys acknowledges the SYN only, and the text comes again.
#[test]
fn a_cookie_that_is_refused() {
    let mut pair = Pair::new(true);
    let keys = Some(Keys::Fixed(Key([9; 16]), None));
    let options = ListenFastOpen { keys, ..ListenFastOpen::new(4) };
    pair.stacks[SERVER].listener_set_fast_open(pair.listener, Some(options));
    pair.connect(b"GET /");
    pair.accept();
    pair.closes();
    pair.without_fault();
    pair.begins(
        Side::Client,
        &[
            "CLOSED > SYN-SENT sent 7413-4.2.2-1: SYN-fast SYN-text=5",
            "SYN-SENT > ESTABLISHED accepted 7413-4.2.2-1: acked=1 opened owes-ACK cookie-learned SYN-text-again=5",
            "ESTABLISHED > ESTABLISHED sent -: again",
        ],
    );
    pair.begins(
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: SYN-taken SYN-text-left=5",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.1.2: SYN-ACK-tells",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-4: established acked=1 delivered=5 owes-ACK",
        ],
    );
}

/// 7413-4.2.2-1: the SYN is lost and leaves again alone; or the SYN,ACK is, and leaves again for the SYN.
#[test]
fn what_is_lost_comes_again_as_it_should() {
    for syn_arrives in [false, true] {
        let mut pair = Pair::new(true);
        pair.opens(b"GET /");
        pair.leaves(CLIENT, syn_arrives);
        pair.leaves(SERVER, false);
        pair.talk.after(1_000);
        for who in [CLIENT, SERVER] {
            let now = pair.now();
            pair.stacks[who].handle_deadline(now);
        }
        pair.exchange();
        pair.accept();
        pair.closes();
        pair.without_fault();
        let first = if syn_arrives {
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=5"
        } else {
            "LISTEN > SYN-RECEIVED accepted 9293-3.10.7.2-3: SYN-taken"
        };
        pair.begins(Side::Server, &[first]);
    }
}

// By hand.

fn cookie(len: usize) -> Option<Cookie> {
    Cookie::new(&[0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x01][..len])
}

/// A SYN with this option and so much text, and a SYN,ACK 20 ms later that acknowledges so much.
fn opening(option: Option<Cookie>, text: usize, taken: u32, change: impl FnOnce(&mut TcpHeader)) -> Talk {
    let mut talk = Talk::new();
    talk.with(CLIENT, SYN, (0, 0), text, |header| header.options.fast_open = option).after(20);
    talk.with(SERVER, SYN_ACK, (0, 1 + taken), 0, change);
    talk
}

/// 9293-3.10.7.3-2: any part of the text.
#[test]
fn a_part_of_the_text_is_taken() {
    let mut talk = opening(cookie(8), 100, 40, |_| {});
    talk.says(CLIENT, ACK, (41, 1), 60).after(20).says(SERVER, ACK, (1, 101), 0);
    says(
        &talk,
        Side::Client,
        &[
            "CLOSED > SYN-SENT sent 7413-4.2.2-1: SYN-fast SYN-text=100",
            "SYN-SENT > ESTABLISHED accepted 7413-4.2.2-1: acked=41 opened owes-ACK SYN-text-again=60",
            "ESTABLISHED > ESTABLISHED sent -: again",
            "ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-2: acked=60",
        ],
    );
    says(
        &talk,
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=40 SYN-text-left=60",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.2.2-2: SYN-ACK-fast",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-4: acked=1 delivered=60 owes-ACK",
            "ESTABLISHED > ESTABLISHED sent -: ACK",
        ],
    );
}

/// All of the text is taken, though the SYN,ACK offers room for less than that.
#[test]
fn more_is_taken_than_the_window_has_room_for() {
    let talk = opening(cookie(8), 100, 100, |header| header.window = 20);
    assert_eq!(faults(&talk, Side::Server), []);
    assert_eq!(
        golden(&explained(&talk, Side::Server))[0],
        "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=100"
    );
}

/// A FIN with the text of a SYN: some servers take it too.
#[test]
fn a_fin_on_the_syn() {
    let mut talk = Talk::new();
    talk.with(CLIENT, SYN | Flags::FIN, (0, 0), 10, |header| header.options.fast_open = cookie(8));
    talk.says(SERVER, SYN_ACK, (0, 12), 0).after(20).says(CLIENT, ACK, (12, 1), 0);
    talk.says(SERVER, FIN, (1, 12), 0).after(20).says(CLIENT, ACK, (12, 2), 0);
    says(
        &talk,
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=10 FIN",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.2.2-2: SYN-ACK-fast",
            "SYN-RECEIVED > CLOSE-WAIT accepted 9293-3.10.7.4-2: acked=1 FIN owes-ACK",
            "CLOSE-WAIT > LAST-ACK sent -: FIN",
            "LAST-ACK > CLOSED accepted 9293-3.10.7.4-2: acked=1",
        ],
    );
}

/// The option as it was before it had a number of its own, and options of others beside it (RFC 6994).
#[test]
fn the_experimental_option_and_those_of_others() {
    let experimental = |cookie: Cookie| Some(cookie.in_experiment(true));
    let talk = opening(experimental(Cookie::REQUEST), 0, 0, |header| {
        header.options.fast_open = experimental(cookie(8).unwrap());
    });
    let lines = golden(&explained(&talk, Side::Server));
    assert_eq!(lines[0], "LISTEN > SYN-RECEIVED accepted RFC7413/4.2.1: SYN-taken cookie-asked");
    assert_eq!(lines[1], "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.1.2: SYN-ACK-tells");
    let shown = |talk: &Talk, place: usize| {
        let connection = &talk.trace().connections[0];
        describe::options(connection, &connection.segs[place])
    };
    assert_eq!(shown(&talk, 0), "mss 1460, nop, nop, sackOK, tfo-exp request");
    assert_eq!(shown(&talk, 1), "mss 1460, nop, nop, sackOK, tfo-exp 0a0b0c0d0e0f1001");
    let talk = opening(experimental(cookie(8).unwrap()), 30, 30, |_| {});
    says(
        &talk,
        Side::Client,
        &[
            "CLOSED > SYN-SENT sent 7413-4.2.2-1: SYN-fast SYN-text=30",
            "SYN-SENT > ESTABLISHED accepted 7413-4.2.2-1: acked=31 opened owes-ACK",
        ],
    );
    // Another experiment: nobody's cookie, and no fault, wherever it stands.
    let mut talk = Talk::new();
    let foreign = |segment: &mut [u8]| segment[26..28].copy_from_slice(&[0xe2, 0xd4]);
    for (who, flags, numbers) in [(CLIENT, SYN, (0, 0)), (SERVER, SYN_ACK, (0, 1)), (CLIENT, ACK, (1, 1))] {
        patched(&mut talk, who, flags, numbers, experimental(cookie(4).unwrap()), foreign);
    }
    assert_eq!(shown(&talk, 0), "mss 1460, option 254");
    for side in Side::BOTH {
        assert_eq!(faults(&talk, side), [], "{side}");
    }
    says(
        &talk,
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 9293-3.10.7.2-3: SYN-taken",
            "SYN-RECEIVED > SYN-RECEIVED sent 9293-3.10.7.2-3: SYN-ACK",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-2: established acked=1",
        ],
    );
}

/// A segment with an MSS of 1,460, this option and 1 ms to the next one, changed by hand: its option stands at 24 from the
/// beginning of the packet's TCP header.
fn patched(
    talk: &mut Talk,
    who: usize,
    flags: Flags,
    (seq, ack): (u32, u32),
    fast_open: Option<Cookie>,
    change: impl Fn(&mut [u8]),
) {
    let ends = [talk.client, talk.server];
    let (own, other) = (ends[who], ends[1 - who]);
    let mss = flags.contains(SYN).then_some(1_460);
    let header = TcpHeader {
        source_port: own.port(),
        destination_port: other.port(),
        seq: talk.iss[who] + seq,
        ack: if flags.contains(ACK) { talk.iss[1 - who] + ack } else { 0 },
        flags,
        window: 60_000,
        urgent: 0,
        options: TcpOptions { mss, fast_open, ..TcpOptions::default() },
    };
    let mut packet = packet(own.ip(), other.ip(), &header, &[]);
    let segment = &mut packet[20..];
    // Where there is no MSS, the option stands four octets earlier.
    let mut moved = [&[0; 4][..usize::from(mss.is_none()) * 4], &*segment].concat();
    change(&mut moved[..]);
    let from = moved.len() - segment.len();
    segment[20..].copy_from_slice(&moved[from + 20..]);
    segment[CHECKSUM_AT..CHECKSUM_AT + 2].fill(0);
    tcp::fill_checksum(own.ip(), other.ip(), segment, &[]);
    talk.raw(&packet).after(1);
}

/// What is wrong by RFC7413/4.2.2, 7413-4.1.1, 7413-4.2.2-1 and 9293-3.10.2-3 is found in a capture.
#[test]
fn departures() {
    let talk = |option, told: Option<Cookie>| opening(option, 0, 0, |header| header.options.fast_open = told);
    assert_eq!(faults(&talk(None, cookie(8)), Side::Server), [Fault::CookieUnasked]);
    for asked in [Some(Cookie::REQUEST), cookie(4)] {
        assert_eq!(faults(&talk(asked, cookie(8)), Side::Server), []);
    }
    // An odd length; the octet that is left over is padding.
    let mut odd = Talk::new();
    patched(&mut odd, CLIENT, SYN, (0, 0), cookie(8), |segment| segment[25] = 9);
    assert_eq!(faults(&odd, Side::Client), [Fault::CookieMalformed]);
    let mut late = talk(cookie(8), None);
    late.with(CLIENT, ACK, (1, 1), 0, |header| header.options.fast_open = cookie(8));
    assert_eq!(faults(&late, Side::Client), [Fault::LateCookie]);
    let again = |option: Option<Cookie>, text: usize| {
        let mut talk = Talk::new();
        talk.with(CLIENT, SYN, (0, 0), 50, |header| header.options.fast_open = cookie(8)).after(1_000);
        talk.with(CLIENT, SYN, (0, 0), text, |header| header.options.fast_open = option).after(20);
        talk.says(SERVER, SYN_ACK, (0, 51), 0).says(CLIENT, ACK, (51, 1), 0);
        assert_eq!(faults(&talk, Side::Server), [], "it is the client's affair");
        faults(&talk, Side::Client)
    };
    assert_eq!(again(None, 0), []);
    assert_eq!((again(cookie(8), 0), again(None, 50)), (vec![Fault::FastOpenAgain], vec![Fault::FastOpenAgain]));
    // It may begin with what it should not: its text counts from where it first left.
    let mut talk = Talk::new();
    talk.says(CLIENT, SYN, (0, 0), 0).after(1_000).says(CLIENT, SYN, (0, 0), 50).after(20);
    talk.says(SERVER, SYN_ACK, (0, 51), 0).says(CLIENT, ACK, (51, 1), 0);
    let lines = golden(&explained(&talk, Side::Client));
    assert_eq!(faults(&talk, Side::Client), [Fault::FastOpenAgain], "{lines:#?}");
    assert!(lines[2].starts_with("SYN-SENT > ESTABLISHED accepted"), "{lines:#?}");
    // The server speaks before its SYN is acknowledged.
    let early = |option: Option<Cookie>| {
        let mut talk = Talk::new();
        talk.with(CLIENT, SYN, (0, 0), 0, |header| header.options.fast_open = option);
        talk.says(SERVER, SYN_ACK, (0, 1), 0).says(SERVER, ACK, (1, 1), 100).after(20);
        talk.says(CLIENT, ACK, (1, 101), 0);
        let explanation = explained(&talk, Side::Server);
        assert_eq!(explanation.lines[3].after.name(), "ESTABLISHED", "{:#?}", golden(&explanation));
        faults(&talk, Side::Server)
    };
    assert_eq!((early(cookie(8)), early(None)), (vec![], vec![Fault::EarlyText]));
    // No more than the SYN has room for.
    let beyond = |text: usize| {
        let mut talk = Talk::new();
        talk.with(CLIENT, SYN, (0, 0), 10, |header| {
            header.options.fast_open = cookie(8);
            header.window = 1_000;
        });
        talk.says(SERVER, SYN_ACK, (0, 11), 0).says(SERVER, ACK, (1, 11), text);
        faults(&talk, Side::Server)
    };
    assert_eq!((beyond(1_000), beyond(1_001)), (vec![], vec![Fault::BeyondWindow]));
}

/// RFC 7413 section 7.3: a server may ask for no cookies, and a client that knows so sends none.
#[test]
fn without_cookies() {
    for option in [None, Some(Cookie::REQUEST)] {
        let talk = opening(option, 20, 20, |_| {});
        for (side, place, words) in [(Side::Client, 0, "without a cookie"), (Side::Server, 1, "immune to forged")] {
            let explanation = explained(&talk, side);
            assert_eq!(explanation.faults(), 0);
            let findings = &explanation.lines[place].findings;
            assert!(findings.len() == 1 && findings[0].text.contains(words), "{findings:?}");
        }
        assert_eq!(explained(&opening(cookie(8), 20, 20, |_| {}), Side::Server).lines[1].findings, []);
    }
}

/// Text in the SYN,ACK, which our stack never sends but RFC 7413 section 4.2.2 allows.
#[test]
fn text_in_the_syn_ack() {
    let mut talk = Talk::new();
    talk.with(CLIENT, SYN, (0, 0), 10, |header| header.options.fast_open = cookie(8));
    talk.says(SERVER, SYN_ACK, (0, 11), 50).after(20).says(CLIENT, ACK, (11, 51), 0);
    says(
        &talk,
        Side::Server,
        &[
            "LISTEN > SYN-RECEIVED accepted 7413-4.2.2-2: fast-opened delivered=10",
            "SYN-RECEIVED > SYN-RECEIVED sent 7413-4.2.2-2: SYN-ACK-fast",
            "SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-2: acked=51",
        ],
    );
    assert_eq!(
        golden(&explained(&talk, Side::Client))[1],
        "SYN-SENT > ESTABLISHED accepted 7413-4.2.2-1: acked=11 delivered=50 opened owes-ACK"
    );
}

/// A SYN of another ISS begins a new connection where its SYN,ACK answers it, text and all.
#[test]
fn a_four_tuple_opens_again_with_text() {
    for (taken, connections) in [(0, 2), (1, 2), (30, 2), (31, 1)] {
        let mut talk = Talk::new();
        talk.handshake();
        talk.with(CLIENT, SYN, (90_000, 0), 30, |header| header.options.fast_open = cookie(8));
        talk.with(SERVER, SYN_ACK, (70_000, 0), 0, |header| header.ack = 1_000 + 90_000 + 1 + taken);
        assert_eq!(talk.trace().connections.len(), connections, "{taken}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever SYNs carry: there is a line for each segment, and no panic.
    #[test]
    fn what_syns_carry_is_explained_whatever_it_is(
        says in prop::collection::vec(
            (0..2_usize, prop::sample::select(vec![SYN, SYN_ACK, ACK, FIN, SYN | Flags::FIN, Flags::RST]), 0..4_u32, 0..4_u32,
             0..3_usize, 0..4_usize, any::<bool>()),
            1..20,
        ),
        iss in prop::sample::select(vec![1_000, (1 << 31) - 3, u32::MAX - 4]),
    ) {
        let mut talk = Talk::new();
        talk.iss = [iss, iss.wrapping_add(77)];
        for (who, flags, seq, ack, text, option, experimental) in says {
            talk.after(7).with(who, flags, (seq / 2 * 10, ack * 10 + 1), [0, 10, 700][text], |header| {
                header.options.fast_open = [None, Some(Cookie::REQUEST), cookie(8), cookie(4)][option];
                header.options.fast_open = header.options.fast_open.map(|cookie| cookie.in_experiment(experimental));
            });
        }
        let trace = talk.trace();
        for connection in &trace.connections {
            for side in Side::BOTH {
                prop_assert_eq!(explain(connection, side).lines.len(), connection.segs.len());
            }
        }
    }
}
