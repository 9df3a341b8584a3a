//! The same connection for programs without an async runtime.

use rtc_core::api::{Ask, Hello, Reply};
use tokio::runtime::{Builder, Runtime};

use crate::connection;
use crate::error::ClientError;
use crate::places::Places;

/// A connection to the daemon, for one thread.
#[derive(Debug)]
pub struct Client {
    // Declared first, so that it is dropped while its runtime still runs.
    client: connection::Client,
    runtime: Runtime,
}

/// The answers to one question, as they come.
#[derive(Debug)]
pub struct Replies<'client> {
    replies: connection::Replies,
    runtime: &'client Runtime,
}

impl Client {
    /// Connects to the daemon of these places.
    pub fn connect(places: &Places) -> Result<Self, ClientError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ClientError::Broken(error.to_string()))?;
        let client = runtime.block_on(connection::Client::connect(places))?;
        Ok(Self { client, runtime })
    }

    /// What the daemon said of itself.
    pub fn daemon(&self) -> &Hello {
        self.client.daemon()
    }

    /// Asks a question with one answer, and waits for it.
    pub fn ask(&self, ask: Ask) -> Result<Reply, ClientError> {
        self.runtime.block_on(self.client.ask(ask))
    }

    /// Asks a question with several answers, or with answers that go on.
    pub fn stream(&self, ask: Ask) -> Result<Replies<'_>, ClientError> {
        let replies = self.runtime.block_on(self.client.stream(ask))?;
        Ok(Replies { replies, runtime: &self.runtime })
    }
}

impl Iterator for Replies<'_> {
    type Item = Result<Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.runtime.block_on(self.replies.next())
    }
}
