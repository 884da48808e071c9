//! The one symbol that packetdrill looks up.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t, timeval, timezone,
};

use super::{calls, device, files, machine};

/// `struct packetdrill_interface`, in its order. What stays empty is a call that packetdrill cannot make.
#[repr(C)]
#[derive(Debug)]
pub struct Interface {
    userdata: *mut c_void,
    free: Option<extern "C" fn(*mut c_void)>,
    socket: Option<extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int>,
    bind: Option<extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int>,
    listen: Option<extern "C" fn(*mut c_void, c_int, c_int) -> c_int>,
    accept: Option<extern "C" fn(*mut c_void, c_int, *mut sockaddr, *mut socklen_t) -> c_int>,
    connect: Option<extern "C" fn(*mut c_void, c_int, *const sockaddr, socklen_t) -> c_int>,
    read: Option<extern "C" fn(*mut c_void, c_int, *mut c_void, size_t) -> ssize_t>,
    readv: Option<extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t>,
    recv: Option<extern "C" fn(*mut c_void, c_int, *mut c_void, size_t, c_int) -> ssize_t>,
    recvfrom:
        Option<extern "C" fn(*mut c_void, c_int, *mut c_void, size_t, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t>,
    recvmsg: Option<extern "C" fn(*mut c_void, c_int, *mut msghdr, c_int) -> ssize_t>,
    write: Option<extern "C" fn(*mut c_void, c_int, *const c_void, size_t) -> ssize_t>,
    writev: Option<extern "C" fn(*mut c_void, c_int, *const iovec, c_int) -> ssize_t>,
    send: Option<extern "C" fn(*mut c_void, c_int, *const c_void, size_t, c_int) -> ssize_t>,
    sendto:
        Option<extern "C" fn(*mut c_void, c_int, *const c_void, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t>,
    sendmsg: Option<extern "C" fn(*mut c_void, c_int, *const msghdr, c_int) -> ssize_t>,
    // These two are variadic in C. On the platforms that Rust and packetdrill share, an argument of the size of a register
    // is passed to a variadic function as to any other.
    fcntl: Option<extern "C" fn(*mut c_void, c_int, c_int, c_long) -> c_int>,
    ioctl: Option<extern "C" fn(*mut c_void, c_int, c_ulong, *mut c_void) -> c_int>,
    close: Option<extern "C" fn(*mut c_void, c_int) -> c_int>,
    shutdown: Option<extern "C" fn(*mut c_void, c_int, c_int) -> c_int>,
    getsockopt: Option<extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int>,
    setsockopt: Option<extern "C" fn(*mut c_void, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int>,
    poll: Option<extern "C" fn(*mut c_void, *mut pollfd, nfds_t, c_int) -> c_int>,
    netdev_send: Option<extern "C" fn(*mut c_void, *const c_void, size_t) -> c_int>,
    netdev_receive: Option<extern "C" fn(*mut c_void, *mut c_void, *mut size_t, *mut i64) -> c_int>,
    usleep: Option<extern "C" fn(*mut c_void, c_uint) -> c_int>,
    gettimeofday: Option<extern "C" fn(*mut c_void, *mut timeval, *mut timezone) -> c_int>,
    epoll_create: Option<extern "C" fn(*mut c_void, c_int) -> c_int>,
    epoll_ctl: Option<extern "C" fn(*mut c_void, c_int, c_int, c_int, *mut epoll_event) -> c_int>,
    epoll_wait: Option<extern "C" fn(*mut c_void, c_int, *mut epoll_event, c_int, c_int) -> c_int>,
    pipe: Option<extern "C" fn(*mut c_void, *mut c_int) -> c_int>,
    splice: Option<extern "C" fn(*mut c_void, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> c_int>,
}

/// Begins: fills in the interface for the one host of this process. `flags` are settings as
/// [`Settings::parse`](crate::packetdrill::Settings::parse) reads them; what is wrong with them is told on stderr, and the
/// process ends.
///
/// # Safety
/// `flags` is null or a C string; `interface` is null or points to a `struct packetdrill_interface`.
// SAFETY: the name is packetdrill's own; nothing else has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, interface: *mut Interface) {
    let line = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller says that it is a C string.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    if let Err(error) = machine::start(&line) {
        eprintln!("glasstcp: --so_flags={line}: {error}");
        std::process::exit(1);
    }
    if !interface.is_null() {
        // SAFETY: the caller says that it points to a struct of this layout.
        unsafe { interface.write(filled()) };
    }
}

fn filled() -> Interface {
    Interface {
        userdata: std::ptr::null_mut(),
        free: Some(device::free),
        socket: Some(calls::socket),
        bind: Some(calls::bind),
        listen: Some(calls::listen),
        accept: Some(calls::accept),
        connect: Some(calls::connect),
        read: Some(calls::read),
        readv: Some(calls::readv),
        recv: Some(calls::recv),
        recvfrom: Some(calls::recvfrom),
        recvmsg: Some(calls::recvmsg),
        write: Some(calls::write),
        writev: Some(calls::writev),
        send: Some(calls::send),
        sendto: Some(calls::sendto),
        sendmsg: Some(calls::sendmsg),
        fcntl: Some(calls::fcntl),
        ioctl: Some(calls::ioctl),
        close: Some(calls::close),
        shutdown: Some(calls::shutdown),
        getsockopt: Some(calls::getsockopt),
        setsockopt: Some(calls::setsockopt),
        poll: Some(files::poll),
        netdev_send: Some(device::netdev_send),
        netdev_receive: Some(device::netdev_receive),
        usleep: Some(device::usleep),
        gettimeofday: Some(device::gettimeofday),
        epoll_create: Some(files::epoll_create),
        epoll_ctl: Some(files::epoll_ctl),
        epoll_wait: Some(files::epoll_wait),
        pipe: Some(files::pipe),
        splice: Some(files::splice),
    }
}
