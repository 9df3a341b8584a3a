//! What members may do in a room, and the secret that is changed when one of them goes.

use rtc_core::api::{ApiError, Code, Govern, Says};
use rtc_core::founding::ROOM_NAME_BYTES_MAX;
use rtc_core::id::{PeerKey, RoomId};
use rtc_core::members::Role;
use rtc_core::room;
use rtc_core::switchboard::Input;
use rtc_core::ticket::Secret;

use crate::hub::Hub;

impl Hub {
    /// Lets a room know what is said of it; `token` comes back once that is on the disk.
    pub(super) fn say(&mut self, room: RoomId, token: u64, says: Says, request: String) {
        self.edited.insert(room);
        let govern = Govern { says: vec![says], request: Some(request), ..Govern::default() };
        self.input(Input::Room { room, input: room::Input::Govern { token, govern } });
    }

    /// Where somebody is removed, the same message gives the others another secret.
    pub(super) fn change_secret(&mut self, room: RoomId, says: &mut Vec<Says>) -> Result<(), ApiError> {
        let me = self.me;
        let removed = says.iter().filter_map(|says| match says {
            Says::MemberRemove { key } => Some(*key),
            Says::MemberRole { .. } | Says::RoomRename { .. } | Says::RoomSecret { .. } => None,
        });
        let removed: Vec<PeerKey> = removed.filter(|key| *key != me).collect();
        if removed.is_empty() {
            return Ok(());
        }
        let (mut secret, mut ephemeral) = ([0; 32], [0; 32]);
        for random in [&mut secret, &mut ephemeral] {
            getrandom::fill(random)
                .map_err(|error| ApiError::new(Code::Internal, format!("no randomness: {error}")))?;
        }
        let former = self.board.secrets(&room).to_vec();
        let Some(held) = self.board.room(&room) else { return Ok(()) };
        match held.rotation(&Secret(secret), &former, &removed, &ephemeral) {
            Ok(options) => says.push(Says::RoomSecret { options }),
            Err(error) => tracing::warn!(%room, "somebody is removed, and the secret stays: {error}"),
        }
        Ok(())
    }

    /// What a key may do in a room that is awake; nothing where it is no member, and in an open room.
    pub(super) fn role(&mut self, room: RoomId, key: &PeerKey) -> Option<Role> {
        self.board.room(&room)?.standing_of(key).role()
    }

    /// What this daemon may do in a room.
    pub(super) fn own_role(&mut self, room: RoomId) -> Option<Role> {
        let me = self.me;
        self.role(room, &me)
    }
}

/// Whether something can be called that.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    let says = if name.trim().is_empty() || name.chars().any(char::is_control) {
        "a name is a text of letters, and not an empty one".to_owned()
    } else if name.len() > ROOM_NAME_BYTES_MAX {
        format!("a name of {} bytes exceeds {ROOM_NAME_BYTES_MAX}", name.len())
    } else {
        return Ok(());
    };
    Err(ApiError::new(Code::BadArgument, says).with_hint("such as `lab`"))
}
