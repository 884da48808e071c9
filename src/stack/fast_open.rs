//! Fast Open (RFC 7413): SYNs that become connections at once, and what becomes of those. The protocol: `tcp/fast_open.rs`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Stack;
use super::connect::ConnectError;
use super::flow::{ListenerHandle, TcpHandle};
use super::listen::note_syn_received;
use super::slab::SlabKey;
use crate::error::SocketError;
use crate::tcp::FourTuple;
use crate::tcp::config::SocketOptions;
use crate::tcp::connection::Origin;
use crate::tcp::fast_open::{Answer, Keys, ListenFastOpen, Requests, Validity};
use crate::tcp::fast_open_cache::Manner;
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::tcp::text::text_of_syn;
use crate::time::Instant;
use crate::wire::fast_open::Cookie;

/// What became of a SYN.
#[derive(Clone, Copy, Debug)]
pub(super) enum FastOpened {
    /// A connection.
    Yes,
    /// What becomes of any SYN; its SYN-ACK carries this.
    No(Option<Cookie>),
}

impl Stack {
    /// A SYN for a listener that has room for it: the steps of RFC 7413 section 4.2.2 for a server.
    // 7413-2: a listener that does not take it knows nothing of cookies.
    pub(super) fn fast_open_syn(
        &mut self,
        handle: ListenerHandle,
        segment: &Segment<'_>,
        beyond: Option<SeqNumber>,
    ) -> FastOpened {
        const NO: FastOpened = FastOpened::No(None);
        let Some(listener) = self.listeners.get_mut(handle.0) else { return NO };
        let Some(requests) = listener.fast_open.as_deref_mut() else { return NO };
        let (options, socket) = (requests.options, Arc::clone(&listener.options));
        let trusting = options.without_cookies && !segment.payload.is_empty();
        let cookie = segment.options.fast_open;
        if cookie.is_none() && !trusting {
            return NO;
        }
        let asks = cookie.is_some_and(|cookie| cookie.is_request());
        self.counters.fast_open_cookies_asked += u64::from(asks);
        // 7413-4.2
        if !requests.has_room(self.now) {
            self.counters.fast_open_overflows += 1;
            return NO;
        }
        let tuple = segment.tuple;
        let own = options.keys.or(self.config.tcp.fast_open_keys);
        let keys = own.unwrap_or(Keys::Rotating(self.fast_open_master));
        let validity = match cookie {
            _ if options.without_cookies => Validity::Current,
            Some(cookie) if !asks => keys.check(&tuple, &cookie, self.now),
            _ => Validity::No,
        };
        let fresh = cookie.and_then(|cookie| Some(keys.make(&tuple, self.now)?.in_experiment(cookie.experimental)));
        if validity == Validity::No || self.connections.is_full() {
            self.counters.fast_open_passive_failed += u64::from(!asks);
            return FastOpened::No(fresh);
        }
        let record = self.record_of_syn(segment, self.initial_sequence(&tuple, beyond), &socket);
        let option = fresh.filter(|_| validity == Validity::Old);
        let connection = record.fast_open(segment, socket, &self.config.tcp, option);
        let Some(key) = self.insert_connection(connection, true) else { return FastOpened::No(fresh) };
        note_syn_received(&tuple);
        self.with_connection(key, segment.arrived, |connection, cx| text_of_syn(connection, segment, cx));
        if let Some(entry) = self.connections.get_mut(key) {
            entry.opener = Some(handle);
        }
        if let Some(listener) = self.listeners.get_mut(handle.0) {
            listener.accept_queue.push_back(TcpHandle(key));
            listener.fast_open.iter_mut().for_each(|requests| requests.begin());
        }
        self.counters.fast_open_passive += 1;
        self.counters.passive_opens += 1;
        self.listener_event(handle);
        self.touch(key);
        FastOpened::Yes
    }

