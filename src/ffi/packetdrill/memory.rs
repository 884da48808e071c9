//! What lies behind the pointers of a caller.

use std::ffi::{c_int, c_void};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use libc::{iovec, sockaddr, sockaddr_in, sockaddr_in6, socklen_t, ssize_t};

use crate::packetdrill::{Answer, Errno};

/// No object of a program lies below this address or from [`END`] on.
const BEGIN: usize = 4_096;
/// Where the addresses of the kernel begin, on 64 bits.
const END: usize = 0x7fff_ffff_f000;

/// What a C function answers: a number, or -1 and `errno`.
pub fn answer(result: Answer<usize>) -> ssize_t {
    match result {
        Ok(value) => ssize_t::try_from(value).unwrap_or(ssize_t::MAX),
        Err(errno) => {
            // SAFETY: libc says that this points to the errno of this thread.
            unsafe { *libc::__errno_location() = errno.0 };
            -1
        }
    }
}

/// The same as an `int`.
pub fn answer_int(result: Answer<c_int>) -> c_int {
    answer(result.map(|value| value as usize)) as c_int
}

/// Closes a descriptor, whoever else has put a function of the name `close` in the way.
pub fn raw_close(fd: c_int) -> c_int {
    // SAFETY: no pointers are passed; the caller owns the descriptor.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// `EFAULT` for a range that cannot be a program's.
fn check(address: usize, len: usize) -> Answer<()> {
    let end = address.checked_add(len).ok_or(Errno::EFAULT)?;
    if len == 0 || address >= BEGIN && end <= END { Ok(()) } else { Err(Errno::EFAULT) }
}

/// The octets that a caller passes.
///
/// # Safety
/// Where the range can be a program's at all, it is readable and nobody changes it during the call.
pub unsafe fn octets<'a>(data: *const c_void, len: usize) -> Answer<&'a [u8]> {
    check(data as usize, len)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The buffer of a caller.
///
/// # Safety
/// Where the range can be a program's at all, it is writable and nobody else uses it during the call.
pub unsafe fn buffer<'a>(data: *mut c_void, len: usize) -> Answer<&'a mut [u8]> {
    check(data as usize, len)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { std::slice::from_raw_parts_mut(data.cast(), len) })
}

/// The pieces of a caller's `iovec`s.
///
/// # Safety
/// `pieces` points to `count` of them.
pub unsafe fn pieces<'a>(pieces: *const iovec, count: usize) -> Answer<&'a [iovec]> {
    check(pieces as usize, count * size_of::<iovec>())?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(pieces, count) })
}

/// All octets of these pieces, one after the other.
///
/// # Safety
/// Each of them is readable.
pub unsafe fn gather(pieces: &[iovec]) -> Answer<Vec<u8>> {
    let mut data = Vec::new();
    for piece in pieces {
        // SAFETY: as the caller says.
        data.extend_from_slice(unsafe { octets(piece.iov_base, piece.iov_len)? });
    }
    Ok(data)
}

/// Spreads octets over these pieces.
///
/// # Safety
/// Each of them is writable.
pub unsafe fn scatter(mut data: &[u8], pieces: &[iovec]) -> Answer<()> {
    for piece in pieces {
        let len = piece.iov_len.min(data.len());
        // SAFETY: as the caller says.
        unsafe { buffer(piece.iov_base, len)? }.copy_from_slice(&data[..len]);
        data = &data[len..];
    }
    Ok(())
}

/// Octets that these pieces hold.
pub fn room(pieces: &[iovec]) -> usize {
    pieces.iter().map(|piece| piece.iov_len).sum()
}

