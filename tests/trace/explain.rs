//! What a correct TCP makes of a capture, and where an end departs from it: one capture by hand for each rule, and captures of
//! our own stack and of the simulator, about which there is nothing to say.

use std::fmt::Write as _;

use crate::captures::{Talk, explained, faults, timestamp};
use glasstcp::counters::DropReason;
use glasstcp::tcp::state::State;
use glasstcp::trace::explain::{Explanation, Fault, Verdict, explain, taken_at};
use glasstcp::trace::segment::Side;
use glasstcp::wire::option::SackBlocks;
use glasstcp::wire::tcp::{Flags, TcpHeader};
use proptest::prelude::*;

const ACK: Flags = Flags::ACK;
const SYN_ACK: Flags = Flags(Flags::ACK.0 | Flags::SYN.0);
const FIN: Flags = Flags(Flags::ACK.0 | Flags::FIN.0);
const CLIENT: usize = 0;
const SERVER: usize = 1;

/// The client's faults of a talk that begins with a handshake, taken at the client.
fn of_client(change: impl FnOnce(&mut Talk)) -> Vec<Fault> {
    let mut talk = Talk::new();
    talk.handshake();
    change(&mut talk);
    faults(&talk, Side::Client)
}

/// A line for each segment.
fn golden(explanation: &Explanation) -> String {
    let mut out = String::new();
    for line in &explanation.lines {
        let verdict = match line.verdict {
            Verdict::Sent => "sent".to_owned(),
            Verdict::Accepted => format!("accepted {}", line.rule.unwrap_or("-")),
            Verdict::Dropped(reason) => format!("dropped {} {reason}", line.rule.unwrap_or("-")),
        };
        let _ = writeln!(out, "{} > {} {verdict}: {}", line.before, line.after, line.acts.join(" "));
        for finding in &line.findings {
            let _ = writeln!(out, "  {} {}", finding.fault.map_or("note", Fault::word), finding.text);
        }
    }
    out
}

/// A handshake, a loss, and a close.
fn lossy() -> Talk {
    let mut talk = Talk::new();
    talk.handshake().says(CLIENT, ACK, (1, 1), 1_460).says(CLIENT, ACK, (1_461, 1), 1_460);
    talk.says(CLIENT, ACK, (2_921, 1), 1_460).after(20);
    // The second one is lost.
    talk.says(SERVER, ACK, (1, 1_461), 0).with(SERVER, ACK, (1, 1_461), 0, |header| {
        let mut blocks = SackBlocks::EMPTY;
        blocks.push(1_000 + 2_921, 1_000 + 4_381);
        header.options.sack = blocks;
    });
    talk.after(6).says(CLIENT, ACK, (1_461, 1), 1_460).after(20).says(SERVER, ACK, (1, 4_381), 0);
    talk.says(CLIENT, FIN, (4_381, 1), 0).after(20).says(SERVER, ACK, (1, 4_382), 0).says(SERVER, FIN, (1, 4_382), 0);
    talk.says(CLIENT, ACK, (4_382, 2), 0);
    talk
}

#[test]
fn a_handshake_a_loss_and_a_close_as_the_client_sees_them() {
    assert_eq!(
        golden(&explained(&lossy(), Side::Client)),
        "CLOSED > SYN-SENT sent: SYN
SYN-SENT > ESTABLISHED accepted -: acked=1 opened owes-ACK
ESTABLISHED > ESTABLISHED sent: ACK
ESTABLISHED > ESTABLISHED sent: new-data
ESTABLISHED > ESTABLISHED sent: new-data
ESTABLISHED > ESTABLISHED sent: new-data
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-2: acked=1460
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-2: SACKed=1460
ESTABLISHED > ESTABLISHED sent: again
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-2: acked=2920
ESTABLISHED > FIN-WAIT-1 sent: FIN
FIN-WAIT-1 > FIN-WAIT-2 accepted 9293-3.10.7.4-2: acked=1
FIN-WAIT-2 > TIME-WAIT accepted 9293-3.10.7.4-4: FIN owes-ACK
TIME-WAIT > TIME-WAIT sent: 
"
    );
}

