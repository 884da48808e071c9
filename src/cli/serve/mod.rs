//! `glasstcp serve`: a page, echo, discard and a character generator, and over UDP echo, daytime and names, in one event
//! loop, or in one for each queue of the TUN.

mod connection;
mod datagrams;
mod dns;
mod http;
mod http_body;
mod http_head;
mod json;
mod page;
mod server;
mod view;

use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use super::args::Serve;
use super::open::{self, Opened};
use super::signals::{self, Requests, Wanted};
use super::{Failure, say};
use crate::device::fd;
use crate::net::Waker;

use connection::Kind;
use datagrams::{Front, Service};
use server::Server;

/// Runs the command.
pub(super) fn run(args: &Serve) -> Result<ExitCode, Failure> {
    if args.ready_fd.is_some() && args.ready_fd == args.stack.tun_fd {
        return Err("--ready-fd and --tun-fd name the same descriptor: the ready line would go to the network".into());
    }
    // Taken first, as a file that is opened later could get a number that was not open.
    let ready = args.ready_fd.map(Ready::open).transpose()?;
    let opened = open::open_queues(&args.stack, args.congestion, args.queues.into())?;
    let mut servers: Vec<Server<'_>> = (0..opened.nets.len())
        .map(|queue| Server::new(&opened, queue, front(args, &opened), args.fast_open))
        .collect::<Result<_, Failure>>()?;
    let wakers: Arc<[Waker]> = servers.iter().map(Server::waker).collect();
    let awoken = Arc::clone(&wakers);
    let requests = signals::watch(Wanted::EndAndDump, move |_| wake(&awoken))?;
    for server in &mut servers {
        let own = opened.addresses.iter().map(|cidr| cidr.address);
        // For all hosts at once, or for this one alone.
        let all = args.stack.any_address.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let places: Vec<IpAddr> = all.map_or_else(|| own.clone().collect(), |all| vec![all]);
        for address in places {
            for (kind, port) in tcp_services(args) {
                server.listen(SocketAddr::new(address, port), kind)?;
            }
        }
        for address in own {
            for (service, port) in udp_services(args) {
                server.answer_datagrams(SocketAddr::new(address, port), service)?;
            }
        }
    }
    say(&banner(args, &opened));
    if let Some(ready) = ready {
        ready.tell()?;
    }
    let result = serve_all(servers, &requests, &wakers);
    opened.close();
    result.map(|()| ExitCode::SUCCESS)
}

fn front(args: &Serve, opened: &Opened) -> Front {
    Front { own_ports: udp_services(args).map(|(_, port)| port).collect(), addresses: opened.addresses.clone() }
}

fn wake(wakers: &[Waker]) {
    for waker in wakers {
        // It fails when the server is gone, and then there is nobody to wake.
        let _ = waker.wake();
    }
}

/// Runs the first server on this thread and each other one on its own. The end of one, whatever its reason, ends all.
fn serve_all(servers: Vec<Server<'_>>, requests: &Requests, wakers: &[Waker]) -> Result<(), Failure> {
    let serve = |mut server: Server<'_>| {
        let result = server.run(requests).map_err(|failure| failure.to_string());
        requests.ask_to_end();
        wake(wakers);
        match &result {
            Ok(()) => server.close(),
            Err(_) => drop(server),
        }
        result
    };
    let mut servers = servers.into_iter();
    let first = servers.next();
    thread::scope(|scope| {
        let others: Vec<_> = servers.map(|server| scope.spawn(move || serve(server))).collect();
        let results: Vec<_> = first.map(serve).into_iter().collect();
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok(results.into_iter().chain(others).collect::<Result<(), _>>()?)
    })
}

/// The services of TCP that are on.
fn tcp_services(args: &Serve) -> impl Iterator<Item = (Kind, u16)> {
    let all = [
        (Kind::Http, args.http),
        (Kind::Echo, args.echo),
        (Kind::Discard, args.discard),
        (Kind::Chargen, args.chargen),
    ];
    all.into_iter().filter(|(_, port)| *port != 0)
}

/// The services of UDP that are on.
fn udp_services(args: &Serve) -> impl Iterator<Item = (Service, u16)> {
    let all = [(Service::Echo, args.udp_echo), (Service::Daytime, args.udp_daytime), (Service::Names, args.dns)];
    all.into_iter().filter(|(_, port)| *port != 0)
}

/// What is served where, and what to try.
fn banner(args: &Serve, opened: &Opened) -> String {
    let addresses: Vec<String> = opened.addresses.iter().map(|cidr| cidr.address.to_string()).collect();
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("glasstcp {version} on {} as {}\n", opened.device, addresses.join(" and "));
    let Some(first) = opened.addresses.first().map(|cidr| cidr.address) else { return text };
    for (kind, port) in tcp_services(args) {
        let (name, command) = match kind {
            Kind::Http => ("page", format!("curl http://{}/", host_and_port(first, port))),
            Kind::Echo => ("echo", format!("nc {first} {port}")),
            Kind::Discard => ("discard", format!("nc {first} {port}")),
            Kind::Chargen => ("characters", format!("nc {first} {port} | head")),
        };
        text += &format!("    {name:<11} TCP port {port:<6} {command}\n");
    }
    for (service, port) in udp_services(args) {
        let (name, command) = match service {
            Service::Echo => ("echo", format!("nc -u {first} {port}")),
            Service::Daytime => ("daytime", format!("echo | nc -u -w 1 {first} {port}")),
            Service::Names if port == 53 => ("names", format!("dig @{first} glasstcp.test")),
            Service::Names => ("names", format!("dig @{first} -p {port} glasstcp.test")),
        };
        text += &format!("    {name:<11} UDP port {port:<6} {command}\n");
    }
    text += "Ctrl-C closes all connections and ends; SIGUSR1 prints them.";
    text
}

fn host_and_port(address: IpAddr, port: u16) -> String {
    match (address, port) {
        (IpAddr::V4(v4), 80) => v4.to_string(),
        (IpAddr::V6(v6), 80) => format!("[{v6}]"),
        (address, port) => SocketAddr::new(address, port).to_string(),
    }
}

/// Where to say that everything is served.
enum Ready {
    Output,
    Error,
    Descriptor(File),
}

impl Ready {
    fn open(number: i32) -> Result<Ready, Failure> {
        match number {
            1 => Ok(Ready::Output),
            2 => Ok(Ready::Error),
            _ => match fd::take(number) {
                Ok(descriptor) => Ok(Ready::Descriptor(descriptor.into())),
                Err(error) => Err(format!("--ready-fd: {error}").into()),
            },
        }
    }

    fn tell(self) -> Result<(), Failure> {
        let line = b"ready\n";
        let result = match self {
            Ready::Output => io::stdout().write_all(line).and_then(|()| io::stdout().flush()),
            Ready::Error => io::stderr().write_all(line),
            Ready::Descriptor(mut file) => file.write_all(line),
        };
        result.map_err(|error| format!("--ready-fd: {error}").into())
    }
}