/// What a caller gives as an address: `None` for `AF_UNSPEC`.
///
/// # Safety
/// `address` is null or points to `len` readable octets.
pub unsafe fn address(address: *const sockaddr, len: socklen_t) -> Answer<Option<SocketAddr>> {
    let len = len as usize;
    // SAFETY: as the caller says.
    let bytes = unsafe { octets(address.cast(), len)? };
    let family = bytes.get(..2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match family.map(c_int::from) {
        None => Err(Errno::EINVAL),
        Some(libc::AF_UNSPEC) => Ok(None),
        Some(libc::AF_INET) if len >= size_of::<sockaddr_in>() => {
            // SAFETY: there are as many octets; any of them make a valid value.
            let v4: sockaddr_in = unsafe { bytes.as_ptr().cast::<sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(Some(SocketAddr::new(ip.into(), u16::from_be(v4.sin_port))))
        }
        Some(libc::AF_INET6) if len >= size_of::<sockaddr_in6>() => {
            // SAFETY: there are as many octets; any of them make a valid value.
            let v6: sockaddr_in6 = unsafe { bytes.as_ptr().cast::<sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Ok(Some(SocketAddr::new(ip.into(), u16::from_be(v6.sin6_port))))
        }
        Some(libc::AF_INET | libc::AF_INET6) => Err(Errno::EINVAL),
        Some(_) => Err(Errno::EAFNOSUPPORT),
    }
}

/// The octets of an address in C.
fn encoded(address: SocketAddr) -> Vec<u8> {
    // SAFETY: both structs are plain numbers, of which zero is one.
    let (mut v4, mut v6): (sockaddr_in, sockaddr_in6) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    match address {
        SocketAddr::V4(address) => {
            v4.sin_family = libc::AF_INET as _;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from(*address.ip()).to_be();
            // SAFETY: plain numbers without padding.
            unsafe { octets((&raw const v4).cast(), size_of_val(&v4)) }.map(<[u8]>::to_vec).unwrap_or_default()
        }
        SocketAddr::V6(address) => {
            fill_v6(&mut v6, &address);
            // SAFETY: plain numbers without padding.
            unsafe { octets((&raw const v6).cast(), size_of_val(&v6)) }.map(<[u8]>::to_vec).unwrap_or_default()
        }
    }
}

fn fill_v6(v6: &mut sockaddr_in6, address: &SocketAddrV6) {
    v6.sin6_family = libc::AF_INET6 as _;
    v6.sin6_port = address.port().to_be();
    v6.sin6_addr.s6_addr = address.ip().octets();
    v6.sin6_scope_id = address.scope_id();
}

/// Tells a caller an address, if it asks, and as much of it as it has room for.
///
/// # Safety
/// `len` is null or points to the room behind `target`, which is writable.
pub unsafe fn tell_address(source: SocketAddr, target: *mut c_void, len: *mut socklen_t) -> Answer<()> {
    if target.is_null() || len.is_null() {
        return Ok(());
    }
    let bytes = encoded(source);
    // SAFETY: as the caller says.
    let room = unsafe { *len } as usize;
    let told = bytes.len().min(room);
    // SAFETY: as the caller says.
    unsafe { buffer(target, told)? }.copy_from_slice(&bytes[..told]);
    // SAFETY: as the caller says.
    unsafe { *len = bytes.len() as socklen_t };
    Ok(())
}

/// Copies the value of an option to a caller.
///
/// # Safety
/// `len` points to the room behind `target`, which is writable.
pub unsafe fn tell_value(value: &[u8], target: *mut c_void, len: *mut socklen_t) -> Answer<()> {
    // SAFETY: as the caller says; its own check comes first.
    unsafe { buffer(target, value.len())? }.copy_from_slice(value);
    // SAFETY: as the caller says.
    unsafe { *len = value.len() as socklen_t };
    Ok(())
}

/// A number behind a pointer.
///
/// # Safety
/// Where it can be a program's at all, it is readable.
pub unsafe fn number<T: Copy>(pointer: *const T) -> Answer<T> {
    check(pointer as usize, size_of::<T>())?;
    // SAFETY: as the caller says.
    Ok(unsafe { pointer.read_unaligned() })
}

/// Stores behind a pointer.
///
/// # Safety
/// Where it can be a program's at all, it is writable.
pub unsafe fn store<T: Copy>(pointer: *mut T, value: T) -> Answer<()> {
    check(pointer as usize, size_of::<T>())?;
    // SAFETY: as the caller says.
    unsafe { pointer.write_unaligned(value) };
    Ok(())
}
