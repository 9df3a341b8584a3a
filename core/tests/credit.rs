//! A backlog goes out as far as its receiver has given credit, and on when it gives more.

use std::sync::Arc;

use rtc_core::api::{Edit, EditOp, Wait};
use rtc_core::chain::Ed25519;
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::PeerKey;
use rtc_core::limits::CREDIT_BYTES;
use rtc_core::room::{Input, Opening, Output, Room};
use rtc_core::sim::Random;
use rtc_core::store::Record;
use rtc_core::sync::{LinkId, Now, RoomFrame, backlog};

const LINK: LinkId = LinkId(1);

/// A room and all that it has stored.
struct Sender {
    room: Room,
    disk: Vec<Record>,
}

impl Sender {
    /// Gives an input, answers what is read for it, and says how much backlog that made, in bytes of credit.
    fn cost(&mut self, input: Input) -> usize {
        let mut out = Vec::new();
        self.room.handle(input, Now::default(), &mut out);
        self.room.handle(Input::Flush, Now::default(), &mut out);
        let mut cost = 0;
        for output in out {
            match output {
                Output::Store { records, .. } => self.disk.extend(records),
                Output::Read { link, ranges } => {
                    let is_wanted = |record: &&Record| {
                        ranges.iter().any(|&(actor, first, last)| {
                            record.actor == actor && (first..=last).contains(&record.seq)
                        })
                    };
                    let records = self.disk.iter().filter(is_wanted).cloned().collect();
                    cost += self.cost(Input::Read { link, records });
                }
                Output::Send { frame: RoomFrame::Backlog { content }, .. } => cost += backlog::cost(&content),
                _ => {}
            }
        }
        cost
    }
}

#[test]
fn a_backlog_waits_for_credit() {
    let founding = Founding {
        owner: PeerKey([0; 32]),
        nonce: [0; 16],
        name: "test".into(),
        time_ms: 0,
        access: Access::Open,
    };
    let room = Room::open(Opening {
        room: founding.room(),
        founding: Some(founding),
        keys: Arc::new(Ed25519::from_seed(&[1; 32])),
        epoch_fresh: 1,
        epoch_proof: None,
    });
    let mut sender = Sender { room, disk: Vec::new() };
    let mut random = Random::new(1);
    for n in 0..200 {
        // Hard to pack.
        let text: String =
            (0..8_000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect();
        let op = EditOp {
            otype: "string.set".into(),
            key: "scene".into(),
            path: Some(format!("p{n}")),
            value: Some(text.as_str().into()),
            ..EditOp::default()
        };
        let edit = Edit { ops: vec![op], wait: Wait::Local, ..Edit::default() };
        sender.cost(Input::Edit { token: 1, edit });
    }
    sender.cost(Input::PeerUp { link: LINK, peer: PeerKey([9; 32]) });
    let hear = |sender: &mut Sender, frame| sender.cost(Input::Frame { link: LINK, frame });
    let vector = RoomFrame::Vector { held: VersionVector::default(), runs_taken: 0, exact: true };
    let first = hear(&mut sender, vector);
    // What is read at once may overdraw it.
    assert!((CREDIT_BYTES..3 * CREDIT_BYTES).contains(&first), "{first} bytes");
    let overdrawn = (first - CREDIT_BYTES) as u64;
    assert_eq!(hear(&mut sender, RoomFrame::Credit { bytes: overdrawn }), 0);
    let next = hear(&mut sender, RoomFrame::Credit { bytes: 1 });
    assert!(next > 0, "with credit it goes on");
    // More than there is at first is never given.
    let next = hear(&mut sender, RoomFrame::Credit { bytes: u64::MAX });
    assert!((1..3 * CREDIT_BYTES).contains(&next), "{next} bytes");
}
