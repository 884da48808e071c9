//! Echoes on port 7 of 10.0.0.2, behind the TUN interface `glass0`: `nc 10.0.0.2 7`.
use std::io::{Result, copy};
use std::thread;

use glasstcp::device::tun::TunDevice;
use glasstcp::net::{Net, TcpListener};

fn main() -> Result<()> {
    let device = TunDevice::open("glass0").map_err(std::io::Error::other)?;
    let net = Net::start(device, glasstcp::Config::new(&["10.0.0.2/24".parse().unwrap()]))?;
    let _guard = net.enter();
    for stream in TcpListener::bind("0.0.0.0:7")?.incoming() {
        let stream = stream?;
        thread::spawn(move || copy(&mut &stream, &mut &stream));
    }
    Ok(())
}
