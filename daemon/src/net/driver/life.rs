//! How the swarm's task lives: to the end, and over a panic, which costs the connections and nothing else.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, info};

use super::{Choices, Driver, Inputs};
use crate::net::limits::{REBUILD_AFTER, SHUTDOWN_TIMEOUT};
use crate::net::link::LinkEnd;
use crate::net::{LinkId, NetEvent, start, swarm};

impl Driver {
    /// Works until stopped, then ends what it began, `helpers` included.
    pub(crate) async fn run(mut self, mut inputs: Inputs, helpers: JoinSet<()>) {
        // What it left half done is put away by `begin_anew`.
        while let Err(panic) = AssertUnwindSafe(self.work(&mut inputs)).catch_unwind().await {
            error!("the network failed, and begins anew: {}", said(&*panic));
            if !self.begin_anew(&mut inputs).await {
                break;
            }
        }
        self.shut_down(helpers).await;
    }

    /// Ends all links, tells the hub so, and goes on with a new swarm, the book, and what was asked meanwhile. Returns whether there is
    /// anything to go on with.
    async fn begin_anew(&mut self, inputs: &mut Inputs) -> bool {
        self.tasks.shutdown().await;
        for (link, _) in self.links.drain() {
            // Also of links that it has not heard of, or heard the end of: it takes no notice of these.
            let down = NetEvent::Down { link, reason: "the network failed, and begins anew".to_owned() };
            if self.outputs.events.send(down).await.is_err() {
                return false;
            }
        }
        // Whatever it was may happen at once again.
        tokio::select! {
            _ = &mut inputs.stopped => return false,
            () = tokio::time::sleep(REBUILD_AFTER) => {}
        }
        let (Ok(swarm), Ok(incarnation)) =
            (swarm::build(&self.keys, self.hearing.wan.as_ref()), start::random())
        else {
            error!("there is no network any more: no key or no randomness; restart the daemon");
            return false;
        };
        let mdns = swarm::is_mdns_on(&self.swarm);
        let now = Instant::now();
        (self.swarm, self.incarnation) = (swarm, incarnation);
        self.connections.clear();
        self.choices = Choices::new(self.us);
        self.dialer.begin_anew(u64::from_ne_bytes(incarnation), now);
        swarm::prefer_known(&mut self.swarm, self.dialer.preferred());
        self.hearing.listeners.all_closed(now);
        self.hearing.relays.begin_anew();
        self.dialer.give_relays(self.hearing.relays.all(), now);
        self.outputs.listening.send_replace(Vec::new());
        self.set_mdns(mdns);
        info!("the network begins anew");
        true
    }

    /// Tells the hub what a link's own task could not any more, and takes that for the link's end.
    pub(super) fn tell_failed(&mut self, link: LinkId, reason: String) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let events = self.outputs.events.clone();
        let tell = async move {
            let _ = events.send(NetEvent::Down { link, reason: reason.clone() }).await;
            LinkEnd { link, reason }
        };
        state.task = self.tasks.spawn(tell).id();
    }

    async fn shut_down(mut self, mut helpers: JoinSet<()>) {
        for link in self.links.values_mut() {
            link.end("the daemon is stopping");
        }
        let links = async { while self.tasks.join_next().await.is_some() {} };
        let links_ended = timeout(SHUTDOWN_TIMEOUT, links).await.is_ok();
        self.outputs.book.send_replace(self.dialer.book_json());
        // Helpers end when what they hear from does; the rest of the swarm and the links go with it.
        drop(self);
        let helpers = async { while helpers.join_next().await.is_some() {} };
        let helpers_ended = timeout(SHUTDOWN_TIMEOUT, helpers).await.is_ok();
        debug!(links_ended, helpers_ended, "the network is down");
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it does not say why")
}
