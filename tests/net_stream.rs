//! TcpStream and TcpListener: the contract of `std::net`, over two networks in one process.

mod net_common;

use std::io::{ErrorKind, Read, Write, copy};
use std::net::Shutdown;
use std::thread;

use glasstcp::net::{TcpListener, TcpStream};
use net_common::{pattern, two, watched};

#[test]
fn an_echo_server_of_std_works_unchanged() {
    watched(|| {
        let (a, b) = two();
        let server = thread::spawn(move || {
            let _guard = b.enter();
            let listener = TcpListener::bind("0.0.0.0:7").unwrap();
            for stream in listener.incoming().take(2) {
                let stream = stream.unwrap();
                copy(&mut &stream, &mut &stream).unwrap();
            }
        });
        let _guard = a.enter();
        for _ in 0..2 {
            let stream = loop {
                match TcpStream::connect("10.0.0.2:7") {
                    Ok(stream) => break stream,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                }
            };
            let data = pattern(3_000_000);
            let sent = data.clone();
            let writer = stream.try_clone().unwrap();
            let writer = thread::spawn(move || {
                (&writer).write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut echoed = Vec::new();
            (&stream).read_to_end(&mut echoed).unwrap();
            assert!(echoed == data);
            writer.join().unwrap();
        }
        server.join().unwrap();
    });
}
