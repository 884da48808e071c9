//! Packets and time.

use std::ffi::{c_int, c_uint, c_void};
use std::time::Duration;

use libc::{size_t, timeval, timezone};

use super::machine;
use super::memory::{answer_int, buffer, number, octets, store};
use crate::packetdrill::Errno;

/// Nothing leaves at the very moment of its cause: scripts may ask for a packet after what it answers.
const ON_ITS_WAY: Duration = Duration::from_micros(5);

/// The end: the process will end, too.
pub extern "C" fn free(_: *mut c_void) {}

/// A packet for the host.
pub extern "C" fn netdev_send(_: *mut c_void, packet: *const c_void, len: size_t) -> c_int {
    // SAFETY: packetdrill passes a packet of this length.
    let packet = unsafe { octets(packet, len) };
    answer_int(packet.and_then(machine::inject).map(|()| 0))
}

/// The next packet of the host; of no octets, if there will be none.
pub extern "C" fn netdev_receive(_: *mut c_void, target: *mut c_void, len: *mut size_t, micros: *mut i64) -> c_int {
    let receive = || {
        let Some((at, packet)) = machine::take_packet()? else {
            // SAFETY: packetdrill passes pointers to two numbers.
            unsafe { store(len, 0)? };
            return Ok(0);
        };
        // SAFETY: packetdrill passes pointers to two numbers, the first of which says how long its buffer is.
        unsafe {
            if number(len)? < packet.len() {
                return Err(Errno::EMSGSIZE);
            }
            buffer(target, packet.len())?.copy_from_slice(&packet);
            store(len, packet.len())?;
            store(micros, (at + ON_ITS_WAY).as_micros() as i64)?;
        }
        Ok(0)
    };
    answer_int(receive())
}

/// Time passes.
pub extern "C" fn usleep(_: *mut c_void, micros: c_uint) -> c_int {
    answer_int(machine::sleep(Duration::from_micros(micros.into())).map(|()| 0))
}

/// What time it is.
pub extern "C" fn gettimeofday(_: *mut c_void, time: *mut timeval, _: *mut timezone) -> c_int {
    let told = machine::clock().and_then(|now| {
        let micros = now.as_micros() as i64;
        // SAFETY: packetdrill passes a pointer to such a struct.
        unsafe { store(time, timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 }) }
    });
    answer_int(told.map(|()| 0))
}
