//! What sessions of others show: read, and folded beside a scene that must stay as it is.

use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::id::{Actor, RoomId};
use rtc_core::presence::{Part, Show};
use rtc_core::preview::Preview;
use rtc_core::replica::Replica;
use rtc_core::scene::Root;
use rtc_core::sim::Random;
use rtc_core::value::Value;

use super::{Choices, bounded};

/// A scene of a few nodes below each other, with a value of each kind.
fn scene() -> Replica {
    let mut author = Author::new(&RoomId([1; 32]), Actor::from_name("m"));
    let mut replica = Replica::new(Root::default());
    let value: Value =
        serde_json::from_str(r#"{"p":"text","size":1.5,"transform.q":["a","b"]}"#).expect("JSON");
    for (key, parent) in [("a", "scene"), ("b", "a"), ("c", "scene")] {
        let options = [("parent".to_owned(), parent.into())].into();
        let (otype, key, value) = ("node.insert".into(), key.into(), Some(value.clone()));
        let insert = EditOp { otype, key, path: None, value, options };
        author.commit(&[insert], About::default(), &mut replica, |_| {}).expect("it can be made");
    }
    replica
}

/// The first byte says which part of a session it is.
pub(super) fn show(bytes: &[u8]) {
    let Some((first, content)) = bytes.split_first() else { return };
    let part = if first % 2 == 0 { Part::Presence } else { Part::Draft };
    let Ok(show) = bounded(content, 0, |content| Show::decode(part, content)) else { return };
    assert_eq!(Show::decode(part, &show.encode()).as_ref(), Ok(&show));
    if let Show::Draft(edits) = show {
        let replica = scene();
        let hash = replica.state_hash();
        let preview = Preview::new(&replica, &edits);
        let nodes = preview.scene(&replica);
        assert_eq!(replica.state_hash(), hash, "the scene itself stays as it is");
        assert!(nodes.iter().all(|node| preview.node(&replica, &node.key).as_ref() == Some(node)));
    }
}

pub(super) fn shows() -> Vec<Vec<u8>> {
    let mut random = Random::new(3);
    let draft = |_| {
        let bytes: Vec<u8> = (0..200).map(|_| random.bytes::<1>()[0]).collect();
        let mut choices = Choices(&bytes);
        let edits = (0..4).map(|_| choices.edit()).collect();
        [vec![1], Show::Draft(edits).encode()].concat()
    };
    let drafts = (0..8).map(draft);
    let presence = Show::Presence([("name".to_owned(), "Ann".into())].into());
    drafts.chain([[vec![0], presence.encode()].concat()]).collect()
}