    /// Takes in how an attempt of ours has ended.
    fn fast_open_answered(&mut self, tuple: &FourTuple, answer: Option<&Answer>) {
        match answer {
            Some(answer) if answer.sent > 0 && answer.acknowledged == answer.sent => {
                self.counters.fast_open_active += 1
            }
            // One that has only asked has not failed.
            Some(answer) if answer.sent == 0 => {}
            _ => self.counters.fast_open_active_failed += 1,
        }
        let back_off = self.config.tcp.fast_open_back_off;
        self.fast_opens.learn(tuple, answer, back_off, self.now);
    }

    /// Active OPEN by Fast Open: as [`Stack::tcp_connect`], and `text` is sent with the SYN as far as the server is known to
    /// take it so, else behind the handshake. The answer is also how many octets of it found room to wait.
    ///
    /// The server's application may see such text twice (RFC 7413 section 6.1): only for requests that may be repeated.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_connect`].
    // 7413-6.1
    pub fn tcp_connect_fast(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: SocketOptions,
        text: &[u8],
    ) -> Result<(TcpHandle, usize), ConnectError> {
        let handle = self.tcp_connect(now, local, remote, options)?;
        let now = self.now;
        if let Some(entry) = self.connections.get_mut(handle.0) {
            let connection = &mut entry.connection;
            if !options.no_options {
                let manner = Manner {
                    without_cookie: options.fast_open_without_cookie,
                    by_experiment: self.config.tcp.habits.fast_open.by_experiment,
                    long: self.config.tcp.habits.fast_open.long_syns,
                };
                let (tuple, mss) = (connection.tuple, connection.snd.mss);
                connection.fast_open = self.fast_opens.begin(&tuple, mss, manner, now).map(Box::new);
            }
        }
        match self.tcp_send(now, handle, text) {
            Ok(queued) => Ok((handle, queued)),
            Err(SocketError::WouldBlock) => Ok((handle, 0)),
            Err(error) => Err(error),
        }
    }

    /// Text can leave with the SYN of a connection to this host, as its cookie is known.
    pub fn fast_open_knows(&self, remote: IpAddr) -> bool {
        self.own_source(remote).is_some_and(|local| self.fast_opens.knows(local, remote))
    }

    /// Changes how a listener takes Fast Open; those that are pending still count.
    pub fn listener_set_fast_open(&mut self, handle: ListenerHandle, options: Option<ListenFastOpen>) {
        let Some(listener) = self.listeners.get_mut(handle.0).filter(|listener| !listener.deferred) else { return };
        match (listener.fast_open.as_deref_mut(), options) {
            (Some(requests), Some(options)) => requests.options = options,
            (_, options) => listener.fast_open = options.map(|options| Box::new(Requests::new(options))),
        }
    }

    /// Forgets the cookies of all servers, and which of them failed.
    pub fn fast_open_forget(&mut self) {
        self.fast_opens.clear();
    }

    /// A connection that began with more than a handshake may be through with that.
    pub(super) fn fast_open_progress(&mut self, key: SlabKey) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        let connection = &mut entry.connection;
        let (open, over) = (connection.snd.syn_acknowledged, connection.state() == State::Closed);
        if !open && !over {
            return;
        }
        let attempt = connection.fast_open.take();
        if connection.origin == Origin::Active {
            let (tuple, answer) = (connection.tuple, attempt.and_then(|attempt| attempt.answer));
            // Who gives up by itself, or opens towards a SYN that crosses ours, has learned nothing.
            if answer.is_some() || over && connection.error != Some(SocketError::Aborted) {
                self.fast_open_answered(&tuple, answer.as_ref());
            }
            return;
        }
        if let Some(opener) = entry.opener.take()
            && let Some(listener) = self.listeners.get_mut(opener.0)
            && let Some(requests) = listener.fast_open.as_deref_mut()
        {
            let reset = !open && entry.connection.error == Some(SocketError::Reset);
            requests.end(reset, self.now);
        }
    }
}
