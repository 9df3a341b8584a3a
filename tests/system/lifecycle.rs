//! Starting, stopping, and who may.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::home::{Home, eventually, is_running, signal};

#[test]
fn a_second_start_names_the_holder() {
    let home = Home::alone();
    home.start();
    let said = home.rtcd(&["start"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains(&home.pid().to_string()), "{said:?}");
}

#[test]
fn stop_returns_when_the_process_is_gone() {
    let home = Home::alone();
    home.start();
    let pid = home.pid();
    assert_eq!(home.rtcd(&["stop"]).code, 0);
    // Its data are free; its last thread may have a moment left.
    eventually("the daemon is gone", || !is_running(pid));
    assert_eq!(home.rtc(&["status"]).code, 3, "no daemon");
    assert_eq!(
        home.rtc(&["edit", "cube", "node.insert"]).code,
        3,
        "and none is started against the user's will"
    );
}

#[test]
fn sigterm_is_a_graceful_stop() {
    let home = Home::alone();
    home.start();
    home.ok(&["edit", "cube", "node.insert", "--wait", "local"]);
    let pid = home.pid();
    signal(pid, "TERM");
    eventually("the daemon is gone", || !is_running(pid));
    home.start();
    assert_eq!(home.rtc(&["get", "cube"]).code, 0, "what was accepted is durable");
}

#[test]
fn commands_start_the_daemon_and_keep_none_of_its_descriptors() {
    let home = Home::alone();
    std::fs::write(
        rtc_client::Places::of_home(home.path()).unwrap().config_file,
        "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nmdns = false\n",
    )
    .unwrap();
    // A shell waits for every writer of the pipe: with one left in the daemon this would hang.
    let began = Instant::now();
    let script = r#"out=$("$0" rooms --json 3>&1 4>&2) && printf '%s' "$out""#;
    let rtc = env!("CARGO_BIN_EXE_rtc");
    let said =
        home.bare_command("sh", &["-c", script, rtc]).stderr(Stdio::piped()).output().expect("sh runs");
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("rtc.rooms"), "{said:?}");
    assert!(began.elapsed() < Duration::from_secs(30));
    let pid = home.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let pipes = targets.filter(|target| target.to_string_lossy().starts_with("pipe:"));
    assert_eq!(pipes.count(), 0, "no pipe of the caller's is held");
}

#[test]
fn of_two_racing_starts_the_loser_uses_the_winner() {
    let home = Home::alone();
    std::fs::write(
        rtc_client::Places::of_home(home.path()).unwrap().config_file,
        "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nmdns = false\n",
    )
    .unwrap();
    let rtc = env!("CARGO_BIN_EXE_rtc");
    let spawn = |n: usize| {
        let mut command = home.bare_command(rtc, &["edit", &format!("node-{n}"), "node.insert"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("rtc runs")
    };
    let racers: Vec<_> = (0..4).map(spawn).collect();
    for racer in racers {
        let output = racer.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(home.messages(), 4);
}

#[test]
fn a_broken_config_file_is_named_and_the_old_settings_stay() {
    let home = Home::alone();
    let config = rtc_client::Places::of_home(home.path()).unwrap().config_file;
    std::fs::write(&config, "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nmdns = false\n").unwrap();
    let said = home.rtcd(&["start"]);
    assert_eq!(said.code, 0, "{said:?}");
    std::fs::write(&config, "mdns = maybe\n").unwrap();
    eventually("status names the error", || home.json(&["status"])["config_error"].is_string());
    assert_eq!(home.json(&["status"])["mdns"], false, "the old setting stays");
    std::fs::write(&config, "listen = [\"/ip4/127.0.0.1/tcp/0\"]\nmdns = true\n").unwrap();
    eventually("the new setting holds", || home.json(&["status"])["mdns"] == true);
    assert!(home.json(&["status"])["config_error"].is_null());
}

#[test]
fn who_asks_a_daemon_to_stop_that_starts_anew_with_another_key_is_heard() {
    let home = Home::alone();
    for by_signal in [true, false, true, false] {
        home.start();
        let (pid, file) = (home.pid(), home.path().join("data/identity"));
        let before = std::fs::read(&file).expect("a key");
        let mut rotating = home.command(&["identity", "rotate"]);
        let mut rotating =
            rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("rtc can be run");
        eventually("the key is another one", || std::fs::read(&file).expect("a key") != before);
        if by_signal {
            signal(pid, "TERM");
        } else {
            assert_eq!(home.rtcd(&["stop"]).code, 0);
        }
        eventually("the daemon is gone", || !is_running(pid));
        let _ = rotating.kill();
        rotating.wait().expect("it ends");
    }
}
