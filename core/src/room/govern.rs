//! What is said here of the room and its members: made into a message where our role suffices, refused where not (DESIGN §6).
//!
//! What others say is judged by the replica. Here a user learns at once, and who could do it instead.

use crate::api::{ApiError, Code, Govern, Says};
use crate::founding::Founding;
use crate::id::PeerKey;
use crate::members::{Charter, Member, Role};
use crate::op::room::{GRANT, REMOVE, RENAME, SECRET};
use crate::op::{Op, Options};
use crate::room::commit::{Commit, What};
use crate::room::{Output, Room};
use crate::sync::Now;
use crate::value::Value;

/// Letters of a key by which people know it.
const KEY_LETTERS: usize = 8;

impl Room {
    /// Whether a key may do here what takes that role: in an open room everybody may edit, and nobody is an owner.
    pub fn may(&self, key: &PeerKey, need: Role) -> bool {
        match self.replica.root().founder {
            Some(_) => self.replica.role(key) >= Some(need),
            None => need < Role::Owner,
        }
    }

    /// How the room is called, as far as is known.
    pub fn name(&self) -> Option<String> {
        self.replica.charter().name.or_else(|| self.founding().map(|Founding { name, .. }| name.clone()))
    }

    pub(super) fn govern(&mut self, token: u64, govern: Govern, now: Now, out: &mut Vec<Output>) {
        let Govern { room: _, says, request, wait, timeout_ms } = govern;
        let ops = says.iter().map(Says::op).collect();
        let what = What::Rules { says, ops };
        let commit = Commit { token, what, note: None, request, wait, timeout_ms };
        if let Err(error) = self.commit(commit, now, out) {
            out.push(Output::Reply { token, result: Err(error) });
        }
    }

    /// Whether this user may edit.
    pub(super) fn check_editor(&self) -> Result<(), ApiError> {
        let me = self.keys.public();
        if self.may(&me, Role::Editor) {
            return Ok(());
        }
        let charter = self.replica.charter();
        let what = match charter.role(&me) {
            Some(role) => format!("a {role} of this room reads and does not edit"),
            None if charter.members.iter().any(|member| member.key != me && member.has_key(&me)) => {
                "the key of this machine gave way to another one, so it may do nothing any more here"
                    .to_owned()
            }
            None => "you are no member of this room, so you cannot edit it".to_owned(),
        };
        Err(not_allowed(what, owners(&charter, |_| true)))
    }

    /// Whether this user may say all that.
    pub(super) fn check_says(&self, says: &[Says]) -> Result<(), ApiError> {
        if self.replica.root().founder.is_none() {
            return Err(ApiError::new(Code::NotAllowed, "the room is open: whoever has its ticket edits it")
                .with_hint("only rooms that were founded with members have some"));
        }
        if says.is_empty() {
            return Err(ApiError::new(Code::BadArgument, "there is nothing to say of the room"));
        }
        let (me, charter) = (self.keys.public(), self.replica.charter());
        says.iter().try_for_each(|says| check(says, &me, &charter))
    }
}

impl Says {
    /// The op that says it.
    fn op(&self) -> Op {
        let (code, value, options) = match self {
            Self::MemberRole { key, role, name } => {
                let role = ("role".to_owned(), role.word().into());
                let name = name.iter().map(|name| ("name".to_owned(), name.as_str().into()));
                (GRANT, key.to_string().into(), name.chain([role]).collect())
            }
            Self::MemberRemove { key } => (REMOVE, key.to_string().into(), Options::new()),
            Self::RoomRename { name } => (RENAME, name.as_str().into(), Options::new()),
            Self::RoomSecret { options } => (SECRET, Value::Null, options.clone()),
        };
        Op { code, key: String::new(), path: None, value, options }
    }
}

/// Whether a user may say that.
fn check(says: &Says, me: &PeerKey, charter: &Charter) -> Result<(), ApiError> {
    says.op().resolve().map_err(|error| ApiError::new(Code::BadArgument, error.to_string()))?;
    let own = charter.role(me);
    match says {
        Says::MemberRole { key, role, .. } if key == me => {
            if own < Some(*role) {
                let text = match own {
                    Some(own) => format!("you are a {own} here, and nobody makes himself more"),
                    None => "you are no member of this room".to_owned(),
                };
                return Err(not_allowed(text, owners(charter, |_| true)));
            }
            if *role < Role::Owner { check_last(me, charter) } else { Ok(()) }
        }
        Says::MemberRemove { key } if charter.role(key).is_none() => {
            Err(ApiError::new(Code::NotFound, format!("{} is no member of this room", short(key)))
                .with_hint("`rtc members` lists who is"))
        }
        Says::MemberRemove { key } if key == me => check_last(me, charter),
        Says::MemberRole { key, .. } | Says::MemberRemove { key } => {
            check_owner(own, charter)?;
            let place = |key: &PeerKey| charter.members.iter().position(|member| member.key == *key);
            if place(key).is_none_or(|junior| place(me) < Some(junior)) {
                return Ok(());
            }
            let text = format!("{} joined the room before you, so you have no power over it", short(key));
            Err(not_allowed(text, owners(charter, |owner| place(&owner.key) < place(key))))
        }
        Says::RoomRename { .. } | Says::RoomSecret { .. } => check_owner(own, charter),
    }
}

fn check_owner(own: Option<Role>, charter: &Charter) -> Result<(), ApiError> {
    let text = match own {
        Some(Role::Owner) => return Ok(()),
        Some(role) => format!("only an owner of the room may do that, and you are a {role}"),
        None => "only an owner of the room may do that, and you are no member".to_owned(),
    };
    Err(not_allowed(text, owners(charter, |_| true)))
}

/// An owner who goes leaves another one behind.
fn check_last(me: &PeerKey, charter: &Charter) -> Result<(), ApiError> {
    let is_other = |member: &Member| member.key != *me && member.role == Some(Role::Owner);
    if charter.role(me) != Some(Role::Owner) || charter.members.iter().any(is_other) {
        return Ok(());
    }
    Err(ApiError::new(Code::NotAllowed, "you are the only owner of this room")
        .with_hint("make another member an owner first: `rtc members role KEY owner`"))
}

/// The owners of whom that is true, in order of seniority.
fn owners(charter: &Charter, is_wanted: impl Fn(&Member) -> bool) -> Vec<String> {
    let owners = charter.members.iter().filter(|member| member.role == Some(Role::Owner));
    let wanted = owners.filter(|member| is_wanted(member));
    wanted
        .map(|Member { key, name, .. }| format!("{name} ({})", short(key)).trim_start().to_owned())
        .collect()
}

fn not_allowed(what: String, who_could: Vec<String>) -> ApiError {
    let error = ApiError::new(Code::NotAllowed, what);
    match &who_could[..] {
        [] => error,
        [one] => error.with_hint(format!("{one} could change that")),
        several => error.with_hint(format!("one of these could change that: {}", several.join(", "))),
    }
}

fn short(key: &PeerKey) -> String {
    key.to_string().chars().take(KEY_LETTERS).collect()
}
