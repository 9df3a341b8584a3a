//! Why a dial failed, for people and for who has to decide what follows.

use std::io;

use libp2p::core::transport::TransportError;
use libp2p::swarm::DialError;

use crate::net::address::split_peer;

/// A failed dial in a few words, for `rtc peers`.
pub(super) fn describe(error: &DialError) -> String {
    match error {
        DialError::Transport(errors) => match errors.first() {
            Some((address, error)) => format!("{}: {}", split_peer(address).0, innermost(error)),
            None => "no address could be dialled".into(),
        },
        DialError::WrongPeerId { address, .. } => {
            format!("{}: another peer answered", split_peer(address).0)
        }
        DialError::LocalPeerId { address } => format!("{}: that is ourselves", split_peer(address).0),
        DialError::Denied { .. } => "too many connections".into(),
        DialError::NoAddresses => "no address is known".into(),
        DialError::Aborted | DialError::DialPeerConditionFalse(_) => "the dial was given up".into(),
    }
}

/// The cause of a cause, where people can do something about it.
fn innermost(error: &TransportError<io::Error>) -> String {
    match error {
        TransportError::MultiaddrNotSupported(_) => "no address of a kind we dial".into(),
        TransportError::Other(error) => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(next) = next_cause(cause) {
                cause = next;
            }
            cause.to_string()
        }
    }
}

fn next_cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    // An io::Error made of another error shows that one's text as its own and skips it in its chain.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as _).or_else(|| error.source())
}

/// Whether nobody listens there.
pub(super) fn is_refused(error: &TransportError<io::Error>) -> bool {
    let TransportError::Other(error) = error else { return false };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            return true;
        }
        cause = next_cause(error);
    }
    false
}
