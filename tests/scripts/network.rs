//! What scripts make of a network, and that they remove it, however they end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::place::*;

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

/// Whoever starts the tests with nohup wants SIGHUP ignored, and so it is by the scripts.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 != 0
}

#[test]
fn a_signal_closes_the_program_and_removes_everything() {
    let Some(place) = Place::with_rights("a_signal_closes_the_program_and_removes_everything") else { return };
    for (signal, group) in [("INT", true), ("INT", false), ("TERM", false), ("HUP", false)] {
        if signal == "HUP" && ignores_hangup() {
            continue;
        }
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
