//! The client against a daemon made of a script: what it does with answers, with none, and with odd ones.

use std::path::PathBuf;

use rtc_client::{Client, ClientError, Places, frame, retry};
use rtc_core::api::{Answer, ApiError, Ask, Code, Edit, Hello, PROTOCOL, Reply, Request};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};

/// A daemon's end of the socket.
struct Daemon {
    listener: UnixListener,
    places: Places,
    _home: TempDir,
}

impl Daemon {
    fn listen() -> Self {
        let home = TempDir::new().unwrap();
        let mut places = Places::of_home(home.path()).unwrap();
        places.socket = home.path().join("socket");
        Self { listener: UnixListener::bind(&places.socket).unwrap(), places, _home: home }
    }

    /// Takes a connection and says hello.
    async fn accept(&self) -> Peer {
        let mut peer = Peer(self.listener.accept().await.unwrap().0);
        peer.hear::<Hello>().await.unwrap();
        peer.say(&Hello { protocol: PROTOCOL, agent: "rtcd 0.0.0".into(), pid: Some(7) }).await;
        peer
    }
}

struct Peer(UnixStream);

impl Peer {
    async fn hear<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        frame::read(&mut self.0).await.unwrap()
    }

    async fn say(&mut self, content: &impl serde::Serialize) {
        self.0.write_all(&frame::encode(content).unwrap()).await.unwrap();
    }

    async fn answer(&mut self, id: u64, more: bool, result: Result<Reply, ApiError>) {
        self.say(&Answer { id, more, result }).await;
    }
}

fn ticket(text: String) -> Result<Reply, ApiError> {
    Ok(Reply::Ticket { ticket: text })
}

#[tokio::test]
async fn many_questions_are_under_way_and_each_finds_its_own_answer() {
    const QUESTIONS: u64 = 2_000;
    let daemon = Daemon::listen();
    let serve = async {
        let mut peer = daemon.accept().await;
        let mut late = None;
        for _ in 0..QUESTIONS {
            let request: Request = peer.hear().await.unwrap();
            let Ask::AddPeer { address } = request.ask else { panic!("not asked") };
            // Every other answer comes before the one to the question before it.
            match late.take() {
                None => late = Some((request.id, address)),
                Some((id, before)) => {
                    peer.answer(request.id, false, ticket(address)).await;
                    peer.answer(id, false, ticket(before)).await;
                }
            }
        }
    };
    let ask = async {
        let client = Client::connect(&daemon.places).await.unwrap();
        assert_eq!(client.daemon().pid, Some(7));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..QUESTIONS {
            let client = client.clone();
            tasks.spawn(async move {
                let expected = ticket(number.to_string()).unwrap();
                let reply = client.ask(Ask::AddPeer { address: number.to_string() }).await.unwrap();
                assert_eq!(reply, expected);
            });
        }
        tasks.join_all().await;
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn several_answers_come_in_order_until_the_last() {
    let daemon = Daemon::listen();
    let serve = async {
        let mut peer = daemon.accept().await;
        let request: Request = peer.hear().await.unwrap();
        for part in 0..3 {
            peer.answer(request.id, part < 2, ticket(part.to_string())).await;
        }
        peer
    };
    let ask = async {
        let client = Client::connect(&daemon.places).await.unwrap();
        let mut replies = client.stream(Ask::Scene { room: None, at: None }).await.unwrap();
        for part in 0..3 {
            assert_eq!(replies.next().await.unwrap().unwrap(), ticket(part.to_string()).unwrap());
        }
        assert!(replies.next().await.is_none());
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_named() {
    let daemon = Daemon::listen();
    let serve = async {
        let mut peer = Peer(daemon.listener.accept().await.unwrap().0);
        peer.say(&Hello { protocol: 99, agent: "rtcd 9.9.9".into(), pid: Some(42) }).await;
    };
    let (error, ()) = tokio::join!(Client::connect(&daemon.places), serve);
    match error.unwrap_err() {
        ClientError::Version { agent, theirs: 99, pid: Some(42) } => assert_eq!(agent, "rtcd 9.9.9"),
        other => panic!("{other}"),
    }
    // Or it refuses in the place of a hello.
    let serve = async {
        let mut peer = Peer(daemon.listener.accept().await.unwrap().0);
        peer.answer(0, false, Err(ApiError::new(Code::Version, "speaks 99"))).await;
    };
    let (error, ()) = tokio::join!(Client::connect(&daemon.places), serve);
    assert!(matches!(error.unwrap_err(), ClientError::Refused(error) if error.code == Code::Version));
}

#[tokio::test]
async fn a_connection_that_breaks_tells_everybody_who_waits() {
    let daemon = Daemon::listen();
    let serve = async {
        let mut peer = daemon.accept().await;
        let request: Request = peer.hear().await.unwrap();
        // A frame that is none.
        peer.answer(request.id, false, ticket("first".into())).await;
        peer.0.write_all(&[0, 0, 0, 1, 0xff]).await.unwrap();
        peer
    };
    let ask = async {
        let client = Client::connect(&daemon.places).await.unwrap();
        let first = client.send(Ask::Status {}).await.unwrap();
        let second = client.send(Ask::Status {}).await.unwrap();
        assert!(first.one().await.is_ok());
        assert!(second.one().await.unwrap_err().is_lost());
        assert!(client.ask(Ask::Status {}).await.unwrap_err().is_lost());
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn a_mutation_that_was_lost_is_asked_again_as_the_same_one() {
    let daemon = Daemon::listen();
    let serve = async {
        let mut requests = Vec::new();
        for attempt in 0..2 {
            let mut peer = daemon.accept().await;
            let request: Request = peer.hear().await.unwrap();
            let Ask::Edit(edit) = request.ask else { panic!("not asked") };
            requests.push(edit.request.unwrap());
            if attempt == 1 {
                peer.answer(request.id, false, Ok(Reply::Done {})).await;
            }
        }
        assert_eq!(requests[0], requests[1]);
    };
    let ask = async {
        let mut client = Client::connect(&daemon.places).await.unwrap();
        let reply = retry::ask(&mut client, &daemon.places, Ask::Edit(Edit::default())).await.unwrap();
        assert_eq!(reply, Reply::Done {});
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn nobody_on_the_socket_is_no_daemon() {
    let daemon = Daemon::listen();
    let mut places = daemon.places.clone();
    places.socket = PathBuf::from("/nonexistent/socket");
    assert!(matches!(Client::connect(&places).await, Err(ClientError::NoDaemon { .. })));
    // A socket left behind by a daemon that was killed.
    let places = daemon.places.clone();
    drop(daemon.listener);
    assert!(matches!(Client::connect(&places).await, Err(ClientError::NoDaemon { .. })));
}

#[test]
fn programs_without_a_runtime_ask_and_stream() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = {
        let _inside = runtime.enter();
        Daemon::listen()
    };
    let places = daemon.places.clone();
    let served = runtime.spawn(async move {
        let mut peer = daemon.accept().await;
        for _ in 0..2 {
            let request: Request = peer.hear().await.unwrap();
            peer.answer(request.id, false, ticket("t".into())).await;
        }
    });
    let client = rtc_client::blocking::Client::connect(&places).unwrap();
    assert_eq!(client.ask(Ask::Rooms {}).unwrap(), ticket("t".into()).unwrap());
    assert_eq!(client.stream(Ask::Scene { room: None, at: None }).unwrap().count(), 1);
    runtime.block_on(served).unwrap();
}
