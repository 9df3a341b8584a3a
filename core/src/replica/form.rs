//! The two forms of a replica: cold, as a snapshot has it, and warm, with its history at hand.

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::Engine;
use super::cold::Cold;
use super::index::{CellIx, NodeIx};
use super::node::NodeRecord;
use super::snapshot::{SnapshotError, Stretch};
use crate::api::{Change, Ineffective, Node};
use crate::branch::Branches;
use crate::clock::VersionVector;
use crate::ground::Ground;
use crate::id::{Dot, PeerKey, StateHash};
use crate::members::{Charter, Member, Role};
use crate::message::Message;
use crate::scene::{Root, Scene};
use crate::store::Rename;
use crate::value::Value;
use crate::view::MessageView;

/// One copy of a room.
///
/// Opened from a snapshot it is *cold*: it answers from what the snapshot says and takes in what that decides. Whatever
/// asks for more reads the history first, once, which costs what applying it costs; from then on it is *warm*, as one
/// that was never away. All that an [`Engine`] answers can be asked of it.
pub struct Replica {
    /// None once it is not needed any more.
    cold: Option<Box<Cold>>,
    warm: OnceLock<Engine>,
}

impl Deref for Replica {
    type Target = Engine;

    /// The engine. Reads the history if that has not happened yet.
    fn deref(&self) -> &Engine {
        self.warm.get_or_init(|| self.cold.as_deref().expect("a replica is cold or warm").thaw())
    }
}

impl From<Engine> for Replica {
    fn from(engine: Engine) -> Self {
        Self { cold: None, warm: engine.into() }
    }
}

impl Replica {
    /// The number of the node the scene begins with.
    pub(crate) const ROOT: NodeIx = NodeRecord::ROOT;

    /// A room nobody has written to yet.
    pub fn new(root: Root) -> Self {
        Engine::new(root).into()
    }

    /// The replica whose snapshot [`Engine::snapshot`] made. Costs a look at the bytes. An error means that they are damaged
    /// or another version's: the room is then to be opened from its messages.
    pub fn open(snapshot: Vec<u8>) -> Result<Self, SnapshotError> {
        Ok(Self { cold: Some(Box::new(Cold::open(snapshot, None)?)), warm: OnceLock::new() })
    }

    /// The replica whose snapshot [`Engine::snapshot_alone`] made, with the history that was kept elsewhere: every message of
    /// the snapshot, each actor's in order. Its bodies are looked at when something asks for them; that they are those of the
    /// messages is for who kept them to know.
    pub fn open_beside(snapshot: Vec<u8>, history: Arc<[Stretch]>) -> Result<Self, SnapshotError> {
        Ok(Self { cold: Some(Box::new(Cold::open(snapshot, Some(history))?)), warm: OnceLock::new() })
    }

    /// Whether nothing has asked for the history yet.
    pub fn is_cold(&self) -> bool {
        self.cold().is_some()
    }

    fn cold(&self) -> Option<&Cold> {
        self.cold.as_deref().filter(|_| self.warm.get().is_none())
    }

    fn cold_mut(&mut self) -> Option<&mut Cold> {
        match self.warm.get() {
            None => self.cold.as_deref_mut(),
            Some(_) => None,
        }
    }

    fn warm_mut(&mut self) -> &mut Engine {
        let _: &Engine = self;
        self.cold = None;
        self.warm.get_mut().expect("it was just made")
    }

    /// See [`Engine::apply`].
    pub fn apply(&mut self, message: &Message) -> bool {
        MessageView::with(message, |view| self.apply_view(view))
    }

    /// See [`Engine::apply_view`].
    pub fn apply_view(&mut self, message: &MessageView<'_>) -> bool {
        match self.cold_mut().and_then(|cold| cold.take_in(message)) {
            Some(is_new) => is_new,
            None => self.warm_mut().apply_view(message),
        }
    }

