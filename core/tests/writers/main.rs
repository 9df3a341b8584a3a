//! Texts and lists that several people write into (DESIGN §3, law 9): what they show, and that everybody sees the same.

mod list;
mod text;

use std::collections::BTreeMap;

use rtc_core::api::EditOp;
use rtc_core::clock::VersionVector;
use rtc_core::ground::Ground;
use rtc_core::id::{Actor, Dot, PeerKey};
use rtc_core::message::{Head, Message};
use rtc_core::naive;
use rtc_core::op::edit::{Commit, compile};
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::value::Value;

/// Somebody with a replica.
#[derive(Clone)]
struct Site {
    actor: Actor,
    clock: VersionVector,
    held: Vec<Message>,
}

/// Sites with their replicas beside them, for replicas cannot be cloned.
struct Room {
    sites: Vec<(Site, Replica)>,
    /// What is left of what all have forgotten.
    ground: Ground,
}

fn edit(otype: &str, value: Option<Value>, options: &[(&str, usize)]) -> EditOp {
    #[expect(clippy::cast_precision_loss, reason = "positions in tests are small")]
    let number = |number: usize| Value::number(number as f64).unwrap();
    EditOp {
        otype: otype.to_owned(),
        key: "n".to_owned(),
        path: Some("t".to_owned()).filter(|_| !otype.starts_with("node.")),
        value,
        options: options.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect(),
    }
}

fn meta(otype: &str, target: Dot) -> EditOp {
    let options = BTreeMap::from([("target".to_owned(), target.to_string().into())]);
    EditOp { otype: otype.to_owned(), options, ..EditOp::default() }
}

impl Room {
    /// Some sites that all know the node `n`.
    fn new(sites: u8) -> Self {
        let site = |key: u8| {
            let actor = Actor::new(PeerKey([key; 32]), 1);
            (Site { actor, clock: VersionVector::default(), held: Vec::new() }, Replica::new(Root::default()))
        };
        let mut room = Self { sites: (0..sites).map(site).collect(), ground: Ground::default() };
        room.commit(0, &[edit("node.insert", None, &[])]);
        room.sync();
        room
    }

    fn commit(&mut self, site: usize, edits: &[EditOp]) -> Dot {
        let (site, replica) = &mut self.sites[site];
        let (seq, lamport) = (site.clock.get(&site.actor) + 1, replica.lamport_max() + 1);
        let ops = compile(edits, replica, Commit { lamport, actor: site.actor, seq });
        let ops = ops.unwrap_or_else(|error| panic!("{edits:?}: {error}"));
        let others = site.clock.iter().filter(|(actor, _)| *actor != site.actor);
        let message = Message {
            actor: site.actor,
            seq,
            lamport,
            clock: others.map(|(actor, seq)| Head { actor, seq, link: [0; 16] }).collect(),
            time_ms: None,
            request: None,
            note: None,
            ops,
        };
        assert_eq!(Message::decode(site.actor, &message.encode()).as_ref(), Ok(&message));
        site.clock.raise(site.actor, seq);
        replica.apply(&message);
        assert_eq!(replica.ineffective(&message.dot()), [], "{edits:?}");
        site.held.push(message.clone());
        message.dot()
    }

    /// `to` hears everything `from` knows, in a causal order.
    fn hear(&mut self, from: usize, to: usize) {
        let news = self.sites[from].0.held.clone();
        let (site, replica) = &mut self.sites[to];
        for message in news {
            if replica.apply(&message) {
                site.clock.raise(message.actor, message.seq);
                site.held.push(message);
            }
        }
    }

    fn sync(&mut self) {
        for _ in 0..2 {
            for site in 0..self.sites.len() {
                self.hear(site, (site + 1) % self.sites.len());
            }
        }
    }

    /// All hear of everything, and keep nothing but the ground of that.
    fn forget(&mut self) {
        self.sync();
        self.ground = self.sites[0].1.ground().unwrap();
        for (_, replica) in &mut self.sites {
            assert_eq!(replica.ground().as_ref(), Ok(&self.ground));
            *replica = Replica::on(&self.ground, Root::default());
        }
    }

    fn value(&self, site: usize) -> Option<Value> {
        self.sites[site].1.value("n", "t")
    }

    /// Everybody hears of everything; what all show then, in every order of delivery tried.
    fn end(&mut self) -> Option<Value> {
        self.sync();
        let held = &self.sites[0].0.held;
        let expected = naive::fold_on(&self.ground, &Root::default(), held);
        for (_, replica) in &self.sites {
            assert_eq!(replica.image(), expected.scene);
            assert_eq!(replica.ineffective_ops(), expected.ineffective.len());
        }
        let mut reversed = Replica::on(&self.ground, Root::default());
        for message in held.iter().rev() {
            reversed.apply(message);
        }
        assert_eq!(reversed.image(), expected.scene);
        self.value(0)
    }
}
