//! First light.
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Side, World};
use std::time::Duration;

#[test]
fn echo() {
    let mut world = World::plain(Impairment::perfect().delay(Duration::from_millis(5)), 1);
    let now = world.now();
    let listener = world.stack(Side::B).tcp_listen("10.0.0.2:80".parse().unwrap(), 8, Default::default()).unwrap();
    let client =
        world.stack(Side::A).tcp_connect(now, None, "10.0.0.2:80".parse().unwrap(), Default::default()).unwrap();
    world.run(Duration::from_millis(100));
    let (server, _) = world.stack(Side::B).tcp_accept(listener).unwrap();
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut sent = 0;
    let mut got = Vec::new();
    let ok = world.run_until(Duration::from_secs(60), |w| {
        let now = w.now();
        if sent < data.len() {
            sent += w.stack(Side::A).tcp_send(now, client, &data[sent..]).unwrap_or(0);
        }
        let mut buf = [0; 100_000];
        while let Ok(n) = w.stack(Side::B).tcp_receive(now, server, &mut buf) {
            if n == 0 {
                break;
            }
            got.extend_from_slice(&buf[..n]);
        }
        w.flush();
        got.len() == data.len()
    });
    println!("{:?} {} {:?}", world.now(), got.len(), world.stack(Side::A).tcp_snapshot(client));
    assert!(ok && got == data);
    let now = world.now();
    world.stack(Side::A).tcp_close(now, client);
    world.run(Duration::from_millis(50));
    assert_eq!(world.stack(Side::B).tcp_receive(now, server, &mut [0; 10]), Ok(0));
    world.stack(Side::B).tcp_close(now, server);
    world.run(Duration::from_millis(50));
    assert_eq!(world.stack(Side::A).table_sizes(), (0, 0, 1));
    assert_eq!(world.stack(Side::B).table_sizes(), (0, 0, 0));
    world.run(Duration::from_secs(61));
    assert_eq!(world.stack(Side::A).table_sizes(), (0, 0, 0));
    assert_eq!(world.stack(Side::A).buffer_memory() + world.stack(Side::B).buffer_memory(), 0);
}
