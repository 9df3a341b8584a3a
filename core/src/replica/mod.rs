//! stub
use crate::{message::Message, scene::*};
/// x
pub struct Replica {
    root: Root,
    m: Vec<Message>,
}
impl Replica {
    /// x
    pub fn new(root: Root) -> Self {
        Self { root, m: vec![] }
    }
    /// x
    pub fn apply(&mut self, m: &Message) -> bool {
        self.m.push(m.clone());
        true
    }
    /// x
    pub fn scene(&self) -> Scene {
        crate::naive::fold(&self.root, &self.m).scene
    }
}
