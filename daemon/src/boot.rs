//! Puts the daemon together, in the order in which things depend on each other, and takes it apart in reverse.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::os::unix::fs::DirBuilderExt;
use std::process::ExitCode;
use std::time::Instant;

use rtc_client::Places;
use rtc_client::places::PlaceError;
use rtc_core::chain::Keys;
use rtc_core::id::RoomId;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use crate::asleep::Asleep;
use crate::config::{ConfigError, Overrides, Reach, Settings};
use crate::hub::{self, Network};
use crate::identity::{Identity, IdentityError};
use crate::lock::{Lock, LockError};
use crate::logging::{self, LogControl};
use crate::metrics::{self, Metrics};
use crate::net::{self, Multiaddr, NetConfig, RelayLimits, TakenPort, WanConfig};
use crate::socket::{self, BindError, Listener, SocketEvent};
use crate::state::{State, StateError};
use crate::store::{self, Done, SqliteStore, StoreThread};
use crate::watch::{ConfigWatch, Current};

/// Questions that wait for the hub. When it is full, sessions stop reading.
const CALLS_QUEUED: usize = 256;
/// What the network reports and the hub has not heard. When it is full, peers are not read.
const NET_EVENTS_QUEUED: usize = 256;
/// Scrapes of metrics that wait for the hub; one more gets older numbers.
const QUESTIONS_QUEUED: usize = 8;
/// Threads that serve sockets: the hub is one task, and more of them only cost memory.
const WORKERS_MAX: usize = 4;
/// The name of the lock file in the data directory.
pub const DATA_LOCK: &str = "lock";

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no place for its files.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Another daemon has the data.
    #[error(transparent)]
    Data(LockError),
    /// Another daemon has the key, with other data.
    #[error("{0}: that one has a copy of this data; give each machine or home a daemon of its own")]
    Key(LockError),
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its own files cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// There is no key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no network.
    #[error(transparent)]
    Net(#[from] net::StartError),
    /// The numbers cannot be served there.
    #[error("cannot serve metrics at {address}: {error}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// There is no socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system refused what every process needs.
    #[error("cannot {what}: {error}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        error: io::Error,
    },
}

/// Everything the hub works with.
#[derive(Debug)]
pub struct House {
    /// Where things are.
    pub places: Places,
    /// What is remembered beside rooms.
    pub state: State,
    /// Who this daemon is.
    pub identity: Identity,
    /// The settings in force, and news of them.
    pub settings: watch::Receiver<Current>,
    /// The rooms there are. One that cannot be opened is shown with its reason, and does not keep the others away.
    pub rooms: Vec<(RoomId, OnDisk)>,
    /// The way to the disk.
    pub store: StoreThread,
    /// What became of what was sent there.
    pub done: mpsc::UnboundedReceiver<Done>,
    /// What clients ask.
    pub clients: mpsc::Receiver<SocketEvent>,
    /// True once the process is to end; whoever hears of that first says so.
    pub stop: watch::Sender<bool>,
    /// When it started.
    pub started: Instant,
    /// What is counted.
    pub metrics: Metrics,
    /// Who wants to know what rooms have counted.
    pub questions: mpsc::Receiver<metrics::Question>,
}

/// A room as it was found.
#[derive(Debug)]
pub enum OnDisk {
    /// It sleeps, and stays closed until somebody has use for it.
    Asleep(Box<Asleep>),
    /// Its journal, or why that cannot be opened.
    Open(anyhow::Result<Box<SqliteStore>>),
}

/// Runs the daemon until it is told to stop; `begin_log` is called once the data is ours, `ready` once clients are
/// answered.
pub fn run(
    places: &Places,
    overrides: &Overrides,
    begin_log: impl FnOnce(&Settings) -> io::Result<Option<LogControl>>,
    ready: impl FnOnce(),
) -> Result<ExitCode, StartError> {
    let started = Instant::now();
    harden();
    places.create()?;
    if let Some(dir) = places.config_file.parent() {
        // Only so that it can be watched; without it there are no settings, which is fine as well.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    }
    // Held until everything else is gone: whoever sees it free sees the daemon gone.
    let data = &places.data_dir;
    let _data = Lock::take(&data.join(DATA_LOCK), &data.display().to_string()).map_err(StartError::Data)?;
    let settings = Settings::load(&places.config_file, overrides)?;
    let log = begin_log(&settings).map_err(|error| StartError::System { what: "write the log", error })?;
    let state = State::open(data)?;
    let (signals, file, mut ready) = (Signals::listen()?, state.identity_file(), Some(ready));
    let process = Process { places, overrides, started, state, log, stop: signals.stop.clone() };
    loop {
        let identity = Identity::load_or_create(&file)?;
        let key = identity.key();
        let ended = process.live(identity, &mut ready)?;
        let has_new_key = Identity::read(&file).is_ok_and(|identity| identity.is_after(&key));
        if !has_new_key || *process.stop.borrow() {
            return Ok(ended);
        }
        tracing::info!("starts anew with a new key");
    }
}

/// What stays when the key gives way to another one.
struct Process<'a> {
    places: &'a Places,
    overrides: &'a Overrides,
    started: Instant,
    state: State,
    log: Option<LogControl>,
    /// See [`House::stop`].
    stop: watch::Sender<bool>,
}

