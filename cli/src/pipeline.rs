//! Many commits under way at once, answered in order, each made once whatever happens to the connection.
//!
//! A connection that breaks is made again, and everything that was not answered is sent again, in order, with the same
//! request ids: what was done already is then answered, not done a second time.

use std::collections::VecDeque;
use std::time::Duration;

use rtc_client::{ClientError, Replies, retry};
use rtc_core::api::{Ask, Edit, Edited, Reply};

use crate::failure::Failure;
use crate::session::{self, Session};

/// Connections that may break in a row before an answer came.
const BREAKS_MAX: u32 = 3;

/// Commits that are not answered yet; each carries a mark of the caller's.
pub struct Pipeline<Mark> {
    window: VecDeque<Pending<Mark>>,
    under_way_max: usize,
    breaks: u32,
}

/// One commit that is not answered yet.
struct Pending<Mark> {
    mark: Mark,
    ask: Ask,
    /// None where it could not be sent; it is sent again when its turn comes.
    replies: Option<Replies>,
}

impl<Mark: Copy> Pipeline<Mark> {
    /// A pipeline that holds so many commits.
    pub fn new(under_way_max: usize) -> Self {
        Self { window: VecDeque::new(), under_way_max, breaks: 0 }
    }

    /// Whether no more can be sent before an answer was taken.
    pub fn is_full(&self) -> bool {
        self.window.len() >= self.under_way_max
    }

    /// Whether every commit was answered.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Sends a commit.
    pub async fn send(&mut self, mark: Mark, edit: Edit, session: &mut Session) -> Result<(), Failure> {
        let ask = retry::with_request_id(Ask::Edit(edit));
        let sent = session.client().await?.send(ask.clone()).await;
        let replies = unless_lost(sent)?;
        self.window.push_back(Pending { mark, ask, replies });
        Ok(())
    }

    /// What came back for the oldest commit, for [`Pipeline::settle`]; for ever nothing where there is none. Dropped
    /// before it is done, it loses nothing.
    pub async fn answer(&mut self, limit: Duration) -> Result<Edited, ClientError> {
        match self.window.front_mut() {
            Some(oldest) => session::within(limit, answer_from(oldest.replies.as_mut())).await,
            None => std::future::pending().await,
        }
    }

    /// Takes note of what came back for the oldest commit, and gives it out with its mark; or nothing where it was lost
    /// with its connection: then everything is sent again. That must not be dropped half-way: a later commit could
    /// overtake an earlier one.
    pub async fn settle(
        &mut self,
        answer: Result<Edited, ClientError>,
        session: &mut Session,
    ) -> Result<Option<(Mark, Result<Edited, ClientError>)>, Failure> {
        match &answer {
            Err(error) if error.is_lost() && self.breaks < BREAKS_MAX => {
                self.breaks += 1;
                self.send_again(session).await?;
                return Ok(None);
            }
            Ok(_) | Err(_) => self.breaks = 0,
        }
        Ok(self.window.pop_front().map(|oldest| (oldest.mark, answer)))
    }

    /// The answer to the oldest commit, with its mark; only of a pipeline that is not empty.
    pub async fn next(
        &mut self,
        session: &mut Session,
    ) -> Result<(Mark, Result<Edited, ClientError>), Failure> {
        loop {
            let answer = self.answer(session.globals.edit_timeout()).await;
            if let Some(settled) = self.settle(answer, session).await? {
                return Ok(settled);
            }
        }
    }

    async fn send_again(&mut self, session: &mut Session) -> Result<(), Failure> {
        let client = session.reconnect().await?;
        for pending in &mut self.window {
            pending.replies = unless_lost(client.send(pending.ask.clone()).await)?;
        }
        Ok(())
    }
}

fn unless_lost(sent: Result<Replies, ClientError>) -> Result<Option<Replies>, Failure> {
    match sent {
        Ok(replies) => Ok(Some(replies)),
        Err(error) if error.is_lost() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn answer_from(replies: Option<&mut Replies>) -> Result<Edited, ClientError> {
    let broken = || ClientError::Broken("it ended before the answer".to_owned());
    match replies.ok_or_else(broken)?.next().await {
        Some(Ok(Reply::Edited(edited))) => Ok(edited),
        Some(Ok(_)) => Err(ClientError::Unexpected("another kind of reply")),
        Some(Err(error)) => Err(error),
        None => Err(broken()),
    }
}