#[test]
fn and_as_the_server_sees_them() {
    let text = golden(&explained(&lossy(), Side::Server));
    assert_eq!(
        text,
        "LISTEN > SYN-RECEIVED accepted 9293-3.10.7.2-3: SYN-taken
SYN-RECEIVED > SYN-RECEIVED sent: SYN-ACK
SYN-RECEIVED > ESTABLISHED accepted 9293-3.10.7.4-2: established acked=1
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-4: delivered=1460 owes-ACK
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-4: delivered=1460
ESTABLISHED > ESTABLISHED accepted 9293-3.10.7.4-4: delivered=1460
ESTABLISHED > ESTABLISHED sent: ACK
ESTABLISHED > ESTABLISHED sent: ACK
ESTABLISHED > ESTABLISHED dropped 9293-3.10.7.4-6 outside the receive window: nothing
ESTABLISHED > ESTABLISHED sent: ACK
ESTABLISHED > CLOSE-WAIT accepted 9293-3.10.7.4-4: FIN owes-ACK
CLOSE-WAIT > CLOSE-WAIT sent: ACK
CLOSE-WAIT > LAST-ACK sent: FIN
LAST-ACK > CLOSED accepted 9293-3.10.7.4-2: acked=1
"
    );
}

#[test]
fn an_honest_end_is_without_fault() {
    for side in Side::BOTH {
        assert_eq!(faults(&lossy(), side), [], "{side}");
    }
    let mut talk = Talk::new();
    talk.handshake().says(SERVER, ACK, (1, 1), 10).after(400).says(CLIENT, ACK, (1, 11), 5);
    assert_eq!(faults(&talk, Side::Client), []);
    // Refused.
    let mut talk = Talk::new();
    talk.says(CLIENT, Flags::SYN, (0, 0), 0).says(SERVER, Flags::RST | ACK, (0, 1), 0);
    for side in Side::BOTH {
        let explanation = explained(&talk, side);
        assert_eq!((explanation.faults(), explanation.lines[1].after), (0, State::Closed), "{side}");
    }
    // Both open.
    let mut talk = Talk::new();
    talk.says(CLIENT, Flags::SYN, (0, 0), 0).says(SERVER, Flags::SYN, (0, 0), 0).says(CLIENT, SYN_ACK, (0, 1), 0);
    talk.says(SERVER, SYN_ACK, (0, 1), 0);
    assert_eq!(faults(&talk, Side::Client), []);
}

/// RFC9293/3.8.6
#[test]
fn text_beyond_the_window() {
    let window = |octets: u16, at: u32, text: usize| {
        of_client(|talk| {
            talk.with(SERVER, ACK, (1, 1), 0, |header| header.window = octets);
            talk.says(CLIENT, ACK, (at, 1), text);
        })
    };
    // The SYN,ACK has offered 60,000.
    assert_eq!(window(60_000, 58_541, 1_460), []);
    assert_eq!(window(60_000, 58_542, 1_460), [Fault::BeyondWindow]);
    assert_eq!(window(61_000, 58_542, 1_460), []);
    // An octet may probe a closed window.
    let probe = |octets: usize| {
        of_client(|talk| {
            talk.says(CLIENT, ACK, (1, 1), 60_000).after(5);
            talk.with(SERVER, ACK, (1, 60_001), 0, |header| header.window = 0).after(300);
            talk.says(CLIENT, ACK, (60_001, 1), octets);
        })
    };
    assert_eq!(probe(1), []);
    assert_eq!(probe(2), [Fault::BeyondWindow]);
}

/// What is wrong by 9293-3.10.7.4-37 and 9293-MUST-40 and 9293-SHLD-14 is found in a capture.
#[test]
fn acknowledgments() {
    let text = |talk: &mut Talk| {
        talk.says(SERVER, ACK, (1, 1), 100);
    };
    assert_eq!(
        of_client(|talk| {
            talk.says(CLIENT, ACK, (1, 2), 0);
        }),
        [Fault::AcksUnsent]
    );
    let back = |talk: &mut Talk| {
        text(talk);
        talk.says(CLIENT, ACK, (1, 101), 0).says(CLIENT, ACK, (1, 51), 0);
    };
    assert_eq!(of_client(back), [Fault::AckGoesBack]);
    let late = |millis: u64| {
        of_client(|talk| {
            text(talk);
            talk.after(millis).says(CLIENT, ACK, (1, 101), 0);
        })
    };
    assert_eq!((late(540), late(600)), (vec![], vec![Fault::AckMissing]));
    assert_eq!(
        of_client(|talk| {
            talk.says(CLIENT, Flags::PSH, (1, 0), 10);
        }),
        [Fault::NoAckFlag]
    );
    let shrunk = of_client(|talk| {
        talk.with(CLIENT, ACK, (1, 1), 0, |header| header.window = 59_999);
    });
    assert_eq!(shrunk, [Fault::WindowShrunk]);
    let shown = of_client(|talk| {
        text(talk);
        talk.with(CLIENT, ACK, (1, 101), 0, |header| header.window = 59_900);
    });
    assert_eq!(shown, []);
}

