//! One run of the program: its options, its output, and its connection to the daemon, made when first needed.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use rtc_client::{Client, ClientError, Places, Replies, retry};
use rtc_core::api::{Ask, Reply, RoomName, Status};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::globals::Globals;
use crate::launch::Launcher;
use crate::output::Output;

/// One run of the program.
pub struct Session {
    /// The options every command takes.
    pub globals: Globals,
    /// Where data goes.
    pub out: Output,
    /// How a daemon is started.
    pub launcher: Launcher,
    input: Option<Box<dyn BufRead + Send>>,
    places: Option<Places>,
    client: Option<Client>,
}

impl Session {
    /// A run with these options.
    pub fn new(globals: Globals, out: Output, launcher: Launcher) -> Self {
        Self { globals, out, launcher, input: None, places: None, client: None }
    }

    /// The same run with the daemon of these places instead of the environment's.
    #[must_use]
    pub fn at(mut self, places: Places) -> Self {
        self.places = Some(places);
        self
    }

    /// The same run with other input than the process's stdin.
    #[must_use]
    pub fn reading(mut self, input: impl BufRead + Send + 'static) -> Self {
        self.input = Some(Box::new(input));
        self
    }

    /// What is piped in.
    pub fn input(&mut self) -> Box<dyn BufRead + Send> {
        self.input.take().unwrap_or_else(|| Box::new(BufReader::new(std::io::stdin())))
    }

    /// The room the command is about.
    pub fn room(&self) -> RoomName {
        self.globals.room.clone()
    }

    /// Where the daemon's things are.
    pub fn places(&self) -> Result<Places, Failure> {
        let places = self.places.clone().map_or_else(Places::from_env, Ok);
        places.map_err(|error| {
            Failure::new(Exit::NoDaemon, error.to_string())
                .with_hint("set RTC_HOME to a directory of your own")
        })
    }

    /// The connection to the daemon, which is started where none runs.
    pub async fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = self.connect().await?;
        Ok(self.client.insert(client).clone())
    }

    /// Forgets a connection that broke, and makes another.
    pub async fn reconnect(&mut self) -> Result<Client, Failure> {
        self.client = None;
        self.client().await
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let places = self.places()?;
        let limit = self.globals.answer_timeout();
        match within(limit, Client::connect(&places)).await {
            Err(ClientError::NoDaemon { .. }) if !self.globals.no_autostart => {}
            connected => return Ok(connected?),
        }
        let started = self.launcher.autostart().await;
        match within(limit, Client::connect(&places)).await {
            Ok(client) => Ok(client),
            Err(error) => Err(started.err().unwrap_or_else(|| error.into())),
        }
    }

    /// Asks a question with one answer. A mutation that is lost with its connection is asked once more, as the same one.
    pub async fn ask(&mut self, ask: Ask) -> Result<Reply, Failure> {
        let limit = self.globals.answer_timeout();
        self.ask_within(ask, limit).await
    }

    /// Asks a question that may take as long as an edit.
    pub async fn ask_edit(&mut self, ask: Ask) -> Result<Reply, Failure> {
        let limit = self.globals.edit_timeout();
        self.ask_within(ask, limit).await
    }

    /// Asks a question that may take `limit`.
    pub async fn ask_within(&mut self, ask: Ask, limit: Duration) -> Result<Reply, Failure> {
        let ask = retry::with_request_id(ask);
        let client = self.client().await?;
        match within(limit, client.ask(ask.clone())).await {
            Err(error) if error.is_lost() => {
                let client = self.reconnect().await?;
                Ok(within(limit, client.ask(ask)).await?)
            }
            answered => Ok(answered?),
        }
    }

    /// Asks a question with several answers; [`Session::next`] takes them.
    pub async fn stream(&mut self, ask: Ask) -> Result<Replies, Failure> {
        Ok(self.client().await?.stream(ask).await?)
    }

    /// The next of several answers, each in time.
    pub async fn next(&self, replies: &mut Replies) -> Result<Option<Reply>, Failure> {
        let limit = self.globals.answer_timeout();
        let next =
            tokio::time::timeout(limit, replies.next()).await.map_err(|_| ClientError::Timeout(limit))?;
        Ok(next.transpose()?)
    }

    /// How the daemon is.
    pub async fn status(&mut self) -> Result<Box<Status>, Failure> {
        match self.ask(Ask::Status {}).await? {
            Reply::Status(status) => Ok(status),
            _ => Err(Failure::unexpected()),
        }
    }

    /// Says something to people, on stderr, unless a program listens.
    pub fn say(&self, text: impl std::fmt::Display) {
        if !self.globals.json {
            anstream::eprintln!("{text}");
        }
    }
}

/// What `answer` gives, or that it took longer than `limit`.
pub async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(ClientError::Timeout(limit)))
}
