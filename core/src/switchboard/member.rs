//! A room that is awake, and by which secrets a peer is known to belong to it.

use crate::id::PeerKey;
use crate::room::{Room, Standing};
use crate::seal::FORMER_SECRETS_MAX;
use crate::ticket::Secret;

/// A room, and what proves that we belong to it.
pub(super) struct Member {
    pub(super) room: Room,
    /// Never none; the current one first.
    pub(super) secrets: Vec<Secret>,
    /// How much was said of the room when its connections were last made to heed it.
    pub(super) rules: u64,
}

impl Member {
    /// By what we recognise a peer of those keys, its own first.
    pub(super) fn secrets_for(&self, keys: &[PeerKey]) -> Vec<Secret> {
        secrets_of(keys, |key| self.room.standing_of(key), &self.secrets)
    }

    /// Takes in a secret that is newer than all that are known. Returns false where it is known.
    pub(super) fn learn(&mut self, secret: Secret, former: Vec<Secret>) -> bool {
        if self.secrets.contains(&secret) {
            return false;
        }
        self.secrets.insert(0, secret);
        let unknown = former.into_iter().filter(|secret| !self.secrets.contains(secret));
        let unknown: Vec<Secret> = unknown.collect();
        self.secrets.extend(unknown);
        self.secrets.truncate(1 + FORMER_SECRETS_MAX);
        true
    }
}

/// Of a room's secrets those by which we recognise a peer of those keys, its own first. A member who was away knows a former one; who was
/// removed is no member, whatever he knows. Of whom the room says nothing stands to it as he did with a key before: his rotation has not
/// come here yet.
pub(super) fn secrets_of(
    keys: &[PeerKey],
    standing_of: impl Fn(&PeerKey) -> Standing,
    secrets: &[Secret],
) -> Vec<Secret> {
    let Some((key, former)) = keys.split_first() else { return Vec::new() };
    match standing_of(key) {
        Standing::Open => vec![secrets[0]],
        Standing::Member(_) => secrets.to_vec(),
        Standing::Removed => Vec::new(),
        Standing::Unknown => {
            let former: Vec<Standing> = former.iter().map(standing_of).collect();
            match former.iter().any(|standing| matches!(standing, Standing::Member(_))) {
                true => secrets.to_vec(),
                false if former.contains(&Standing::Removed) => Vec::new(),
                false => vec![secrets[0]],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Role;

    #[test]
    fn of_whom_nothing_is_known_his_former_keys_tell() {
        let secrets = [Secret([2; 32]), Secret([1; 32])];
        let [stranger, member, removed] = [1, 2, 3].map(|number| PeerKey([number; 32]));
        let standing_of = |key: &PeerKey| match key.0[0] {
            2 => Standing::Member(Role::Viewer),
            3 => Standing::Removed,
            _ => Standing::Unknown,
        };
        let known = |keys: &[PeerKey]| secrets_of(keys, standing_of, &secrets).len();
        assert_eq!([known(&[stranger]), known(&[member]), known(&[removed])], [1, 2, 0]);
        assert_eq!(known(&[stranger, removed, member]), 2, "the key between was known");
        assert_eq!(known(&[stranger, removed]), 0);
        assert_eq!(known(&[removed, member]), 0, "what is known of him comes first");
    }
}