/// What is wrong by 6298-5.0 and 6298-2.1 is found in a capture.
#[test]
fn too_early_again() {
    let after = |millis: u64| {
        of_client(|talk| {
            talk.says(CLIENT, ACK, (1, 1), 100).after(millis).says(CLIENT, ACK, (1, 1), 100);
        })
    };
    // The round trip takes 20 ms.
    assert_eq!((after(15), after(45)), (vec![Fault::AgainEarly], vec![]));
    // With a duplicate ACK, that is no surprise.
    let duplicate = of_client(|talk| {
        talk.says(CLIENT, ACK, (1, 1), 100).says(CLIENT, ACK, (101, 1), 100).after(20);
        talk.says(SERVER, ACK, (1, 1), 0).says(CLIENT, ACK, (1, 1), 100);
    });
    assert_eq!(duplicate, []);
    let syn = |millis: u64| {
        let mut talk = Talk::new();
        talk.says(CLIENT, Flags::SYN, (0, 0), 0).after(millis).says(CLIENT, Flags::SYN, (0, 0), 0);
        faults(&talk, Side::Client)
    };
    assert_eq!((syn(800), syn(1_000)), (vec![Fault::SynAgainEarly], vec![]));
}

/// What is wrong by 9293-3.5.2-1 and 9293-3.10.7.4-19 and 9293-3.10.7.4-27 and 9293-3.10.7.1-2 is found in a capture.
#[test]
fn resets_where_none_is_due() {
    let reset = |change: fn(&mut Talk)| {
        of_client(|talk| {
            change(talk);
            talk.says(CLIENT, Flags::RST, (1, 0), 0);
        })
    };
    // An abort is nobody's business.
    assert_eq!(reset(|_| {}), []);
    assert_eq!(
        reset(|talk| {
            talk.says(SERVER, Flags::SYN, (0, 0), 0);
        }),
        [Fault::ResetOnSyn]
    );
    assert_eq!(
        reset(|talk| {
            talk.says(SERVER, ACK, (1, 500), 0);
        }),
        [Fault::ResetOnAck]
    );
    assert_eq!(
        reset(|talk| {
            talk.says(SERVER, Flags::RST, (50, 0), 0);
        }),
        [Fault::ResetOnReset]
    );
    let wrong = |ack: u32| {
        let mut talk = Talk::new();
        talk.says(CLIENT, Flags::SYN, (0, 0), 0).says(SERVER, Flags::RST | ACK, (0, ack), 0);
        faults(&talk, Side::Server)
    };
    assert_eq!((wrong(1), wrong(0)), (vec![], vec![Fault::WrongReset]));
    let after = of_client(|talk| {
        talk.says(CLIENT, Flags::RST, (1, 0), 0).says(CLIENT, ACK, (1, 1), 10);
    });
    assert_eq!(after, [Fault::AfterReset]);
}

