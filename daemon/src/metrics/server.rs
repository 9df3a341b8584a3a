//! Answers `GET /metrics`, and nothing else, to few clients at a time: the newest come first, so nobody holds it up by saying nothing.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use super::{Metrics, Reading};

/// Clients that are answered at once; one more takes the place of the oldest.
const CLIENTS_MAX: usize = 8;
/// Bytes of a request.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// How long a client may take to ask and to read.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(5);

/// Asks the hub what its rooms know.
pub type Question = oneshot::Sender<Reading>;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server(JoinHandle<()>);

/// The address of a setting: `127.0.0.1:9464`, or `9464` for that port of the loopback interface.
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    let port = text.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    port.or_else(|| text.parse().ok())
}

impl Server {
    /// Listens, and answers from then on; `hub` is asked before each answer.
    ///
    /// # Errors
    /// Where the address is taken or not this machine's.
    pub async fn start(
        address: SocketAddr,
        metrics: Metrics,
        hub: mpsc::Sender<Question>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        tracing::info!(address = %listener.local_addr()?, "metrics are served");
        Ok(Self(tokio::spawn(serve(listener, metrics, hub))))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, metrics: Metrics, hub: mpsc::Sender<Question>) {
    let mut clients: VecDeque<Client> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No more files: some client is about to go.
            clients.pop_front();
            tokio::task::yield_now().await;
            continue;
        };
        clients.retain(|client| !client.0.is_finished());
        if clients.len() >= CLIENTS_MAX {
            clients.pop_front();
        }
        let answer = answer(stream, metrics.clone(), hub.clone());
        let task = tokio::spawn(async { _ = timeout(CLIENT_TIME_MAX, answer).await });
        clients.push_back(Client(task.abort_handle()));
    }
}

/// A client's task, which ends when this is dropped.
struct Client(AbortHandle);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn answer(mut stream: TcpStream, metrics: Metrics, hub: mpsc::Sender<Question>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let response = match judge(&request) {
        Ok(()) => response("200 OK", &text(&metrics, &hub).await),
        Err(status) => response(status, ""),
    };
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

/// Whether a request is one for the numbers, by a program of this machine or one that was told its address: a web page that is
/// led here under a name of its own is none.
fn judge(request: &[u8]) -> Result<(), &'static str> {
    let text = String::from_utf8_lossy(request);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next());
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    });
    let is_address = |host: String| {
        let is_local = host.split(':').next() == Some("localhost");
        is_local || host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok()
    };
    match (method, path) {
        _ if !host.is_none_or(is_address) => Err("403 Forbidden"),
        (Some("GET"), Some("/metrics")) => Ok(()),
        (Some("GET"), _) => Err("404 Not Found"),
        _ => Err("405 Method Not Allowed"),
    }
}

async fn text(metrics: &Metrics, hub: &mpsc::Sender<Question>) -> String {
    let (question, reading) = oneshot::channel();
    // A hub that has much to do, or is going down, leaves what its rooms know as it was.
    if hub.try_send(question).is_ok()
        && let Ok(reading) = reading.await
    {
        metrics.read(&reading);
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics.registry())
        .expect("a string takes what is written to it");
    text
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn an_address_is_loopback_unless_it_says_otherwise() {
        assert_eq!(parse_address("9464"), "127.0.0.1:9464".parse().ok());
        assert_eq!(parse_address("[::1]:9464"), "[::1]:9464".parse().ok());
        assert_eq!(parse_address("10.0.0.1:9464"), "10.0.0.1:9464".parse().ok());
        assert!(["", "localhost", "99999", "127.0.0.1"].iter().all(|text| parse_address(text).is_none()));
    }

    #[test]
    fn only_the_numbers_are_told_and_to_no_page_of_the_web() {
        let cases = [
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n", Ok(())),
            ("GET /metrics HTTP/1.1\r\nhost: localhost:9464\r\n\r\n", Ok(())),
            ("GET /metrics HTTP/1.0\r\n\r\n", Ok(())),
            ("GET / HTTP/1.1\r\nHost: [::1]:9464\r\n\r\n", Err("404 Not Found")),
            ("POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", Err("405 Method Not Allowed")),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example:9464\r\n\r\n", Err("403 Forbidden")),
            ("\r\n\r\n", Err("405 Method Not Allowed")),
        ];
        for (request, judged) in cases {
            assert_eq!(judge(request.as_bytes()), judged, "{request:?}");
        }
    }

    #[tokio::test]
    async fn clients_that_say_nothing_hold_nobody_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hub, mut questions) = mpsc::channel::<Question>(1);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let _ = question.send(Reading { rooms: 7, ..Reading::default() });
            }
        });
        let server = Server(tokio::spawn(serve(listener, Metrics::default(), hub)));
        let mut silent = Vec::new();
        for _ in 0..3 * CLIENTS_MAX {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = ask(address, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\nrtc_rooms 7\n"), "{answer}");
        // The first of them had to go.
        assert_eq!(silent[0].read(&mut [0]).await.ok(), Some(0));
        drop(server);
    }

    #[tokio::test]
    async fn a_request_without_end_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hub, _questions) = mpsc::channel(1);
        let _server = Server(tokio::spawn(serve(listener, Metrics::default(), hub)));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut sent = 0;
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {
            sent += 1024;
            assert!(sent < 64 << 20, "somebody listens to all of it");
        }
    }
}
