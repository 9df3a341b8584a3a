//! Asking again after a lost connection, so that an edit told, lost in a crash and told again is one edit.

use rtc_core::api::{Ask, Reply};

use crate::connection::Client;
use crate::error::ClientError;
use crate::places::Places;

/// Gives a mutation that has no request id a fresh one: asked again with it, it is done once.
pub fn with_request_id(mut ask: Ask) -> Ask {
    match &mut ask {
        Ask::Edit(edit) => edit.request.get_or_insert_with(fresh_request_id),
        Ask::Undo(undo) | Ask::Redo(undo) => undo.request.get_or_insert_with(fresh_request_id),
        Ask::Govern(govern) => govern.request.get_or_insert_with(fresh_request_id),
        Ask::Commit(commit) => commit.request.get_or_insert_with(fresh_request_id),
        Ask::Found { request, .. } => request.get_or_insert_with(fresh_request_id),
        Ask::Status {}
        | Ask::Peers {}
        | Ask::Rooms {}
        | Ask::Use { .. }
        | Ask::Leave { .. }
        | Ask::Members { .. }
        | Ask::Node { .. }
        | Ask::Value { .. }
        | Ask::Scene { .. }
        | Ask::Log { .. }
        | Ask::Blame { .. }
        | Ask::Trace { .. }
        | Ask::Watch { .. }
        | Ask::Unwatch { .. }
        | Ask::Present(_)
        | Ask::Who { .. }
        | Ask::Stage(_)
        | Ask::Cancel(_)
        | Ask::Invite(_)
        | Ask::Invites { .. }
        | Ask::RevokeInvite { .. }
        | Ask::Join { .. }
        | Ask::Compact(_)
        | Ask::AddPeer { .. }
        | Ask::Doctor { .. }
        | Ask::Backup { .. }
        | Ask::Restore { .. }
        | Ask::Verify { .. }
        | Ask::BackupIdentity { .. }
        | Ask::RestoreIdentity { .. }
        | Ask::RotateIdentity { .. }
        | Ask::Stop {} => return ask,
    };
    ask
}

/// A request id nobody else makes: 128 random bits in hex.
pub fn fresh_request_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness once it has booted");
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// Asks over `client`; where the connection breaks before the answer, connects again and asks the same once more. A
/// mutation carries the same request id both times. Leaves the connection that works in `client`.
pub async fn ask(client: &mut Client, places: &Places, ask: Ask) -> Result<Reply, ClientError> {
    let ask = with_request_id(ask);
    match client.ask(ask.clone()).await {
        Err(error) if error.is_lost() => {
            *client = Client::connect(places).await?;
            client.ask(ask).await
        }
        answered => answered,
    }
}