    /// See [`Engine::apply_all`].
    pub fn apply_all<'a>(&mut self, messages: impl IntoIterator<Item = &'a Message>) -> usize {
        let mut messages = messages.into_iter().peekable();
        let mut new = 0;
        while let Some(cold) = self.cold_mut()
            && let Some(message) = messages.peek()
        {
            let Some(is_new) = MessageView::with(message, |view| cold.take_in(view)) else { break };
            new += usize::from(is_new);
            messages.next();
        }
        if messages.peek().is_some() { new + self.warm_mut().apply_all(messages) } else { new }
    }

    /// See [`Engine::apply_views`].
    pub fn apply_views<'a>(
        &mut self,
        messages: impl IntoIterator<Item = impl Borrow<MessageView<'a>>>,
    ) -> usize {
        if self.cold_mut().is_none() {
            return self.warm_mut().apply_views(messages);
        }
        let mut messages = messages.into_iter().peekable();
        let mut new = 0;
        while let Some(cold) = self.cold_mut()
            && let Some(message) = messages.peek()
        {
            let Some(is_new) = cold.take_in(message.borrow()) else { break };
            new += usize::from(is_new);
            messages.next();
        }
        if messages.peek().is_some() { new + self.warm_mut().apply_views(messages) } else { new }
    }

    /// See [`Engine::take_changes`].
    pub fn take_changes(&mut self) -> Vec<Change> {
        match self.cold_mut() {
            Some(cold) => cold.take_changes(),
            None => self.warm_mut().take_changes(),
        }
    }

    /// See [`Engine::drop_changes`].
    pub fn drop_changes(&mut self) {
        match self.cold_mut() {
            Some(cold) => cold.drop_changes(),
            None => self.warm_mut().drop_changes(),
        }
    }

    /// See [`Engine::stand`].
    pub fn stand(&mut self, ground: &Ground) -> Vec<Message> {
        self.warm_mut().stand(ground)
    }

    /// See [`Engine::rename`].
    pub fn rename(&mut self, branches: &Branches, rename: Option<&Rename>) {
        // Mostly there are none, and no history is needed to know that.
        if !branches.is_empty() || rename.is_some() {
            self.warm_mut().rename(branches, rename);
        }
    }

    /// See [`Engine::at`].
    pub fn at(
        root: Root,
        version: &VersionVector,
        messages: Vec<Message>,
        goes_on: impl Fn() -> bool,
    ) -> Option<Self> {
        Engine::at(root, version, messages, goes_on).map(Self::from)
    }

    /// See [`Engine::at_on`].
    pub fn at_on(
        ground: &Ground,
        root: Root,
        version: &VersionVector,
        messages: Vec<Message>,
        goes_on: impl Fn() -> bool,
    ) -> Option<Self> {
        Engine::at_on(ground, root, version, messages, goes_on).map(Self::from)
    }

    /// See [`Engine::on`].
    pub fn on(ground: &Ground, root: Root) -> Self {
        Engine::on(ground, root).into()
    }

    /// See [`Engine::root`].
    pub fn root(&self) -> &Root {
        self.cold().map_or_else(|| Engine::root(self), Cold::root)
    }

    /// See [`Engine::charter`].
    pub fn charter(&self) -> Charter {
        self.cold().map_or_else(|| Engine::charter(self), |cold| cold.charter().clone())
    }

    /// See [`Engine::members`].
    pub fn members(&self) -> Vec<Member> {
        self.cold().map_or_else(|| Engine::members(self), |cold| cold.charter().members.clone())
    }

    /// See [`Engine::role`].
    pub fn role(&self, key: &PeerKey) -> Option<Role> {
        self.cold().map_or_else(|| Engine::role(self, key), |cold| cold.charter().role(key))
    }

    /// See [`Engine::keeper`].
    pub fn keeper(&self) -> Option<PeerKey> {
        let first = |charter: &Charter| charter.members.first().map(|member| member.key);
        self.cold().map_or_else(|| Engine::keeper(self), |cold| first(cold.charter()))
    }

    /// See [`Engine::found`].
    pub fn found(&mut self, founder: PeerKey) {
        if self.root().founder != Some(founder) {
            self.warm_mut().found(founder);
        }
    }

    /// See [`Engine::node`].
    pub fn node(&self, key: &str) -> Option<Node> {
        self.cold().map_or_else(|| Engine::node(self, key), |cold| cold.node(key))
    }

    /// See [`Engine::is_live`].
    pub fn is_live(&self, key: &str) -> bool {
        self.cold().map_or_else(|| Engine::is_live(self, key), |cold| cold.is_live(key))
    }

    /// See [`Engine::property_number`]. Where the history is not at hand nothing has a number.
    pub(crate) fn property_number(&self, key: &str, path: &str) -> Option<Option<CellIx>> {
        match self.cold() {
            Some(cold) => cold.is_live(key).then_some(None),
            None => Engine::property_number(self, key, path),
        }
    }

    /// See [`Engine::value`].
    pub fn value(&self, key: &str, path: &str) -> Option<Value> {
        self.cold().map_or_else(|| Engine::value(self, key, path), |cold| cold.value(key, path))
    }

    /// See [`Engine::scene`].
    pub fn scene(&self) -> impl Iterator<Item = Node> + '_ {
        let cold = self.cold();
        let warm = cold.is_none().then(|| Engine::scene(self));
        cold.map(Cold::scene).into_iter().flatten().chain(warm.into_iter().flatten())
    }

    /// See [`Engine::image`].
    pub fn image(&self) -> Scene {
        let Some(cold) = self.cold() else { return Engine::image(self) };
        Scene {
            root: cold.root().key.clone(),
            nodes: cold.live_nodes().map(|node| (node.key.clone(), node)).collect(),
            deleted: cold.deleted(),
        }
    }

    /// See [`Engine::nodes_live`].
    pub fn nodes_live(&self) -> usize {
        self.cold().map_or_else(|| Engine::nodes_live(self), Cold::nodes_live)
    }

    /// See [`Engine::deleted`].
    pub fn deleted(&self) -> Vec<String> {
        self.cold().map_or_else(|| Engine::deleted(self), Cold::deleted)
    }

    /// See [`Engine::state_hash`].
    pub fn state_hash(&self) -> StateHash {
        self.cold().map_or_else(|| Engine::state_hash(self), Cold::state_hash)
    }

    /// See [`Engine::ineffective_ops`].
    pub fn ineffective_ops(&self) -> usize {
        self.cold().map_or_else(|| Engine::ineffective_ops(self), Cold::ineffective_ops)
    }

    /// See [`Engine::ineffective`].
    pub fn ineffective(&self, dot: &Dot) -> Vec<Ineffective> {
        match self.cold().is_some_and(|cold| cold.is_since(dot) || !cold.contains(dot)) {
            true => Vec::new(),
            false => Engine::ineffective(self, dot),
        }
    }

    /// See [`Engine::contains`].
    pub fn contains(&self, dot: &Dot) -> bool {
        self.cold().map_or_else(|| Engine::contains(self, dot), |cold| cold.contains(dot))
    }

    /// See [`Engine::count`].
    pub fn count(&self) -> usize {
        self.cold().map_or_else(|| Engine::count(self), Cold::count)
    }

    /// See [`Engine::version_vector`].
    pub fn version_vector(&self) -> VersionVector {
        self.cold().map_or_else(|| Engine::version_vector(self), Cold::version_vector)
    }

    /// See [`Engine::lamport_max`].
    pub fn lamport_max(&self) -> u64 {
        self.cold().map_or_else(|| Engine::lamport_max(self), Cold::lamport_max)
    }

    /// See [`Engine::request`].
    pub fn request(&self, key: &PeerKey, request: &str) -> Option<Dot> {
        match self.cold().is_some_and(|cold| !cold.may_hold_request(key, request)) {
            true => None,
            false => Engine::request(self, key, request),
        }
    }
}
