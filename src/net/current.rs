//! Which [`Net`] calls without one act on.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::handle::{Net, Owner};

thread_local! {
    /// The entered ones, innermost last, each with the number of its guard.
    static ENTERED: RefCell<Vec<(u64, Net)>> = const { RefCell::new(Vec::new()) };
}

static DEFAULT: Mutex<Weak<Owner>> = Mutex::new(Weak::new());

/// While it lives, its [`Net`] is the current one of the thread. Made by [`Net::enter`].
#[derive(Debug)]
#[must_use = "the network is current only as long as the guard lives"]
pub struct EnterGuard {
    number: u64,
    /// A guard belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

impl Net {
    /// Makes this network the current one of this thread, until the guard is dropped.
    pub fn enter(&self) -> EnterGuard {
        ENTERED.with_borrow_mut(|entered| {
            let number = entered.last().map_or(0, |(number, _)| number + 1);
            entered.push((number, self.clone()));
            EnterGuard { number, _not_send: PhantomData }
        })
    }

    /// Makes this network the current one of all threads that have entered none. It is not kept alive by this: once the
    /// last handle is dropped, there is no default.
    pub fn set_default(net: &Net) {
        *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&net.owner);
    }

    /// The current network: what this thread has entered last, else the default.
    ///
    /// # Errors
    /// `NotFound` when there is none, with what to do about it.
    pub fn current() -> io::Result<Net> {
        if let Some(net) = ENTERED.with_borrow(|entered| entered.last().map(|(_, net)| net.clone())) {
            return Ok(net);
        }
        let default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        default.map(|owner| Net { owner }).ok_or_else(|| {
            let text = "there is no current Net: start one with Net::start(device, config), then keep the guard of \
                        net.enter() or call Net::set_default(&net) and keep the Net; or use net.connect(..) and \
                        net.bind(..)";
            io::Error::new(ErrorKind::NotFound, text)
        })
    }
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        // Guards may be dropped in any order. The network itself is dropped outside of the borrow, as that may wait.
        let left = ENTERED.with_borrow_mut(|entered| {
            let at = entered.iter().position(|(number, _)| *number == self.number)?;
            Some(entered.remove(at))
        });
        drop(left);
    }
}
