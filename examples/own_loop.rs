//! An echo server on the bare stack: no thread, no sockets, a loop of one's own.
//!
//! `glasstcp::net` does all this for you; this is what it does. Make a TUN first (`scripts/tun-up.sh`), then
//! `cargo run --release --example own_loop` and `nc 10.0.0.2 7`.

use std::io::{ErrorKind, IoSlice};
use std::time::{Duration, Instant as Clock};

use glasstcp::device::{Device, tun::TunDevice};
use glasstcp::rng::KeyedRng;
use glasstcp::stack::{SocketHandle, WouldBlock};
use glasstcp::time::Instant;
use glasstcp::{Config, Stack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = TunDevice::open("glass0")?;
    let config = Config::new(&["10.0.0.2/24".parse()?, "fd00:67::2/64".parse()?]);
    let options = config.tcp.socket;
    let clock = Clock::now();
    let now = || Instant::ZERO + clock.elapsed();
    let mut stack = Stack::new(config, KeyedRng::from_system()?, now())?;
    stack.tcp_listen("[::]:7".parse()?, 128, options)?;
    let mut packet = vec![0; 65_536];
    loop {
        // Packets first: an ACK among them may stop a timer.
        loop {
            match device.receive(&mut packet) {
                Ok(meta) => _ = stack.handle_packet(now(), &packet[..meta.len], &meta),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        stack.handle_deadline(now());
        while let Some(ready) = stack.poll_ready() {
            match ready.socket {
                SocketHandle::Listener(listener) => while stack.tcp_accept(listener).is_ok() {},
                SocketHandle::Tcp(connection) => echo(&mut stack, now(), connection),
                _ => {}
            }
        }
        stack.transmit(now(), usize::MAX, |transmit| {
            let pieces = [transmit.header, transmit.payload[0], transmit.payload[1]].map(IoSlice::new);
            device.transmit(&pieces, &transmit.meta).map_err(|_| WouldBlock)
        });
        // A real loop would wait for the device's descriptor until `stack.next_deadline()`.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends back what has arrived, as far as there is room.
fn echo(stack: &mut Stack, now: Instant, connection: glasstcp::stack::TcpHandle) {
    let mut text = [0; 16_384];
    loop {
        match stack.tcp_peek(connection, &mut text) {
            Ok(0) => return stack.tcp_close(now, connection),
            Ok(read) => match stack.tcp_send(now, connection, &text[..read]) {
                Ok(sent) => _ = stack.tcp_receive(now, connection, &mut text[..sent]),
                // The rest waits until the connection is writable again.
                Err(_) => return,
            },
            Err(glasstcp::SocketError::WouldBlock) => return,
            Err(_) => return stack.tcp_close(now, connection),
        }
    }
}
