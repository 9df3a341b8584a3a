//! Stands where the hub will: answers how the daemon is, and ends it.

use rtc_client::places::Places;
use rtc_core::api::{Answer, ApiError, Ask, Code, Reply, Status};

use crate::boot::House;
use crate::socket::{AGENT, SocketEvent};
use crate::store::StoreThread;

/// Serves until it is asked to stop, and gives the store back.
pub async fn hub(mut house: House) -> StoreThread {
    loop {
        let event = tokio::select! {
            event = house.clients.recv() => event,
            _ = house.stop.wait_for(|stop| *stop) => None,
        };
        let (caller, request) = match event {
            Some(SocketEvent::Call { caller, request }) => (caller, request),
            Some(SocketEvent::Gone { .. }) => continue,
            None => return house.store,
        };
        let stop = request.ask == Ask::Stop {};
        let result = match request.ask {
            Ask::Status {} => Ok(Reply::Status(Box::new(status(&house)))),
            Ask::Stop {} => Ok(Reply::Done {}),
            _ => Err(ApiError::new(Code::Internal, "this daemon holds no rooms")),
        };
        caller.answer(vec![Answer { id: request.id, more: false, result }]);
        if stop {
            return house.store;
        }
    }
}

fn status(house: &House) -> Status {
    let Places { data_dir, config_file, .. } = &house.places;
    let current = house.settings.borrow();
    Status {
        pid: std::process::id(),
        agent: AGENT.to_owned(),
        peer: house.identity.key(),
        uptime_ms: u64::try_from(house.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        listening: Vec::new(),
        mdns: current.settings.mdns,
        data_dir: data_dir.display().to_string(),
        config_file: config_file.display().to_string(),
        config_error: current.error.clone(),
        resident_bytes: crate::resident::bytes(),
        peers_connected: 0,
        rooms: Vec::new(),
    }
}
