//! A transparent proxy: whatever host and port somebody connects to by way of the TUN, the proxy connects there itself, and
//! answers only if that works. Who asks for a port that is closed is refused, as without a proxy.
//!
//! ```sh
//! ip tuntap add dev glass0 mode tun && ip addr add 10.0.0.1/24 dev glass0 && ip link set glass0 up
//! ip route add 198.51.100.0/24 dev glass0                          # what is to go by way of the proxy
//! ip rule add iif glass0 lookup 100                                # what the proxy itself sends goes on from there
//! ip route add default via GATEWAY dev eth0 table 100
//! cargo run --release --example transparent_proxy -- glass0
//! ```
//!
//! The proxy's own connections are from 10.0.0.2: the machine has to forward them (`net.ipv4.ip_forward`) and to be on
//! their way back, or to translate that address.
use std::env;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::device::offload::OffloadDevice;
use glasstcp::net::{ListenOptions, Net, PendingSyn, TcpStream};

/// Connections at a time, each with two threads. Further SYNs wait in the listener, and then their peers repeat them.
const MOST: usize = 256;

/// How long the real destination may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    run(&env::args().nth(1).unwrap_or_else(|| "glass0".into()))
}

/// Serves on this TUN until it is gone.
pub fn run(tun: &str) -> Result<(), Box<dyn Error>> {
    let config = Config { any_address: true, ..Config::new(&["10.0.0.2/24".parse()?, "fd00:67::2/64".parse()?]) };
    let net = Net::start(OffloadDevice::open(tun)?, config)?;
    let mut options = ListenOptions { deferred: true, ..ListenOptions::default() };
    options.bind.any_port = true;
    let listener = net.listen("[::]:0", &options)?;
    let slots = Arc::new(Slots::default());
    loop {
        let slot = Slots::take(&slots);
        let (syn, net) = (listener.next_syn()?, net.clone());
        thread::Builder::new().spawn(move || {
            let (peer, destination) = (syn.peer_addr(), syn.local_addr());
            match serve(&net, syn) {
                Ok(()) => println!("{peer} -> {destination}: over"),
                Err(error) => println!("{peer} -> {destination}: {error}"),
            }
            drop(slot);
        })?;
    }
}

/// One connection. Dropping the SYN refuses it.
fn serve(net: &Net, syn: PendingSyn) -> io::Result<()> {
    let destination = syn.local_addr();
    if net.addresses().iter().any(|own| own.address == destination.ip()) {
        // Else the proxy would be its own client.
        return Err(io::Error::new(ErrorKind::AddrNotAvailable, "the proxy itself has no services"));
    }
    let server = net.connect_timeout(&destination, PATIENCE)?;
    let client = syn.accept()?;
    thread::scope(|scope| {
        scope.spawn(|| copy(&client, &server));
        copy(&server, &client);
    });
    Ok(())
}

/// Hands on what one end sends, and how it ends.
fn copy(from: &TcpStream, to: &TcpStream) {
    match io::copy(&mut { from }, &mut { to }) {
        // The peer may have ended it meanwhile.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => {
            from.abort();
            to.abort();
        }
    }
}

/// How many connections there are.
#[derive(Default)]
struct Slots {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// Room for one connection.
struct Slot(Arc<Slots>);

impl Slots {
    /// Waits for room.
    fn take(slots: &Arc<Slots>) -> Slot {
        let taken = slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = slots.given_back.wait_while(taken, |taken| *taken >= MOST);
        *full.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot(Arc::clone(slots))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}
