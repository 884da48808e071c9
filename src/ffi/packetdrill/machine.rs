//! The one host of this process: its lock, its clock, and how calls wait.
//!
//! packetdrill has two threads. Its main thread moves the clock: it brings packets, sleeps, and waits for packets. A call that
//! a script lets take time is made by the other thread, which waits here until something has happened. Whatever happened,
//! the main thread goes on only when the other one waits again or has looked at the clock: packetdrill takes that time for
//! the end of the call, and the clock must not have moved on.

use std::fs;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::memory::raw_close;
use crate::packetdrill::{Answer, Errno, Fd, Host, Numbers, Settings, sources};
use crate::time::Instant;

/// How long the main thread waits for the other one, in real time: it may have ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// Virtual time after which nothing is expected any more, beyond the two hours of keep-alives.
const FOREVER: Duration = Duration::from_secs(3 * 3_600);

/// The host, and who waits for it.
pub struct State {
    /// The host.
    pub host: Host,
    /// Threads that wait until something happens.
    waiting: u32,
    /// Of them, those that have not looked yet at what has happened.
    to_look: u32,
    /// Counts what has happened.
    happened: u64,
    /// Threads whose call has ended and that have not read the clock since.
    to_read_clock: Vec<i64>,
    /// Threads whose call has ended, until they have been waited for.
    ended: Vec<i64>,
    /// Where the states of all sockets are told, and what was told last.
    status: Option<(PathBuf, String)>,
}

impl State {
    /// Tells the states of all sockets where somebody may ask for them.
    fn tell_status(&mut self) {
        let Some((path, told)) = &mut self.status else { return };
        let status = self.host.status();
        if status != *told {
            if let Err(error) = fs::write(&*path, &status) {
                eprintln!("glasstcp: {}: {error}", path.display());
            }
            *told = status;
        }
    }
}

/// The host of this process.
struct Machine {
    state: Mutex<State>,
    changed: Condvar,
}

static MACHINE: OnceLock<Machine> = OnceLock::new();

/// Descriptors that the system knows: packetdrill closes some of them by itself.
#[derive(Debug)]
struct SystemNumbers;

impl Numbers for SystemNumbers {
    fn open(&mut self) -> Answer<Fd> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, 0) };
        if fd < 0 { Err(Errno::EMFILE) } else { Ok(fd) }
    }

    fn close(&mut self, fd: Fd) {
        raw_close(fd);
    }
}

/// Starts the host of this process.
pub fn start(line: &str) -> Result<(), String> {
    let mut settings = Settings::parse(line)?;
    if std::env::var_os(sources::FILE_VARIABLE).is_none()
        && let Some(script) = script_of_packetdrill()
    {
        settings.take(&sources::of_script(&script));
    }
    let is_set = |key: &str| line.split(',').any(|item| item.trim().split('=').next() == Some(key));
    let number = |name| option_of_packetdrill(name)?.parse::<u16>().ok();
    if !is_set("mtu") {
        settings.mtu = number("mtu").map_or(settings.mtu, usize::from);
    }
    settings.segment = number("mss");
    if let Some(local) =
        option_of_packetdrill("local_ip").and_then(|text| text.parse().ok()).filter(|_| !is_set("local"))
    {
        settings.set_local(local);
    }
    let host = Host::with_numbers(settings, Box::new(SystemNumbers))?;
    let status = std::env::var_os(sources::STATUS_VARIABLE).map(|path| (PathBuf::from(path), String::new()));
    let state =
        State { host, waiting: 0, to_look: 0, happened: 0, to_read_clock: Vec::new(), ended: Vec::new(), status };
    let machine = Machine { state: Mutex::new(state), changed: Condvar::new() };
    MACHINE.set(machine).map_err(|_| "there is a host in this process already".to_owned())
}

/// An option of packetdrill, which it keeps to itself: from the command line, or from the head of the script.
fn option_of_packetdrill(name: &str) -> Option<String> {
    let value = |text: &str| Some(text.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = arguments.iter().find_map(|argument| value(argument));
    named.or_else(|| script_of_packetdrill()?.lines().find_map(value))
}

/// The script that packetdrill plays.
fn script_of_packetdrill() -> Option<String> {
    fs::read_to_string(std::env::args().skip(1).find(|argument| argument.ends_with(".pkt"))?).ok()
}

fn thread() -> i64 {
    // SAFETY: no pointers are passed.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

fn is_main_thread() -> bool {
    thread() == i64::from(std::process::id())
}

/// The host, or nothing before it was started.
fn machine() -> Answer<&'static Machine> {
    MACHINE.get().ok_or(Errno::EBADF)
}

impl Machine {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those who wait look at what has happened, and waits for them.
    fn tell<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.tell_status();
        if state.waiting == 0 && state.to_read_clock.is_empty() {
            return state;
        }
        state.happened += 1;
        state.to_look = state.waiting;
        self.changed.notify_all();
        while state.to_look > 0 || !state.to_read_clock.is_empty() {
            let (guard, waited) = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if waited.timed_out() {
                state.to_look = 0;
                state.to_read_clock.clear();
            }
        }
        state
    }

    /// Moves the clock to `until`, or to where `enough` says so.
    fn drive<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        until: Instant,
        enough: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        loop {
            let more = state.host.step_to(until);
            state = self.tell(state);
            if !more || enough(&state) {
                return state;
            }
        }
    }
}