impl Process<'_> {
    /// Runs the daemon with that key until it is told to stop, or gets another one.
    fn live(&self, identity: Identity, ready: &mut Option<impl FnOnce()>) -> Result<ExitCode, StartError> {
        let Self { places, overrides, state, .. } = self;
        let settings = Settings::load(&places.config_file, overrides)?;
        let _key = lock_key(places, &identity).map_err(StartError::Key)?;
        let rooms = open_rooms(state, &identity, settings.room_idle_s > 0)?;
        let (done_tx, done) = mpsc::unbounded_channel();
        let store = store::thread::spawn(done_tx)
            .map_err(|error| StartError::System { what: "start the store's thread", error })?;
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(WORKERS_MAX);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .map_err(|error| StartError::System { what: "start the runtime", error })?;
        runtime.block_on(async {
            let config = ConfigWatch::start(&places.config_file, settings, (*overrides).clone());
            let net_config = net_config(places, state, &identity, &config.current().borrow().settings)?;
            let (net_tx, net_events) = mpsc::channel(NET_EVENTS_QUEUED);
            let (net_handle, net) = net::start(net_config, net_tx).await?;
            let listener = Listener::bind(&places.socket).await?;
            let (clients_tx, clients) = mpsc::channel(CALLS_QUEUED);
            let (questions_tx, questions) = mpsc::channel(QUESTIONS_QUEUED);
            let address = metrics::parse_address(&config.current().borrow().settings.metrics);
            let numbers = Metrics::default();
            let _server = match address {
                Some(address) => {
                    let server = metrics::Server::start(address, numbers.clone(), questions_tx).await;
                    Some(server.map_err(|error| StartError::Metrics { address, error })?)
                }
                None => None,
            };
            let house = House {
                places: (*places).clone(),
                state: state.clone(),
                identity,
                settings: config.current(),
                rooms,
                store,
                done,
                clients,
                stop: self.stop.clone(),
                started: self.started,
                metrics: numbers,
                questions,
            };
            let follow_log = tokio::spawn(follow_log(self.log.clone(), config.current()));
            let (end_clients, clients_end) = watch::channel(false);
            let clients = tokio::spawn(socket::serve(listener, clients_tx, clients_end));
            // The one place where the hub begins; it ends when it was asked to, and gives the store back.
            let (opened_tx, opened) = oneshot::channel();
            let network = Network { handle: net_handle, events: net_events };
            let hub = tokio::spawn(hub::run(house, network, opened_tx));
            // A hub that died says so below.
            let _ = opened.await;
            ready.take().into_iter().for_each(|ready| ready());
            tracing::info!(socket = %places.socket.display(), "ready");
            let hub = hub.await;
            net.shutdown().await;
            // What was answered is still written.
            end_clients.send_replace(true);
            let _ = clients.await;
            follow_log.abort();
            match hub {
                Ok(store) => {
                    tokio::task::block_in_place(|| store.shutdown());
                    tracing::info!("stopped");
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => {
                    tracing::error!(%error, "the hub died; what was durable stays so");
                    Ok(ExitCode::FAILURE)
                }
            }
        })
    }
}
/// The process's files are its user's alone, and its memory, which holds a key, is never written to one.
fn harden() {
    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::stat::{Mode, umask};
    umask(Mode::from_bits_truncate(0o077));
    // Where the system refuses, core dumps were off already, or are its owner's decision.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// A second daemon with the same key, in a copied data directory, would give one number to two messages.
fn lock_key(places: &Places, identity: &Identity) -> Result<Option<Lock>, LockError> {
    let Some(dir) = &places.volatile_dir else {
        return Ok(None);
    };
    let path = dir.join(format!("{}.lock", identity.key()));
    Lock::take(&path, &format!("the key of {}", places.data_dir.display())).map(Some)
}

/// Where to listen is what the settings say; a port they leave open is the one of the last run, if it is free.
fn net_config(
    places: &Places,
    state: &State,
    identity: &Identity,
    settings: &Settings,
) -> Result<NetConfig, StartError> {
    let port = state.last_port().unwrap_or_else(|error| {
        // Peers find the new one: a daemon that does not start helps nobody.
        tracing::warn!("another port is taken: {error}");
        None
    });
    let port = port.unwrap_or(0);
    let open = settings.listen.iter().any(|address| address.ends_with("/tcp/0"));
    let addresses = settings.listen.iter().map(|address| match address.strip_suffix("/tcp/0") {
        Some(host) => format!("{host}/tcp/{port}").parse::<Multiaddr>(),
        None => address.parse(),
    });
    let listen = addresses.collect::<Result<_, _>>().map_err(|error| ConfigError::Value {
        origin: "the settings".to_owned(),
        key: "listen",
        value: settings.listen.join(", "),
        message: error.to_string(),
    })?;
    Ok(NetConfig {
        seed: *identity.seed(),
        listen,
        taken_port: if open { TakenPort::TakeAnother } else { TakenPort::Refuse },
        mdns: settings.mdns,
        rendezvous_dir: Some(places.user_runtime_dir.join("rendezvous")),
        book: state.address_book_file(),
        wan: wan_config(settings)?,
    })
}

/// What the settings want beyond the LAN.
fn wan_config(settings: &Settings) -> Result<Option<WanConfig>, ConfigError> {
    let relays = settings.relays.iter().map(|relay| {
        relay.parse().map_err(|error: net::MultiaddrError| ConfigError::Value {
            origin: "the settings".to_owned(),
            key: "relays",
            value: relay.clone(),
            message: error.to_string(),
        })
    });
    let relays = relays.collect::<Result<_, _>>()?;
    Ok(match settings.network {
        Reach::Lan => None,
        Reach::Wan => Some(WanConfig { relays, relay: settings.relay.then(RelayLimits::default) }),
    })
}

fn open_rooms(
    state: &State,
    identity: &Identity,
    may_sleep: bool,
) -> Result<Vec<(RoomId, OnDisk)>, StateError> {
    let (mut rooms, former) = (Vec::new(), identity.keys().former());
    for room in state.rooms()? {
        let dir = state.room_dir(&room);
        // One that knows this machine by a former key is to hear of the new one.
        let is_up_to_date = |asleep: &Asleep| {
            let mut former = former.iter();
            former.all(|key| asleep.gist.standing_of(key).role().is_none())
        };
        if let Some(asleep) = Asleep::read(&dir, room).filter(|_| may_sleep).filter(is_up_to_date) {
            rooms.push((room, OnDisk::Asleep(Box::new(asleep))));
            continue;
        }
        let file = state.room_file(&room)?;
        let open = || {
            // What does not count now must not count later.
            Asleep::forget(&dir)?;
            Ok(Box::new(SqliteStore::open(&file, room)?))
        };
        rooms.push((room, OnDisk::Open(open())));
    }
    Ok(rooms)
}

/// Keeps what is logged in step with the settings.
async fn follow_log(log: Option<LogControl>, mut settings: watch::Receiver<Current>) {
    while let (Some(log), Ok(())) = (&log, settings.changed().await) {
        log.set(&settings.borrow_and_update().settings.log);
    }
}

/// Hears for as long as the process lives what asks it to end. On a thread of its own: what comes between two keys counts as well.
struct Signals {
    stop: watch::Sender<bool>,
    _thread: Runtime,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let failed = |error| StartError::System { what: "listen to signals", error };
        let thread = Builder::new_multi_thread().worker_threads(1).enable_io().build().map_err(failed)?;
        let stop = watch::Sender::new(false);
        let asked = {
            let _here = thread.enter();
            Asked::listen().map_err(failed)?
        };
        thread.spawn(asked.pass_on(stop.clone()));
        Ok(Self { stop, _thread: thread })
    }
}

/// What asks a process to end.
struct Asked {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Asked {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The first one stops the daemon in order, a second one at once.
    async fn pass_on(mut self, stop: watch::Sender<bool>) {
        self.next().await;
        stop.send_replace(true);
        self.next().await;
        tracing::warn!("stopped at once, as asked twice");
        std::process::exit(1);
    }

    async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hangup.recv() => "SIGHUP",
        };
        tracing::info!(signal = name, "asked to stop");
    }
}

/// Begins a log on stderr, in colour where that is a terminal.
pub fn log_to_stderr(settings: &Settings) -> io::Result<Option<LogControl>> {
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    // In a process that logs already, its log is the log.
    Ok(logging::start(&settings.log, colours).ok())
}