/// What becomes of what is not acceptable, and why.
#[test]
fn drops_by_rule() {
    let dropped = |change: fn(&mut Talk)| {
        let mut talk = Talk::new();
        talk.handshake();
        change(&mut talk);
        let explanation = explained(&talk, Side::Client);
        let line = explanation.lines.last().unwrap().clone();
        (line.verdict, line.rule.unwrap_or(""))
    };
    let out = |reason| Verdict::Dropped(reason);
    assert_eq!(
        dropped(|talk| {
            talk.says(SERVER, ACK, (100_000, 1), 10);
        }),
        (out(DropReason::TcpOutOfWindow), "9293-3.10.7.4-6")
    );
    assert_eq!(
        dropped(|talk| {
            talk.says(SERVER, Flags::RST, (9, 0), 0);
        }),
        (out(DropReason::TcpResetRefused), "9293-3.10.7.4-12")
    );
    assert_eq!(
        dropped(|talk| {
            talk.says(SERVER, Flags::SYN, (5, 0), 0);
        }),
        (out(DropReason::TcpSynRefused), "9293-3.10.7.4-19")
    );
    assert_eq!(
        dropped(|talk| {
            talk.says(SERVER, ACK, (1, 2), 10);
        }),
        (out(DropReason::TcpAckRange), "9293-3.10.7.4-27")
    );
    assert_eq!(
        dropped(|talk| {
            talk.says(SERVER, Flags::PSH, (1, 0), 10);
        })
        .0,
        out(DropReason::TcpNoAck)
    );
    let damaged = dropped(|talk| {
        talk.says(SERVER, ACK, (1, 1), 10);
        let last = talk.capture.len() - 7;
        talk.capture[last] ^= 0xff;
    });
    assert_eq!(damaged, (out(DropReason::TcpChecksum), "9293-MUST-3"));
}

/// What is wrong by 7323-2.2-1 and 7323-3.2-1 and 2018-2 and 2018-3 and 2018-4-1 is found in a capture, and what is wrong
/// by 9293-MUST-65 and 9293-3.10.2-6 and 9293-MUST-2.
#[test]
fn options_and_the_rest() {
    let answers = |change: fn(&mut TcpHeader)| {
        let mut talk = Talk::new();
        talk.with(CLIENT, Flags::SYN, (0, 0), 0, |header| header.options.sack_permitted = false).after(1);
        talk.with(SERVER, SYN_ACK, (0, 1), 0, |header| {
            header.options.sack_permitted = false;
            change(header);
        });
        faults(&talk, Side::Server)
    };
    assert_eq!(answers(|_| {}), []);
    assert_eq!(answers(|header| header.options.window_scale = Some(3)), [Fault::ScaleUnasked]);
    assert_eq!(answers(|header| header.options.timestamp = timestamp(1, 0)), [Fault::TimestampsUnasked]);
    assert_eq!(answers(|header| header.options.sack_permitted = true), [Fault::SackUnasked]);
    let says = |change: fn(&mut TcpHeader)| {
        of_client(|talk| {
            talk.with(CLIENT, ACK, (1, 1), 0, change);
        })
    };
    assert_eq!(says(|header| header.options.mss = Some(1_460)), [Fault::LateMss]);
    assert_eq!(says(|header| header.options.sack_permitted = true), [Fault::LateSackPermitted]);
    assert_eq!(says(|header| header.options.timestamp = timestamp(1, 0)), [Fault::TimestampUnagreed]);
    let sack = |header: &mut TcpHeader| {
        let mut blocks = SackBlocks::EMPTY;
        blocks.push(50_000 + 100, 50_000 + 200);
        header.options.sack = blocks;
    };
    assert_eq!(says(sack), [Fault::SackInvented]);
    let held = of_client(|talk| {
        talk.says(SERVER, ACK, (100, 1), 100).with(CLIENT, ACK, (1, 1), 0, sack);
    });
    assert_eq!(held, []);
    let stamped = |own: bool| {
        let mut talk = Talk::new();
        talk.with(CLIENT, Flags::SYN, (0, 0), 0, |header| header.options.timestamp = timestamp(5, 0)).after(1);
        talk.with(SERVER, SYN_ACK, (0, 1), 0, |header| header.options.timestamp = timestamp(9, 5));
        talk.with(CLIENT, ACK, (1, 1), 0, |header| header.options.timestamp = timestamp(6, 9).filter(|_| own));
        faults(&talk, Side::Client)
    };
    assert_eq!((stamped(true), stamped(false)), (vec![], vec![Fault::TimestampMissing]));
    let behind = of_client(|talk| {
        talk.says(CLIENT, FIN, (1, 1), 0).says(CLIENT, ACK, (2, 1), 10);
    });
    assert_eq!(behind, [Fault::BeyondFin]);
    let damaged = of_client(|talk| {
        talk.says(CLIENT, ACK, (1, 1), 10);
        let last = talk.capture.len() - 7;
        talk.capture[last] ^= 0xff;
    });
    assert_eq!(damaged, [Fault::BadChecksum]);
}

