//! What a family of attacks costs: octets held, answers, and what becomes of the honest meanwhile. All of it in virtual time,
//! and the same on every run.

use std::time::Duration;

use crate::families::{Family, PACE, settings};
use crate::packet::{ACK, PSH};
use crate::target::{Client, Target, Traffic};

/// Honest connections that were there before.
const HONEST: usize = 10;
/// Steps after which an honest one is looked at, and a new one comes.
const EVERY: u32 = 1_000;

/// What was seen of one family.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// What the steps have brought in and out, and the time of the stack for it.
    pub traffic: Traffic,
    /// Octets that the first thousand steps left behind, for each packet.
    pub per_packet: u64,
    /// The most octets that were held at any time, beyond what was held before.
    pub most: usize,
    /// Honest exchanges that succeeded, of all.
    pub served: u32,
    pub asked: u32,
}

/// Lets a family attack a target for so many steps.
pub fn measure(family: &Family, steps: u32) -> Costs {
    let mut target = Target::with(settings);
    let mut honest: Vec<Client> = (0..HONEST).map(|n| Client::connected(&mut target, n % 2 == 1)).collect();
    let mut step = (family.start)(&mut target);
    // Whatever the honest need is there before it begins.
    honest.iter_mut().for_each(|client| drop(client.exchange(&mut target, b"before")));
    target.pass(Duration::from_secs(2));
    let (mut costs, mut held) = (Costs::default(), 0_i64);
    for number in 0..steps {
        let before = target.traffic;
        target.traffic = Traffic::default();
        let seen = allocation_counter::measure(|| {
            step(&mut target, number);
            target.pass_unseen(PACE);
        });
        costs.traffic = sum(costs.traffic, target.traffic);
        target.traffic = before;
        costs.most = costs.most.max((held + seen.bytes_max as i64).max(0) as usize);
        held += seen.bytes_current;
        if number + 1 == EVERY.min(steps) {
            costs.per_packet = held.max(0) as u64 / costs.traffic.packets_in.max(1);
        }
        if number % EVERY == EVERY - 1 {
            let seen = allocation_counter::measure(|| {
                let client = &mut honest[(number / EVERY) as usize % HONEST];
                costs.asked += 2;
                costs.served += u32::from(client.exchange(&mut target, b"still here").as_deref() == Ok(b"still here"));
                costs.served += u32::from(newcomer(&mut target, number / EVERY % 2 == 1));
            });
            held += seen.bytes_current;
        }
    }
    costs
}

/// Somebody whom nobody knew before opens a connection, is served and closes it.
fn newcomer(target: &mut Target, v6: bool) -> bool {
    let mut client = Client::new(target, v6);
    let options = [2, 4, 5, 0xB4];
    let served = client.open(target, &options).is_ok()
        && client.exchange(target, b"request").as_deref() == Ok(&b"request"[..])
        && client.answers(target, &client.header(ACK | PSH), &[]).is_empty();
    client.close(target);
    served
}

fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        packets_in: a.packets_in + b.packets_in,
        octets_in: a.octets_in + b.octets_in,
        packets_out: a.packets_out + b.packets_out,
        octets_out: a.octets_out + b.octets_out,
        spent: a.spent + b.spent,
    }
}
