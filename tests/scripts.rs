//! The scripts do what they say: they explain themselves, print before they act, refuse what would collide, and remove what
//! they made, however they end.
//!
//! Where a network is needed, the test makes a namespace of its own, and a stand-in plays the program.
//! That needs root; elsewhere the tests say `skipped`, which is a failure where `CI` is true.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SCRIPTS: [&str; 11] =
    ["run", "bench", "test", "tun-up", "tun-down", "capture", "doctor", "fuzz", "recovery", "soak", "model"];

/// Plays `glasstcp serve`: says that it is ready, and ends as its name tells it to.
const STAND_IN: &str = r#"#!/usr/bin/env bash
log=$0.log
echo "$*" >"$log"
while [[ $# -gt 0 ]]; do
    [[ $1 == --ready-fd ]] && fd=$2
    shift
done
closing() {
    echo "signal $1" >>"$log"
    [[ $0 == *stubborn* ]] && return
    echo closed >>"$log"
    exit 0
}
trap 'closing INT' INT
trap 'closing TERM' TERM
[[ $0 == *broken* ]] && exit 7
echo ready >&"$fd"
[[ $0 == *brief* ]] && exit 9
# Not longer than the script that started it, so that a failing test leaves nothing behind.
while [[ -d /proc/$PPID ]]; do sleep 0.05; done
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script(name: &str) -> Command {
    let mut command = Command::new(root().join("scripts").join(format!("{name}.sh")));
    command.current_dir(root()).stdin(Stdio::null()).env_remove("GLASSTCP_BIN");
    // The stand-in shall own what it makes, also where the tests themselves run through sudo.
    command.env_remove("SUDO_UID").env_remove("SUDO_GID");
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn bash(code: &str) -> Output {
    Command::new("bash").current_dir(root()).args(["-c", code]).output().unwrap()
}

/// Ends a test that cannot run here. The line goes past the capture of test output, so that everybody sees it.
fn skip(name: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

/// A directory and a namespace name of one test; both are gone afterwards.
struct Place {
    directory: PathBuf,
    netns: String,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("glt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(&name);
        fs::create_dir_all(&directory).unwrap();
        Place { directory, netns: name }
    }

    /// A place where namespaces can be made and TUNs in them, or a skipped test.
    fn with_rights(test: &str) -> Option<Place> {
        let place = Place::new();
        let netns = &place.netns;
        let probe = format!(
            "ip netns add {netns} && ip -n {netns} tuntap add dev probe mode tun; code=$?; ip netns del {netns}; exit $code"
        );
        let output = bash(&probe);
        if output.status.success() {
            return Some(place);
        }
        skip(test, &format!("no namespace with a TUN can be made: {}", text(&output).trim().replace('\n', "; ")));
        None
    }

    fn executable(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        // Not by this process: another test may fork while the file is open for writing here, and then nobody can run it.
        let mut writer = Command::new("sh");
        writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut writer = writer.spawn().unwrap();
        writer.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
        path
    }

    fn stand_in(&self, name: &str) -> PathBuf {
        self.executable(name, STAND_IN)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default()
    }

    fn has_netns(&self) -> bool {
        Path::new("/run/netns").join(&self.netns).exists()
    }

    /// Makes the namespace and runs `ip` commands in it.
    fn make_netns(&self, commands: &[&str]) {
        let mut code = format!("set -e; ip netns add {}; ip -n {} link set dev lo up", self.netns, self.netns);
        for command in commands {
            code += &format!("; ip -n {} {command}", self.netns);
        }
        let output = bash(&code);
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        if self.has_netns() {
            bash(&format!("ip netns del {}", self.netns));
        }
    }
}

/// A script under way, with its output in files; killed where a test fails before its end.
struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// In a process group of its own, so that a signal to the group is what Ctrl-C sends.
    fn start(mut command: Command, place: &Place) -> Running {
        let output = place.directory.join("output");
        let file = fs::File::create(&output).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        Running { child: command.spawn().unwrap(), output }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap()
    }

    fn wait_for(&mut self, wanted: &str) {
        let start = Instant::now();
        while !self.text().contains(wanted) {
            assert!(self.child.try_wait().unwrap().is_none(), "ended without `{wanted}`:\n{}", self.text());
            assert!(start.elapsed() < Duration::from_secs(20), "no `{wanted}` in:\n{}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the script alone, or to its whole group.
    fn signal(&self, signal: &str, group: bool) {
        let sign = if group { "-" } else { "" };
        assert!(bash(&format!("kill -s {signal} -- {sign}{}", self.child.id())).status.success());
    }

    /// The exit code.
    fn end(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("still running after a minute:\n{}", self.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[test]
fn every_script_parses_and_explains_itself() {
    for name in SCRIPTS {
        for option in ["--help", "-h"] {
            let output = script(name).arg(option).output().unwrap();
            let help = text(&output);
            assert!(output.status.success(), "{name} {option}: {help}");
            assert!(help.starts_with(&format!("scripts/{name}.sh: ")) && help.contains("\nOptions"), "{name}: {help}");
            assert!(help.lines().all(|line| line.chars().count() <= 125 && !line.starts_with('#')), "{name}: {help}");
        }
        let output = script(name).arg("--name=much/too/odd").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {}", text(&output));
    }
    let output = bash("for file in scripts/*.sh .ci/run; do bash -n \"$file\" || exit 1; done");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn every_fuzz_target_is_run() {
    let output = script("fuzz").arg("--list").output().unwrap();
    let mut listed: Vec<String> = text(&output).lines().map(String::from).collect();
    listed.sort();
    let files = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let mut targets: Vec<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    targets.sort();
    assert_eq!(listed, targets);
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    assert!(targets.iter().all(|target| manifest.contains(&format!("name = \"{target}\""))), "{manifest}");
}

#[test]
fn a_dry_run_prints_the_commands_and_touches_nothing() {
    let place = Place::new();
    let log = place.directory.join("calls");
    for name in ["ip", "sudo", "cargo", "apt-get"] {
        place.executable(name, &format!("#!/bin/sh\necho \"{name} $*\" >>{}\n", log.display()));
    }
    let path = format!("{}:{}", place.directory.display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let output = script("run").env("PATH", &path).arg("--dry-run").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap().replace("sudo ip", "ip")
    };
    let plain = run(&["--http", "8080", "--log=debug"]);
    for line in [
        "cargo build --release --locked --features cli",
        "ip tuntap add dev glass0 mode tun user ",
        "ip addr add 10.0.0.1/24 dev glass0\n",
        "ip link set dev glass0 txqueuelen 10000 up\n",
        "/release/glasstcp serve --tun glass0 --addr 10.0.0.2/24",
        " --http 8080 --log=debug\n",
        "ip link del dev glass0\n",
    ] {
        assert!(plain.contains(line), "no `{line}` in:\n{plain}");
    }
    let mut own = vec!["--netns=n1", "--name", "t1", "--subnet", "10.9.8.0/22", "--subnet6", "none", "--mtu=1400"];
    own.extend(["--", "--netns", "of the program"]);
    let own = run(&own);
    for line in [
        "ip netns add n1\nip -n n1 link set dev lo up\nip -n n1 tuntap add dev t1 mode tun user ",
        "ip -n n1 addr add 10.9.8.1/22 dev t1\nip -n n1 link set dev t1 txqueuelen 10000 mtu 1400 up\nip netns exec n1 ",
        "serve --tun t1 --addr 10.9.8.2/22 --netns 'of the program' --mtu 1400\n",
        "ip -n n1 link del dev t1\nip netns del n1\n",
    ] {
        assert!(own.contains(line), "no `{line}` in:\n{own}");
    }
    let many = run(&["--queues", "2"]);
    for line in ["ip tuntap add dev glass0 mode tun multi_queue user ", "fd00:67::2/64 --queues 2\n"] {
        assert!(many.contains(line), "no `{line}` in:\n{many}");
    }
    assert!(!run(&["--queues=1"]).contains("multi_queue"));
    let calls = fs::read_to_string(&log).unwrap_or_default();
    let reads = |call: &str| call.starts_with("ip ") && call.contains(" show") || call == "cargo --version";
    assert!(calls.lines().all(reads), "a dry run called:\n{calls}");
}

#[test]
fn recovery_and_soak_say_what_they_would_do() {
    let run = |name: &str, arguments: &[&str]| {
        let output = script(name).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let cells = run("recovery", &["--list"]);
    // Three round trips, each with four losses, with and without reordering, and an outage; and three kinds of sharing.
    assert_eq!(cells.lines().count(), 3 * (4 * 2 + 1) + 3, "{cells}");
    for cell in ["rtt1-loss0-reorder0", "rtt20-loss0.1-reorder2", "rtt100-outage", "fair-ours-kernel"] {
        assert!(cells.lines().any(|line| line == cell), "no {cell} in {cells}");
    }
    let plan = run("recovery", &["--dry-run", "--only", "rtt1-outage", "--controllers=reno"]);
    assert_eq!(
        plan,
        "rtt1-outage: glasstcp relay --rate 100mbit --delay 500us --outage 3s+200ms; reno; ours and kernel; 3 times 8 s\n"
    );
    for arguments in [["--only", "rtt7*"], ["--controllers", "vegas"], ["--repeats", "0"], ["--fresh", "none"]] {
        let output = script("recovery").arg("--dry-run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
    let blocks = run("soak", &["--dry-run", "--seeds", "600", "--from", "7", "--block", "250"]);
    let expected = "sim_two_stacks 7 250\nsim_two_stacks 257 250\nsim_two_stacks 507 100\nsim_smoltcp 7 120\n";
    assert_eq!(blocks, expected);
    let output = script("soak").args(["--dry-run", "--seeds", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

#[test]
fn subnets_are_checked() {
    for arguments in [
        ["--subnet", "10.0.0.1/24"],
        ["--subnet", "10.0.0.0"],
        ["--subnet", "10.0.0.0/31"],
        ["--subnet", "10.0.256.0/24"],
        ["--subnet6", "fd00::1/64"],
        ["--subnet6", "fd00::"],
        ["--mtu", "lots"],
        ["--netns", "../x"],
        ["--name", "sixteen-letters-"],
        ["--ready-fd", "3"],
    ] {
        let output = script("run").arg("--dry-run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn overlaps_are_recognised() {
    for (subnet, other, expected) in [
        ("10.0.0.0/24", "10.0.0.0/24", true),
        ("10.0.0.0/24", "10.0.0.255", true),
        ("10.0.0.0/24", "10.0.1.0/24", false),
        ("10.0.0.0/24", "10.0.0.128/25", true),
        ("10.0.0.0/24", "10.0.2.1/22", true),
        ("10.0.0.0/24", "10.0.4.0/22", false),
        ("10.0.0.0/24", "10.0.0.0/8", true),
        ("10.0.0.0/24", "11.0.0.0/8", false),
        ("10.0.0.0/24", "0.0.0.0/0", false),
        ("10.0.0.0/24", "0.0.0.0/1", false),
        ("10.0.0.0/24", "8.0.0.0/5", true),
        ("10.0.0.0/24", "fd00:67::/64", false),
        ("10.0.0.0/30", "10.0.0.4/30", false),
        ("fd00:67::/64", "fd00:67::5", true),
        ("fd00:67::/64", "fd00:67:0:0:1::/80", true),
        ("fd00:67::/64", "fd00:67:0:1::/64", false),
        ("fd00:67::/64", "fd00::/8", true),
        ("fd00:67::/64", "fc00::/7", true),
        ("fd00:67::/64", "fd00::/64", false),
        ("fd00:67::/64", "::/0", false),
        ("fd00:67::/64", "::1", false),
        ("fd00:67::/64", "2000::/3", false),
        ("fd00:67::/64", "::ffff:10.0.0.0/104", false),
    ] {
        let code = format!(
            "source scripts/lib.sh; subnet={subnet}; text_overlaps {other} \"$(hex_of \"${{subnet%/*}}\")\" \"${{subnet#*/}}\""
        );
        let output = bash(&code);
        assert_eq!(output.status.success(), expected, "{subnet} and {other}: {}", text(&output));
        assert_eq!(text(&output), "", "{subnet} and {other}");
    }
}

#[test]
fn it_refuses_what_is_in_use_and_names_it() {
    let Some(place) = Place::with_rights("it_refuses_what_is_in_use_and_names_it") else { return };
    place.make_netns(&[
        "tuntap add dev d0 mode tun",
        "link set dev d0 up",
        "addr add 10.0.2.77/24 dev d0",
        "route add 10.0.0.64/26 dev d0",
        "-6 addr add fd00:67:1::1/64 dev d0 nodad",
        "-6 route add fd00:67::/48 dev d0 table 77",
        "route add default dev d0",
        "route add unreachable 10.5.0.0/16",
        "route add local 10.6.0.0/16 dev lo",
    ]);
    let program = place.stand_in("glasstcp");
    let run = |arguments: &[&str]| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &place.netns]).arg(root().join("scripts/run.sh")).args(arguments);
        let output =
            command.stdin(Stdio::null()).env("GLASSTCP_BIN", &program).env_remove("SUDO_UID").output().unwrap();
        (output.status.code(), text(&output))
    };
    let links = || text(&bash(&format!("ip -n {} -br link show", place.netns)));
    let before = links();
    let default6 = "--subnet6=none";
    for (arguments, named) in [
        (
            vec![],
            vec!["10.0.0.0/24 is in use: route 10.0.0.64/26 dev d0", "fd00:67::/64 is in use: route fd00:67::/48"],
        ),
        (vec!["--subnet=10.0.2.0/24", default6], vec!["10.0.2.0/24 is in use: address 10.0.2.77/24 on d0"]),
        (vec!["--subnet=10.5.1.0/24", default6], vec!["route unreachable 10.5.0.0/16"]),
        (vec!["--subnet=10.6.1.0/24", default6], vec!["route local 10.6.0.0/16"]),
        (vec!["--subnet=10.9.0.0/24", "--subnet6=fd00:67:1::/64"], vec!["address fd00:67:1::1/64 on d0"]),
        (vec!["--subnet=10.9.0.0/24", default6, "--name=d0"], vec!["an interface d0 exists already"]),
    ] {
        let (code, output) = run(&arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {output}");
        for line in named {
            assert!(output.contains(line), "{arguments:?}: no `{line}` in:\n{output}");
        }
        assert!(!output.contains("+ ip"), "{output}");
    }
    assert_eq!(links(), before);
    assert_eq!(place.log("glasstcp"), "");
    // The way out that the message names: another subnet. The stand-in ends by itself here.
    let brief = place.stand_in("brief");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &place.netns]).arg(root().join("scripts/run.sh"));
    command.args(["--subnet=10.9.0.0/24", "--subnet6=fd00:68::/64"]);
    let output = command.stdin(Stdio::null()).env("GLASSTCP_BIN", brief).env_remove("SUDO_UID").output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", text(&output));
    assert_eq!(links(), before);
}

/// Starts run.sh in the place's namespace with a stand-in, and waits until it says what to try.
fn serve(place: &Place, name: &str) -> Running {
    let mut command = script("run");
    command.args(["--netns", &place.netns]).env("GLASSTCP_BIN", place.stand_in(name));
    let mut running = Running::start(command, place);
    running.wait_for("Ctrl-C ends it.");
    running
}

#[test]
fn a_signal_closes_the_program_and_removes_everything() {
    let Some(place) = Place::with_rights("a_signal_closes_the_program_and_removes_everything") else { return };
    for (signal, group) in [("INT", true), ("INT", false), ("TERM", false), ("HUP", false)] {
        let mut running = serve(&place, "glasstcp");
        let address = text(&bash(&format!("ip -n {} addr show dev glass0", place.netns)));
        assert!(
            address.contains("10.0.0.1/24") && address.contains("qlen 10000") && address.contains("UP"),
            "{address}"
        );
        let output = running.text();
        let client = format!("ip netns exec {} nc 10.0.0.2 80\n", place.netns);
        assert!(output.contains(&client) && output.contains("curl http://10.0.0.2/\n"), "{output}");
        running.signal(signal, group);
        let code = running.end();
        assert_eq!(code, Some(0), "{signal}: {}", running.text());
        let log = place.log("glasstcp");
        // Once, also where the signal reached the whole group.
        assert_eq!(log.matches("signal").count(), 1, "{signal}: {log}");
        assert!(log.contains("closed") && log.contains("serve --tun glass0 --addr 10.0.0.2/24"), "{log}");
        assert!(!place.has_netns(), "{signal}: the namespace is still there");
    }
}

#[test]
fn a_script_started_deaf_to_sigint_hears_it() {
    let Some(place) = Place::with_rights("a_script_started_deaf_to_sigint_hears_it") else { return };
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' INT; exec scripts/run.sh --netns \"$0\"", &place.netns]);
    command.current_dir(root()).stdin(Stdio::null()).env_remove("SUDO_UID");
    command.env("GLASSTCP_BIN", place.stand_in("glasstcp"));
    let mut running = Running::start(command, &place);
    running.wait_for("Ctrl-C ends it.");
    running.signal("INT", false);
    assert_eq!(running.end(), Some(0), "{}", running.text());
    assert!(!place.has_netns());
}

#[test]
fn a_program_that_does_not_close_is_killed_and_a_second_signal_aborts() {
    let test = "a_program_that_does_not_close_is_killed_and_a_second_signal_aborts";
    let Some(place) = Place::with_rights(test) else { return };
    let mut running = serve(&place, "stubborn");
    running.signal("TERM", false);
    let code = running.end();
    assert_eq!(code, Some(1), "{}", running.text());
    assert!(running.text().contains("was killed") && !place.has_netns(), "{}", running.text());

    let mut running = serve(&place, "stubborn");
    running.signal("INT", true);
    thread::sleep(Duration::from_millis(300));
    running.signal("INT", true);
    let code = running.end();
    assert_eq!(code, Some(130), "{}", running.text());
    assert_eq!(place.log("stubborn").matches("signal INT").count(), 2);
    assert!(!place.has_netns());
}

#[test]
fn a_program_that_ends_by_itself_hands_its_exit_code_on() {
    let Some(place) = Place::with_rights("a_program_that_ends_by_itself_hands_its_exit_code_on") else { return };
    for (name, code, said) in [("broken", 7, "before it served"), ("brief", 9, "glasstcp ended by itself")] {
        let mut command = script("run");
        command.args(["--netns", &place.netns]).env("GLASSTCP_BIN", place.stand_in(name));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(said) && !place.has_netns(), "{}", text(&output));
    }
    place.make_netns(&[]);
    let mut command = script("run");
    let output = command.args(["--netns", &place.netns]).env("GLASSTCP_BIN", place.stand_in("brief")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("exists already") && place.has_netns(), "{}", text(&output));
}

#[test]
fn a_signal_during_the_build_ends_it_at_once() {
    let Some(place) = Place::with_rights("a_signal_during_the_build_ends_it_at_once") else { return };
    place.executable("cargo", "#!/bin/sh\n[ \"$1\" = --version ] && echo cargo 99.0.0 && exit\nexec sleep 60\n");
    let mut command = script("run");
    let path = format!("{}:{}", place.directory.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).args(["--netns", &place.netns]);
    let mut running = Running::start(command, &place);
    running.wait_for("cargo build");
    thread::sleep(Duration::from_millis(200));
    running.signal("TERM", false);
    let code = running.end();
    assert_eq!(code, Some(143), "{}", running.text());
    assert!(!place.has_netns());
}

#[test]
fn the_program_runs_as_the_user_who_called_sudo() {
    let Some(place) = Place::with_rights("the_program_runs_as_the_user_who_called_sudo") else { return };
    fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o777)).unwrap();
    let program = place.executable("brief", &STAND_IN.replace("echo \"$*\"", "echo \"uid $(id -u) $*\""));
    // Where the node is for root alone, another one stands in its place, in a mount namespace that only this command sees.
    let open = "node=$1 && shift && mknod \"$node\" c 10 200 && chmod 666 \"$node\" && mount --bind \"$node\" /dev/net/tun && exec \"$@\"";
    let run = script("run");
    let mut command = Command::new("unshare");
    command.current_dir(root()).stdin(Stdio::null()).args(["-m", "sh", "-c", open, "sh"]);
    command.arg(place.directory.join("tun")).arg(run.get_program()).args(["--netns", &place.netns]);
    command.env("SUDO_UID", "65534").env("SUDO_GID", "65534").env("GLASSTCP_BIN", program);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", text(&output));
    assert!(place.log("brief").starts_with("uid 65534 "), "{}", place.log("brief"));
}

#[test]
fn the_tun_alone_comes_and_goes() {
    let Some(place) = Place::with_rights("the_tun_alone_comes_and_goes") else { return };
    let netns = place.netns.as_str();
    let up = script("tun-up").args(["--netns", netns, "--mtu", "1400"]).output().unwrap();
    assert!(up.status.success(), "{}", text(&up));
    assert!(text(&up).contains("glasstcp serve --tun glass0 --addr 10.0.0.2/24"), "{}", text(&up));
    let link = text(&bash(&format!("ip -n {netns} link show dev glass0")));
    assert!(link.contains("mtu 1400") && link.contains("qlen 10000"), "{link}");
    let other = script("tun-down").args(["--netns", netns, "--name", "lo"]).output().unwrap();
    assert!(!other.status.success() && text(&other).contains("is no TUN"), "{}", text(&other));
    let down = script("tun-down").args(["--netns", netns]).output().unwrap();
    assert!(down.status.success() && !place.has_netns(), "{}", text(&down));
    let again = script("tun-down").args(["--netns", netns]).output().unwrap();
    assert!(again.status.success() && text(&again).contains("nothing to do"), "{}", text(&again));
}

#[test]
fn a_capture_shows_its_command() {
    let capture = |arguments: &[&str]| {
        let output = script("capture").arg("--dry-run").args(arguments).output().unwrap();
        text(&output).replace("sudo ", "")
    };
    if !bash("command -v tcpdump && command -v tshark").status.success() {
        return skip("a_capture_shows_its_command", "tcpdump or tshark is not there");
    }
    let filtered = capture(&["--netns", "n1", "a.pcap", "--", "tcp", "port", "80"]);
    assert!(filtered.starts_with("ip netns exec n1 tcpdump -i glass0 "), "{filtered}");
    assert!(filtered.ends_with(" tcp port 80 >a.pcap\n"), "{filtered}");
    assert_eq!(capture(&["--tshark", "--", "tcp", "port", "80"]), "tshark -i glass0 -n -l -f 'tcp port 80'\n");
}

#[test]
fn the_doctor_judges_line_by_line() {
    let output = script("doctor").output().unwrap();
    let said = text(&output);
    let lines: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).collect();
    assert!(lines.len() > 12, "{said}");
    let missing = lines.iter().filter(|line| line.starts_with("missing  ")).count();
    for line in lines {
        assert!(["ok       ", "warn     ", "missing  "].iter().any(|word| line.starts_with(word)), "{line}");
    }
    assert_eq!(output.status.code(), Some(i32::from(missing > 0)), "{said}");
}

#[test]
fn the_bench_refuses_what_it_cannot_do() {
    for arguments in [
        &["--only", "nobody"][..],
        &["--only", ""],
        &["--rounds", "0"],
        &["--seconds", "x"],
        &["--idle", "70000"],
        &["--cpus", "1"],
        &["--no-verify", "--verify-only"],
    ] {
        let output = script("bench").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
    }
}

/// Lets `scripts/bench-table.sh` work on values in a directory of the test.
fn bench_table(place: &Place, code: &str) -> String {
    let work = place.directory.display();
    let code = format!(
        "set -euo pipefail; ROOT=$PWD; source scripts/lib.sh; source scripts/bench-table.sh; WORK={work}; MESSAGES=2
        CONTENDERS=(plain kernel-veth smoltcp); touch \"$WORK\"/{{values,failures,notes,facts,medians}}; {code}"
    );
    let output = bash(&code);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_bench_shows_medians_and_ratios_and_failures_as_such() {
    let place = Place::new();
    let values = "for v in 9 5 7; do printf 'plain\\tin\\t%s\\n' $v; done >\"$WORK/values\"
        for v in 2 14 3.5 4.5; do printf 'kernel-veth\\tin\\t%s\\n' $v; done >>\"$WORK/values\"
        failure smoltcp in 'it \"broke\"' 2>/dev/null; failure smoltcp in 'it \"broke\"' 2>/dev/null
        printf 'CPU\\tsome one\\n' >\"$WORK/facts\"; medians >\"$WORK/medians\";";
    let page = bench_table(&place, &format!("{values} page"));
    let row = page.lines().find(|line| line.contains("Throughput in")).unwrap();
    assert_eq!(row, "| Throughput in, Gb/s | 7.00 (5.00–9.00) ×1.75 | 4.00 (2.00–14.00) ×1.00 | failed |");
    let missing = page.lines().find(|line| line.contains("Connections")).unwrap();
    assert_eq!(missing, "| Connections per second | n/a | n/a | failed |");
    assert!(page.contains("* CPU: some one\n") && page.contains("* smoltcp, in: it \"broke\" (2 times)"), "{page}");
    let json = bench_table(&place, "json");
    for part in [
        "{\"facts\": {\"CPU\": \"some one\"}",
        "\"reason\": \"it \\\"broke\\\"\"}",
        "{\"contender\": \"plain\", \"metric\": \"in\", \"median\": 7, \"min\": 5, \"max\": 9, \"rounds\": 3}",
    ] {
        assert!(json.contains(part), "no {part} in {json}");
    }
    let page = place.directory.join("doc.md");
    fs::write(&page, "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n").unwrap();
    bench_table(&place, &format!("echo new >\"$WORK/new\"; replace_between_markers {} \"$WORK/new\"", page.display()));
    let text = fs::read_to_string(&page).unwrap();
    assert_eq!(text, "before\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nafter\n");
}
