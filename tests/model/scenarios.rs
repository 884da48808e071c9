//! The scenarios that are explored.

use std::time::Duration;

use super::scenario::{Cookie, PLAIN, Role, Scenario, call, fault};

/// Both talk and end in order.
pub const TALK: Scenario = Scenario {
    name: "talk and half-close",
    octets: [1, 2],
    calls: [call::SEND | call::HALF_CLOSE, call::SEND | call::HALF_CLOSE],
    ..PLAIN
};

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "open and abandon",
        calls: [call::CLOSE | call::ABORT, call::CLOSE | call::ABORT | call::STOP_LISTENING],
        faults: 2,
        faults_of: fault::LOSE | fault::DELAY,
        ..PLAIN
    },
    Scenario {
        name: "refused",
        roles: [Role::Active, Role::Absent],
        octets: [1, 0],
        calls: [call::SEND | call::HALF_CLOSE | call::CLOSE | call::ABORT, 0],
        faults: 3,
        ..PLAIN
    },
    Scenario {
        name: "simultaneous open",
        roles: [Role::Active, Role::Active],
        calls: [call::HALF_CLOSE, call::HALF_CLOSE | call::ABORT],
        faults_of: fault::LOSE | fault::DELAY | fault::DUPLICATE,
        ..PLAIN
    },
    Scenario {
        name: "simultaneous open, with text",
        roles: [Role::Active, Role::Active],
        octets: [1, 0],
        calls: [call::SEND | call::HALF_CLOSE | call::AT_ONCE, call::CLOSE],
        faults_of: fault::LOSE | fault::DELAY,
        ..PLAIN
    },
    Scenario { name: "half-close", calls: [call::HALF_CLOSE | call::CLOSE_AT_END; 2], faults: 2, ..PLAIN },
    TALK,
    Scenario {
        name: "close at any time",
        octets: [1, 1],
        calls: [call::SEND | call::CLOSE | call::AT_ONCE; 2],
        eager: false,
        faults_of: fault::LOSE | fault::DELAY,
        ..PLAIN
    },
    Scenario {
        name: "half-close against close",
        octets: [1, 1],
        calls: [call::SEND | call::HALF_CLOSE | call::AT_ONCE, call::SEND | call::CLOSE | call::ABORT],
        faults_of: fault::LOSE | fault::DELAY,
        ..PLAIN
    },
    Scenario {
        name: "delayed ACKs, no SACK, no timestamps",
        octets: [2, 1],
        calls: [call::SEND | call::HALF_CLOSE; 2],
        faults_of: fault::LOSE | fault::DUPLICATE | fault::BATCH,
        change: |tcp| (tcp.quick_acks, tcp.sack, tcp.timestamps) = (0, false, false),
        ..PLAIN
    },
    Scenario {
        name: "SYN cookies",
        octets: [1, 1],
        calls: [call::SEND | call::HALF_CLOSE; 2],
        // A cookie is no memory: a copy of the first segment that comes after the end would begin the connection again.
        faults: 2,
        faults_of: fault::LOSE | fault::BATCH,
        change: |tcp| tcp.max_half_open = 0,
        ..PLAIN
    },
    Scenario {
        name: "the four-tuple once more",
        opens: 2,
        calls: [call::HALF_CLOSE | call::CLOSE_AT_END; 2],
        faults_of: fault::DELAY | fault::DUPLICATE,
        ..PLAIN
    },
    Scenario {
        name: "forgotten and opened again",
        opens: 2,
        octets: [0, 1],
        calls: [call::ABORT, call::SEND | call::HALF_CLOSE],
        faults_of: fault::LOSE,
        ..PLAIN
    },
    Scenario {
        name: "a window of one octet",
        octets: [1, 0],
        calls: [call::SEND | call::HALF_CLOSE | call::AT_ONCE, call::HALF_CLOSE],
        eager: false,
        faults_of: fault::LOSE | fault::DELAY,
        change: |tcp| tcp.receive_capacity = Some(1),
        ..PLAIN
    },
    Scenario {
        name: "crossing SYNs, both with text",
        roles: [Role::Active, Role::Active],
        octets: [1, 1],
        calls: [call::HALF_CLOSE | call::CLOSE, call::HALF_CLOSE],
        cookies: [Cookie::Known; 2],
        faults_of: fault::LOSE | fault::DELAY,
        ..PLAIN
    },
    Scenario {
        name: "crossing SYNs, text and a FIN",
        roles: [Role::Active, Role::Active],
        octets: [2, 0],
        calls: [call::SEND | call::HALF_CLOSE | call::ABORT, 0],
        cookies: [Cookie::Known, Cookie::Unused],
        fin_on_syn: [false, true],
        faults_of: fault::LOSE | fault::DELAY | fault::DUPLICATE,
        ..PLAIN
    },
    Scenario {
        name: "Fast Open",
        octets: [2, 1],
        calls: [call::SEND | call::HALF_CLOSE; 2],
        cookies: [Cookie::Known, Cookie::Unused],
        // A copy of the SYN that comes after the end would begin the connection again (RFC 7413 section 6.1).
        faults_of: fault::LOSE | fault::BATCH,
        ..PLAIN
    },
    Scenario {
        name: "Fast Open, close at any time",
        octets: [1, 1],
        calls: [
            call::CLOSE | call::HALF_CLOSE | call::ABORT,
            call::SEND | call::CLOSE | call::AT_ONCE | call::ABORT | call::STOP_LISTENING,
        ],
        cookies: [Cookie::Known, Cookie::Unused],
        faults_of: fault::LOSE,
        ..PLAIN
    },
    Scenario {
        name: "Fast Open, the SYN comes late",
        octets: [1, 1],
        // The server closes first, and its TIME-WAIT knows the SYN.
        calls: [call::CLOSE_AT_END, call::SEND | call::HALF_CLOSE | call::AT_ONCE],
        cookies: [Cookie::Known, Cookie::Unused],
        faults_of: fault::DELAY | fault::DUPLICATE,
        ..PLAIN
    },
    Scenario {
        name: "Fast Open, the cookie is refused",
        octets: [1, 1],
        calls: [call::HALF_CLOSE | call::CLOSE, call::SEND | call::HALF_CLOSE],
        cookies: [Cookie::Refused, Cookie::Unused],
        ..PLAIN
    },
    Scenario {
        name: "Fast Open, a cookie is learned and used",
        opens: 2,
        octets: [1, 0],
        calls: [call::HALF_CLOSE | call::CLOSE_AT_END; 2],
        cookies: [Cookie::Asked, Cookie::Unused],
        faults_of: fault::LOSE,
        change: |tcp| tcp.fast_open_back_off = Duration::ZERO,
        ..PLAIN
    },
];
