//! A listener: LISTEN, its SYN queue and its accept queue.
//!
//! ```text
//!   SYN  ->  half-open record (SYN queue)  ->  third segment  ->  connection (accept queue)  ->  accept
//!        ->  SYN cookie, while the SYN queue is full  --------------^
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::config::SocketOptions;
use super::fast_open::Requests;
use crate::ip::bind::BindOptions;
use crate::time::Instant;

/// The largest backlog; larger ones count as this.
pub const MAX_BACKLOG: u32 = 65_535;

/// How long after the last overflow an ACK to a listener may be the answer to a cookie.
const COOKIE_LIFETIME: Duration = Duration::from_secs(130);

/// One listening socket. `K` names a connection, `S` a SYN that waits for a decision.
#[derive(Debug)]
pub struct Listener<K, S> {
    /// The address and port; an unspecified address stands for all of its family, `::` for both families.
    pub local: SocketAddr,
    /// How it is bound to them.
    pub bind: BindOptions,
    /// Limit of both queues.
    pub backlog: u32,
    /// Half-open records that belong to it.
    pub half_open: u32,
    /// Connections that wait to be accepted.
    pub accept_queue: VecDeque<K>,
    /// SYNs wait until the application has decided about them.
    pub deferred: bool,
    /// Those of which the application has not heard yet; some may be gone.
    pub asked: VecDeque<S>,
    /// All SYNs that came while it deferred them, oldest first; some may be gone.
    pub syn_order: VecDeque<S>,
    /// What its connections start with.
    pub options: Arc<SocketOptions>,
    /// It takes Fast Open.
    pub fast_open: Option<Box<Requests>>,
    /// A connection or such a SYN has come in since the application last looked.
    pub event: bool,
    /// When a cookie was last sent.
    cookies_at: Option<Instant>,
}

impl<K, S> Listener<K, S> {
    /// A listener with empty queues.
    pub fn new(local: SocketAddr, bind: BindOptions, backlog: u32, options: SocketOptions) -> Listener<K, S> {
        let backlog = backlog.clamp(1, MAX_BACKLOG);
        Listener {
            local,
            bind,
            backlog,
            half_open: 0,
            accept_queue: VecDeque::new(),
            deferred: false,
            asked: VecDeque::new(),
            syn_order: VecDeque::new(),
            options: Arc::new(options),
            fast_open: None,
            event: false,
            cookies_at: None,
        }
    }

    /// The SYN queue has no room for one more.
    // 4987-3.2
    pub fn syn_queue_is_full(&self) -> bool {
        self.half_open >= self.backlog
    }

    /// The accept queue has no room for one more.
    pub fn accept_queue_is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog as usize
    }

    /// Notes that a cookie was sent.
    pub fn note_cookie(&mut self, now: Instant) {
        self.cookies_at = Some(now);
    }

    /// An ACK may be the answer to a cookie: one was sent not long ago.
    pub fn expects_cookies(&self, now: Instant) -> bool {
        self.cookies_at.is_some_and(|at| now.saturating_since(at) < COOKIE_LIFETIME)
    }
}
