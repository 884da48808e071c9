//! Errors as a C program sees them.

use std::fmt;

use crate::error::SocketError;

/// An `errno`, by the numbers of this platform.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// What a call answers.
pub type Answer<T> = Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub const $name: Errno = Errno(libc::$name);
            )*

            /// Its name, where it is one that a socket can answer.
            pub fn name(self) -> Option<&'static str> {
                $(if self == Errno::$name { return Some(stringify!($name)); })*
                None
            }

            /// The one of this name.
            pub fn by_name(name: &str) -> Option<Errno> {
                $(if name == stringify!($name) { return Some(Errno::$name); })*
                None
            }
        }
    };
}

errnos! {
    EAGAIN EBADF EINVAL EFAULT ENOTSOCK ENOPROTOOPT EOPNOTSUPP EAFNOSUPPORT EPROTONOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETUNREACH EHOSTUNREACH ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED EALREADY EINPROGRESS
    EPIPE EMSGSIZE EPERM EACCES EDESTADDRREQ ENETDOWN EMFILE EDOM ENOMEM EINTR EPROTO EEXIST ENOENT
}

impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Errno {
        match error {
            SocketError::WouldBlock => Errno::EAGAIN,
            SocketError::NotConnected => Errno::ENOTCONN,
            SocketError::InProgress => Errno::EALREADY,
            SocketError::AlreadyConnected => Errno::EISCONN,
            SocketError::Refused => Errno::ECONNREFUSED,
            SocketError::Reset => Errno::ECONNRESET,
            SocketError::Aborted => Errno::ECONNABORTED,
            SocketError::TimedOut => Errno::ETIMEDOUT,
            SocketError::BrokenPipe => Errno::EPIPE,
            SocketError::AddressInUse => Errno::EADDRINUSE,
            SocketError::AddressNotAvailable => Errno::EADDRNOTAVAIL,
            SocketError::Unreachable => Errno::EHOSTUNREACH,
            SocketError::InvalidAddress | SocketError::InvalidArgument => Errno::EINVAL,
            SocketError::MessageTooLong => Errno::EMSGSIZE,
            SocketError::PermissionDenied => Errno::EACCES,
            SocketError::NoBuffers => Errno::ENOBUFS,
            SocketError::BadHandle => Errno::EBADF,
            SocketError::NetworkDown => Errno::ENETDOWN,
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", std::io::Error::from_raw_os_error(self.0))
    }
}
