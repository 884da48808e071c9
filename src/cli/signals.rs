//! Signals: the first SIGINT or SIGTERM asks to end, the second ends at once; SIGUSR1 asks for a dump.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// What signals have asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    end: AtomicI32,
    dump: AtomicBool,
}

impl Requests {
    /// The signal that asked to end, if one did.
    pub(super) fn end(&self) -> Option<i32> {
        Some(self.end.load(Ordering::Acquire)).filter(|&signal| signal != 0)
    }

    /// Asks to end as a signal would.
    pub(super) fn ask_to_end(&self) {
        // One that came before stays.
        let _ = self.end.compare_exchange(0, SIGTERM, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether a dump was asked for since the last call.
    pub(super) fn take_dump(&self) -> bool {
        self.dump.swap(false, Ordering::AcqRel)
    }
}

/// Which signals a command wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    End,
    EndAndDump,
}

/// Takes over the signals. After each one `notify` is called with it, on a thread of its own.
pub(super) fn watch(wanted: Wanted, mut notify: impl FnMut(i32) + Send + 'static) -> io::Result<Arc<Requests>> {
    let numbers: &[i32] = if wanted == Wanted::End { &[SIGINT, SIGTERM] } else { &[SIGINT, SIGTERM, SIGUSR1] };
    let mut signals = Signals::new(numbers)?;
    let requests = Arc::new(Requests::default());
    let shared = Arc::clone(&requests);
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGUSR1 {
                shared.dump.store(true, Ordering::Release);
            } else if shared.end.swap(signal, Ordering::AcqRel) != 0 {
                // As a shell reports a program that died by a signal.
                process::exit(128 + signal);
            }
            notify(signal);
        }
    })?;
    Ok(requests)
}