/// One call on the host that does not wait, and what follows of it for those who do.
pub fn call<R>(call: impl FnOnce(&mut Host) -> Answer<R>) -> Answer<R> {
    let machine = machine()?;
    let mut state = machine.lock();
    refresh(&mut state.host);
    let answer = call(&mut state.host);
    if is_main_thread() {
        drop(machine.tell(state));
    }
    answer
}

/// A look at the host by somebody who may hold it already: nothing then, or before it was started.
pub fn try_call<R>(call: impl FnOnce(&mut Host) -> R) -> Option<R> {
    let mut state = MACHINE.get()?.state.try_lock().ok()?;
    Some(call(&mut state.host))
}

/// One call that may wait: `attempt` is made again whenever something has happened, until it says something else than
/// `EAGAIN`, or `limit` is over, which is counted from now. With `wait` false it is made once.
///
/// On the main thread nobody else moves the clock, so the call does; where nothing will happen, its answer is `EAGAIN`.
pub fn blocking<R>(
    wait: impl FnOnce(&Host) -> bool,
    limit: Option<Duration>,
    mut attempt: impl FnMut(&mut Host) -> Answer<R>,
) -> Answer<R> {
    let machine = machine()?;
    let mut state = machine.lock();
    refresh(&mut state.host);
    let mut answer = attempt(&mut state.host);
    if !matches!(answer, Err(Errno::EAGAIN)) || !wait(&state.host) {
        if is_main_thread() {
            drop(machine.tell(state));
        }
        return answer;
    }
    let until = limit.map(|limit| state.host.now() + limit);
    let over = |state: &State| until.is_some_and(|until| state.host.now() >= until);
    if is_main_thread() {
        let forever = state.host.now() + FOREVER;
        while matches!(answer, Err(Errno::EAGAIN)) && !over(&state) {
            let more = state.host.step_to(until.unwrap_or(forever));
            answer = attempt(&mut state.host);
            state = machine.tell(state);
            if !more && until.is_none() {
                break;
            }
        }
        return answer;
    }
    state.waiting += 1;
    while matches!(answer, Err(Errno::EAGAIN)) && !over(&state) {
        let seen = state.happened;
        while state.happened == seen {
            state = machine.wait(state);
        }
        answer = attempt(&mut state.host);
        let ends = !matches!(answer, Err(Errno::EAGAIN)) || over(&state);
        if ends {
            state.to_read_clock.push(thread());
            state.ended.push(thread());
        }
        state.to_look = state.to_look.saturating_sub(1);
        machine.changed.notify_all();
    }
    state.waiting -= 1;
    answer
}

/// Settings may have changed since the last call: scripts run `sysctl`.
fn refresh(host: &mut Host) {
    let knobs = sources::knobs();
    if let Err(error) = host.set_knobs(&knobs) {
        eprintln!("glasstcp: {error}");
    }
}

/// A packet arrives.
pub fn inject(packet: &[u8]) -> Answer<()> {
    let machine = machine()?;
    let mut state = machine.lock();
    refresh(&mut state.host);
    state.host.inject(packet);
    drop(machine.tell(state));
    Ok(())
}

/// The next packet that leaves: the clock moves on until there is one, or nothing will happen any more.
pub fn take_packet() -> Answer<Option<(Instant, Vec<u8>)>> {
    let machine = machine()?;
    let mut state = machine.lock();
    let forever = state.host.now() + FOREVER;
    loop {
        if let Some(packet) = state.host.take_packet() {
            return Ok(Some(packet));
        }
        if state.host.next_deadline().is_none_or(|at| at > forever) {
            return Ok(None);
        }
        state.host.step_to(forever);
        state = machine.tell(state);
    }
}

/// Time passes.
pub fn sleep(duration: Duration) -> Answer<()> {
    let machine = machine()?;
    let mut state = machine.lock();
    let ended = std::mem::take(&mut state.ended);
    drop(state);
    ended.into_iter().for_each(wait_for_sleep);
    let state = machine.lock();
    let until = state.host.now() + duration;
    drop(machine.drive(state, until, |_| false));
    Ok(())
}

/// Waits until a thread, whose call has ended, sleeps again: then its caller has noted the result, for which it needs nothing but
/// the time of this machine, of which the script counts none.
fn wait_for_sleep(thread: i64) {
    let until = std::time::Instant::now() + PATIENCE;
    let path = format!("/proc/self/task/{thread}/stat");
    // The state stands behind the name, which is in parentheses.
    let sleeps = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
    while fs::read_to_string(&path).is_ok_and(|stat| !sleeps(stat)) && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
}

/// Reads the clock. It moves on by a microsecond each time, so that nobody waits for it in vain, but not while a call that
/// has just ended is being noted.
pub fn clock() -> Answer<Instant> {
    let machine = machine()?;
    let mut state = machine.lock();
    let thread = thread();
    if state.to_read_clock.contains(&thread) {
        state.to_read_clock.retain(|&other| other != thread);
        machine.changed.notify_all();
        return Ok(state.host.now());
    }
    let until = state.host.now() + Duration::from_micros(1);
    Ok(machine.drive(state, until, |_| false).host.now())
}
