//! Calls of an application, for tests of what they answer.

use glasstcp::SocketError;
use glasstcp::sim::Script;
use glasstcp::stack::{Readiness, SocketHandle, TcpHandle};
use std::net::SocketAddr;
use std::time::Duration;

pub const SECOND: Duration = Duration::from_secs(1);

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What was reported for this connection since the last time.
pub fn edges(script: &mut Script, handle: TcpHandle) -> Readiness {
    let mut edges = Readiness::NONE;
    while let Some(ready) = script.stack.poll_ready() {
        if ready.socket == SocketHandle::Tcp(handle) {
            edges = edges.with(ready.edges);
        }
    }
    edges
}

pub fn read(script: &mut Script, handle: TcpHandle) -> Result<usize, SocketError> {
    script.stack.tcp_receive(script.now, handle, &mut [0; 100])
}

pub fn write(script: &mut Script, handle: TcpHandle) -> Result<usize, SocketError> {
    script.stack.tcp_send(script.now, handle, b"more")
}