#[test]
fn where_a_capture_was_taken() {
    let handshake = |there: u64, back: u64| {
        let mut talk = Talk::new();
        talk.says(CLIENT, Flags::SYN, (0, 0), 0).after(there).says(SERVER, SYN_ACK, (0, 1), 0).after(back);
        talk.says(CLIENT, ACK, (1, 1), 0);
        taken_at(&talk.trace().connections[0])
    };
    assert_eq!(handshake(20, 0), Some(Side::Client));
    assert_eq!(handshake(0, 20), Some(Side::Server));
    assert_eq!(handshake(5, 5), None);
    // Far from the end, time proves nothing.
    let mut talk = Talk::new();
    talk.handshake().says(CLIENT, ACK, (1, 1), 100).after(900).says(SERVER, ACK, (1, 101), 0);
    assert_eq!((faults(&talk, Side::Server), explained(&talk, Side::Server).near), (vec![], false));
}

#[test]
fn what_the_capture_lacks_is_held_against_nobody() {
    let mut talk = Talk::new();
    talk.handshake().says(SERVER, ACK, (1, 1), 100);
    // 101..301 is not captured, and the window update neither by which the client may send so much.
    talk.says(SERVER, ACK, (301, 1), 100).says(CLIENT, ACK, (1, 401), 0).says(CLIENT, ACK, (59_901, 401), 1_000);
    talk.says(SERVER, ACK, (401, 60_901), 0);
    let trace = talk.trace();
    assert_eq!(trace.connections[0].holes(Side::Server), [(101, 301)]);
    assert_eq!(trace.connections[0].holes(Side::Client), [(1, 59_901)]);
    let explanation = explained(&talk, Side::Client);
    let text = golden(&explanation);
    assert_eq!(explanation.faults(), 0, "{text}");
    assert!(explanation.incomplete && text.contains("the capture lacks 200 octets"), "{text}");
    assert!(text.contains("beyond-window, unless") && text.contains("59900 octets before it"), "{text}");
    // What nobody has acknowledged is no hole: it may have been lost on its way, or somebody forges.
    let mut talk = Talk::new();
    talk.handshake().says(SERVER, ACK, (500, 1), 100).says(CLIENT, ACK, (1, 1), 0);
    assert!(talk.trace().connections[0].holes(Side::Server).is_empty());
}

#[test]
fn what_begins_in_the_middle() {
    let mut talk = Talk::new();
    talk.says(SERVER, ACK, (5_000, 70), 1_000).says(CLIENT, ACK, (70, 6_000), 0).says(CLIENT, ACK, (70, 6_000), 20);
    talk.says(SERVER, FIN, (6_000, 90), 10).says(CLIENT, FIN, (90, 6_011), 0).says(SERVER, ACK, (6_011, 91), 0);
    let explanation = explained(&talk, Side::Client);
    assert!(explanation.partial);
    assert_eq!(explanation.faults(), 0, "{}", golden(&explanation));
    assert_eq!(explanation.lines.last().unwrap().after, State::Closed, "{}", golden(&explanation));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the ends say: there is a line for each segment, and no panic.
    #[test]
    fn what_the_capture_holds_is_explained_whatever_it_is(
        says in prop::collection::vec((0..2_usize, any::<u8>(), 0..5_u32, 0..5_u32, 0..4_usize, any::<bool>()), 0..40),
        handshake in any::<bool>(),
        iss in prop::sample::select(vec![1_000, (1 << 31) - 3, u32::MAX - 4]),
    ) {
        let mut talk = Talk::new();
        talk.iss = [iss, iss.wrapping_add(77)];
        if handshake {
            talk.handshake();
        }
        for (who, bits, seq, ack, text, closed) in says {
            // Most segments are usual ones.
            let flags = match bits % 8 {
                0..=4 => ACK,
                5 => FIN,
                _ => Flags(bits.into()),
            };
            let numbers = (1 + seq * 700, 1 + ack * 700);
            talk.after(u64::from(bits)).with(who, flags, numbers, [0, 1, 700, 1_400][text], |header| {
                header.window = if closed { 0 } else { 60_000 };
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

/// Every rule that a fault names is a row of the requirements, or a section.
#[test]
fn rules_exist() {
    let table = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/requirements.csv")).unwrap();
    for fault in Fault::ALL {
        let rule = fault.rule();
        let known = rule.starts_with("RFC") || table.lines().any(|line| line.split(',').next() == Some(rule));
        assert!(known, "{}: {rule}", fault.word());
    }
}
