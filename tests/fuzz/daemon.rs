//! The targets that only the daemon has: a client's session, the settings, and what its network module reads.

use std::path::Path;

use rtc_client::frame;
use rtc_core::api::{Answer, Ask, Hello, PROTOCOL, Reply, Request};
use rtc_core::canonical::Writer;
use rtc_daemon::config::Settings;
use rtc_daemon::net::readers;
use rtc_daemon::socket::{SessionId, SocketEvent, serve_one};
use tokio::sync::{mpsc, watch};

use crate::targets::{Row, Target};

/// All of them.
pub(crate) fn all() -> Vec<Target> {
    let targets: [Row; 5] = [
        ("session", session, sessions),
        ("config", config, configs),
        ("control", control, controls),
        ("pieces", pieces, streams),
        ("book", book, books),
    ];
    targets.map(|(name, run, seeds)| Target { name, run, seeds }).into()
}

/// All that a client sends until it hangs up: it is answered in whole frames, and nothing it has not asked.
fn session(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (events, mut calls) = mpsc::channel(8);
    let (_running, shutdown) = watch::channel(false);
    let mut written = Vec::new();
    let hub = async {
        let mut asked = 0;
        while let Some(SocketEvent::Call { caller, request }) = calls.recv().await {
            asked += 1;
            caller.answer(vec![Answer { id: request.id, more: false, result: Ok(Reply::Done {}) }]);
        }
        asked
    };
    let asked = runtime.block_on(async {
        tokio::join!(serve_one(SessionId(1), bytes, &mut written, events, shutdown), hub).1
    });
    let mut rest = written.as_slice();
    let mut answered = 0;
    let mut is_first = true;
    while let Some((length, more)) = rest.split_first_chunk::<4>() {
        let (content, more) =
            more.split_at(usize::try_from(u32::from_be_bytes(*length)).expect("it is short"));
        rest = more;
        if std::mem::take(&mut is_first) {
            frame::decode::<Hello>(content).expect("the first is a hello");
        } else {
            answered += usize::from(frame::decode::<Answer>(content).expect("an answer").result.is_ok());
        }
    }
    assert!(rest.is_empty() && answered <= asked, "{answered} answers to {asked} requests");
}

fn sessions() -> Vec<Vec<u8>> {
    let hello = frame::encode(&Hello { protocol: PROTOCOL, agent: "fuzz".into(), pid: None });
    let ask = |id| frame::encode(&Request { id, ask: Ask::Status {} });
    let frames = [hello, ask(1), ask(2), ask(2), ask(3)].map(|frame| frame.expect("it is short"));
    vec![frames.concat(), frames[..2].concat()]
}

fn config(bytes: &[u8]) {
    if let Err(error) = Settings::read(&String::from_utf8_lossy(bytes), Path::new("config.toml")) {
        assert!(error.to_string().starts_with("config.toml"), "it says where: {error}");
    }
}

fn configs() -> Vec<Vec<u8>> {
    let all = "listen = [\"/ip4/127.0.0.1/tcp/4001\"]\nmdns = false\nlog = \"info,rtc_daemon::net=debug\"\n";
    vec![all.into(), "# nothing\n".into()]
}

fn control(bytes: &[u8]) {
    let _ = readers::control(bytes);
}

fn controls() -> Vec<Vec<u8>> {
    let mut greeting = Writer::new();
    greeting.array(5).uint(1).bytes(&[1; 8]).bytes(&[2; 8]).text("rtcd 0.1.0");
    greeting.array(1).bytes(&[4, 192, 0, 2, 1, 6, 15, 161]);
    let mut chosen = Writer::new();
    chosen.array(2).uint(2).bytes(&[3; 8]);
    vec![greeting.finish(), chosen.finish()]
}

/// A stream gives the same frames in whatever portions it comes.
fn pieces(bytes: &[u8]) {
    let whole = readers::frames(bytes, bytes.len());
    for portion in [1, 2, 7] {
        assert_eq!(readers::frames(bytes, portion), whole, "in portions of {portion}");
    }
}

fn streams() -> Vec<Vec<u8>> {
    let pieces = [&[0, 0, 3, 1, 2, 3][..], &[0x81, 0, 2, 4, 5], &[2, 0, 1, 6], &[1, 0, 1, 7], &[1, 0, 0]];
    vec![pieces.concat()]
}

/// A book that was read and written is read as the same.
fn book(bytes: &[u8]) {
    if let Some(written) = readers::book(&String::from_utf8_lossy(bytes)) {
        assert_eq!(readers::book(&written), Some(written.clone()));
    }
}

fn books() -> Vec<Vec<u8>> {
    let peer = rtc_core::id::PeerKey([1; 32]);
    let book = format!(
        r#"{{"version":1,"peers":[{{"peer":"{peer}","source":"inbound","met_ms":5,"preferred":true,
        "addresses":[{{"address":"/ip4/192.0.2.1/tcp/4001","source":"inbound"}}]}}],
        "addresses":[{{"address":"/ip4/192.0.2.2/tcp/4001","source":"added"}}]}}"#
    );
    vec![book.into_bytes()]
}
