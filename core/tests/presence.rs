//! Who is here and what is drafted, in rooms on virtual time: told in time, to everybody, no more than may be, and never kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use rtc_core::api::{Change, Code, Edit, EditOp, Event, Shown};
use rtc_core::chain::{Ed25519, Keys};
use rtc_core::clock::VersionVector;
use rtc_core::founding::{Access, Founding};
use rtc_core::id::{PeerKey, Session};
use rtc_core::limits::{SHOW_BURST_MAX, SHOW_PERIOD_MS, SHOW_RATE_MAX, SHOWN_SESSIONS_MAX};
use rtc_core::presence::{Part, Show};
use rtc_core::room::{Input, Opening, Output, Room};
use rtc_core::sim::Random;
use rtc_core::sync::{LinkId, Now, RoomFrame};
use rtc_core::value::Value;

const ME: Session = Session([1; 8]);

/// A room, and what it was heard to say.
struct Member {
    room: Room,
    now: Now,
    frames: Vec<RoomFrame>,
    events: Vec<Event>,
    refused: usize,
    replies: Vec<Result<rtc_core::api::Edited, rtc_core::api::ApiError>>,
}

impl Member {
    fn new(seed: u8) -> Self {
        let founding = Founding {
            owner: PeerKey([0; 32]),
            nonce: [0; 16],
            name: "test".into(),
            time_ms: 0,
            access: Access::Open,
        };
        let mut room = Room::open(Opening {
            room: founding.room(),
            founding: Some(founding),
            keys: Arc::new(Ed25519::from_seed(&[seed; 32])),
            epoch_fresh: u64::from(seed),
            epoch_proof: None,
        });
        room.set_watched(true);
        room.set_shows_watched(true);
        let now = Now { monotonic_us: 1_000_000, wall_ms: 0 };
        let (frames, events, replies) = (Vec::new(), Vec::new(), Vec::new());
        Self { room, now, frames, events, refused: 0, replies }
    }

    fn give(&mut self, input: Input) {
        let mut out = Vec::new();
        self.room.handle(input, self.now, &mut out);
        for output in out {
            match output {
                Output::Send { link: LinkId(1), frame, .. } => self.frames.push(frame),
                Output::Event(event) => self.events.push(*event),
                Output::Refused { .. } => self.refused += 1,
                Output::Reply { result, .. } => self.replies.push(result),
                Output::Store { batch, .. } => self.give(Input::Committed { batch }),
                _ => {}
            }
        }
    }

    fn meet(&mut self, link: u64, key: u8) {
        self.give(Input::PeerUp { link: LinkId(link), peer: key_of(key) });
        self.hear(link, [RoomFrame::Vector { held: VersionVector::default(), runs_taken: 0, exact: true }]);
    }

    fn hear(&mut self, link: u64, frames: impl IntoIterator<Item = RoomFrame>) {
        for frame in frames {
            self.give(Input::Frame { link: LinkId(link), frame });
        }
    }

    fn show(&mut self, session: Session, show: Show) {
        self.give(Input::Show { session, show });
    }

    /// Lets time pass, waking the room whenever it wants to be.
    fn pass(&mut self, ms: u64) {
        let end_us = self.now.after_ms(ms);
        let mut wakes = 0;
        while let Some(at_us) = self.room.wake_at().filter(|at_us| *at_us <= end_us) {
            wakes += 1;
            assert!(wakes <= 10 + 2 * ms, "it wakes in vain");
            self.now.monotonic_us = at_us.max(self.now.monotonic_us);
            self.give(Input::Wake);
        }
        self.now.monotonic_us = end_us;
    }

    /// What was said of what is shown since somebody last asked.
    fn said(&mut self) -> Vec<RoomFrame> {
        let said = std::mem::take(&mut self.frames).into_iter();
        said.filter(|frame| matches!(frame, RoomFrame::Show { .. })).collect()
    }

    /// What is shown, as far as it does not depend on when it was heard.
    fn shown(&self) -> Vec<Shown> {
        let shown = self.room.shown(self.now).into_iter();
        shown.map(|shown| Shown { since_ms: 0, idle_ms: 0, ..shown }).collect()
    }
}

fn key_of(seed: u8) -> PeerKey {
    Ed25519::from_seed(&[seed; 32]).public()
}

fn name(text: &str) -> Show {
    Show::Presence([("name".to_owned(), text.into())].into())
}

fn add(x: f64) -> EditOp {
    let (otype, key, path) = ("number.add".into(), "cube".into(), Some("x".into()));
    EditOp { otype, key, path, value: Value::number(x), ..EditOp::default() }
}

fn insert() -> EditOp {
    EditOp { otype: "node.insert".into(), key: "cube".into(), ..EditOp::default() }
}

fn commit(member: &mut Member, ops: Vec<EditOp>) {
    member.give(Input::Edit { token: 1, edit: Edit { ops, ..Edit::default() } });
    member.give(Input::Flush);
}

fn stage(member: &mut Member, session: Session, edits: Vec<EditOp>) {
    let show = member.room.staged(session, edits, false).expect("it can be staged");
    member.show(session, show);
}

#[test]
fn what_is_shown_is_there_until_its_session_or_its_connection_ends() {
    let (mut a, mut b) = (Member::new(1), Member::new(2));
    a.show(ME, name("Ann"));
    a.meet(1, 2);
    b.meet(1, 1);
    b.hear(1, a.said());
    let [ann] = &b.shown()[..] else { panic!("somebody is here") };
    assert_eq!((ann.session, ann.peer, ann.own), (ME, key_of(1), false));
    assert_eq!(ann.fields["name"], "Ann".into());
    assert!(a.shown()[0].own);
    a.give(Input::SessionGone { session: ME });
    b.hear(1, a.said());
    assert_eq!((a.shown(), b.shown()), (vec![], vec![]));
    a.show(ME, name("Ann again"));
    b.hear(1, a.said());
    assert_eq!(b.shown().len(), 1);
    b.events.clear();
    b.give(Input::PeerDown { link: LinkId(1) });
    assert_eq!(b.shown(), []);
    let fields = BTreeMap::new();
    assert_eq!(b.events, [Event::Presence { session: ME, peer: key_of(1), fields }]);
}

#[test]
fn who_is_connected_twice_is_here_once_and_until_the_last_of_both() {
    let (mut a, mut b) = (Member::new(1), Member::new(2));
    a.show(ME, name("Ann"));
    a.meet(1, 2);
    let said = a.said();
    for link in [1, 2] {
        b.meet(link, 1);
        b.hear(link, said.clone());
    }
    assert_eq!(b.shown().len(), 1);
    b.events.clear();
    b.give(Input::PeerDown { link: LinkId(1) });
    assert_eq!((b.shown().len(), b.events.len()), (1, 0));
    b.give(Input::PeerDown { link: LinkId(2) });
    assert_eq!((b.shown().len(), b.events.len()), (0, 1));
}

#[test]
fn of_many_changes_the_last_is_told_and_no_more_than_thirty_a_second() {
    let mut a = Member::new(1);
    a.meet(1, 2);
    a.said();
    let seconds = 3;
    for n in 0..seconds * 1000 {
        a.show(ME, name(&n.to_string()));
        a.pass(1);
    }
    a.pass(2 * SHOW_PERIOD_MS);
    let said = a.said();
    let most = usize::try_from(seconds * 1000 / SHOW_PERIOD_MS + 2).expect("it is small");
    assert!((most - 10..=most).contains(&said.len()), "{} frames, {most} may be", said.len());
    let Some(RoomFrame::Show { content, .. }) = said.last() else { panic!("something was said") };
    assert_eq!(Show::decode(Part::Presence, content), Ok(name(&(seconds * 1000 - 1).to_string())));
    let before = a.events.len();
    a.give(Input::PeerDown { link: LinkId(1) });
    assert_eq!((a.room.wake_at(), a.events.len()), (None, before), "at rest nothing wakes");
}

#[test]
fn whatever_order_and_however_often_it_comes_the_same_is_shown() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut a = Member::new(1);
        a.meet(1, 2);
        for _ in 0..random.below(30) {
            let session = Session([u8::try_from(random.below(4)).unwrap(); 8]);
            match random.below(4) {
                0 => a.give(Input::SessionGone { session }),
                1 => a.show(session, Show::Draft(vec![add(1.0); random.index(5)])),
                _ => a.show(session, name(&random.below(9).to_string())),
            }
            a.pass(random.below(60));
        }
        a.pass(100);
        let said = a.said();
        let shown = |frames: Vec<RoomFrame>| {
            let mut b = Member::new(2);
            b.meet(1, 1);
            b.hear(1, frames);
            b.shown()
        };
        let own = a.shown().into_iter().map(|shown| Shown { own: false, ..shown }).collect::<Vec<_>>();
        assert_eq!(shown(said.clone()), own, "seed {seed}");
        let mut mixed: Vec<RoomFrame> = said.iter().chain(&said).cloned().collect();
        for at in (1..mixed.len()).rev() {
            mixed.swap(at, random.index(at + 1));
        }
        assert_eq!(shown(mixed), own, "seed {seed}");
    }
}

#[test]
fn a_flood_is_dropped_and_counted_and_touches_nobody_else() {
    let mut b = Member::new(2);
    b.meet(1, 1);
    b.meet(2, 3);
    let frame = |n: u64, content: Vec<u8>| RoomFrame::Show {
        session: Session(n.to_be_bytes()),
        seq: n,
        part: Part::Presence,
        content,
    };
    b.hear(2, [frame(1, name("honest").encode())]);
    b.hear(1, (0..100_000).map(|n| frame(n, name("flood").encode())));
    let sessions = SHOWN_SESSIONS_MAX + 1;
    assert_eq!((b.shown().len(), b.refused), (sessions, 100_000 - SHOWN_SESSIONS_MAX));
    b.pass(10_000);
    b.refused = 0;
    b.hear(1, (0..100_000).map(|n| frame(0, name(&n.to_string()).encode())));
    assert!(b.refused > 100_000 - 5 * usize::try_from(SHOW_BURST_MAX).unwrap());
    b.pass(10_000);
    b.refused = 0;
    b.hear(1, [frame(0, vec![0xff]), frame(0, vec![0; 1_000_000])]);
    assert_eq!(b.refused, 2);
    b.hear(2, [frame(3, name("still").encode())]);
    let still = b.shown().into_iter().filter(|shown| shown.peer == key_of(3)).count();
    assert_eq!((still, b.shown().len()), (2, sessions + 1));
}

#[test]
fn what_many_sessions_show_is_told_as_fast_as_peers_take_it_and_all_of_it() {
    let (mut a, mut b) = (Member::new(1), Member::new(2));
    let session = |n: usize| Session([u8::try_from(n).unwrap(); 8]);
    let large = |text: &str, n: usize| name(&format!("{}{n}", text.repeat(3000)));
    for n in 0..SHOWN_SESSIONS_MAX {
        a.show(session(n), large("x", n));
    }
    let error = a.room.check_show(session(99), &name("too many")).unwrap_err();
    assert_eq!(error.code, Code::Busy);
    assert!(error.message.contains(&format!("{SHOWN_SESSIONS_MAX} sessions")), "{error}");
    a.meet(1, 2);
    b.meet(1, 1);
    let began_us = a.now.monotonic_us;
    let mut frames = 0;
    for round in 0..30 {
        for n in 0..SHOWN_SESSIONS_MAX {
            a.show(session(n), large("y", round * 100 + n));
        }
        a.pass(40);
        b.now = a.now;
        let said = a.said();
        frames += said.len();
        b.hear(1, said);
    }
    a.pass(5_000);
    b.now = a.now;
    b.hear(1, a.said());
    assert_eq!(b.refused, 0, "what is told in time is taken");
    assert!(b.shown().iter().map(|shown| &shown.fields).eq(a.shown().iter().map(|shown| &shown.fields)));
    let cost = 3;
    let most = SHOWN_SESSIONS_MAX as u64 + (SHOW_BURST_MAX + SHOW_RATE_MAX * 30 * 40 / 1000) / cost + 1;
    assert!(frames as u64 <= most, "{frames} frames, {most} may be, since {began_us}");
}

#[test]
fn a_draft_becomes_one_message_and_ends_with_it() {
    let (mut a, mut b) = (Member::new(1), Member::new(2));
    a.meet(1, 2);
    b.meet(1, 1);
    commit(&mut a, vec![insert(), add(1.0)]);
    b.hear(1, std::mem::take(&mut a.frames));
    assert_eq!(b.room.messages(), 1);
    for _ in 0..200 {
        let show = a.room.staged(ME, vec![add(0.5)], a.room.draft(ME).len() == 10).expect("it can be staged");
        a.show(ME, show);
        a.pass(10);
    }
    a.pass(100);
    assert_eq!(a.room.messages(), 1, "previews are no messages");
    b.events.clear();
    b.hear(1, a.said());
    let Some(Event::Draft { edits, changes, .. }) = b.events.last() else { panic!("a draft is shown") };
    let shown = 1.0 + 0.5 * edits.len() as f64;
    let value = Value::number(shown);
    assert_eq!(
        changes[..],
        [Change::Property { key: "cube".into(), path: "x".into(), value: value.clone() }]
    );
    a.replies.clear();
    a.give(Input::Commit { token: 1, session: ME, edit: Edit::default() });
    assert!(matches!(a.replies[..], [Ok(_)]), "{:?}", a.replies);
    let [RoomFrame::Run { .. }, RoomFrame::Show { .. }] = &a.frames[..] else {
        panic!("first the message, then the end of what showed it: {:?}", a.frames)
    };
    assert_eq!((a.room.messages(), a.room.draft(ME).len(), a.shown().len()), (2, 0, 0));
    assert_eq!(a.room.replica().value("cube", "x"), value.clone());
    b.hear(1, std::mem::take(&mut a.frames));
    assert_eq!((b.shown().len(), b.room.replica().value("cube", "x")), (0, value));
    a.give(Input::Commit { token: 1, session: ME, edit: Edit::default() });
    assert_eq!(a.replies.last().unwrap().as_ref().unwrap_err().code, Code::NotFound);
}

#[test]
fn a_commit_that_is_refused_leaves_its_draft_and_one_asked_again_takes_no_other() {
    let mut a = Member::new(1);
    commit(&mut a, vec![insert()]);
    stage(&mut a, ME, vec![add(1.0)]);
    commit(&mut a, vec![EditOp { otype: "node.remove".into(), ..insert() }]);
    a.replies.clear();
    let edit = Edit { request: Some("once".into()), ..Edit::default() };
    a.give(Input::Commit { token: 1, session: ME, edit: edit.clone() });
    assert_eq!(a.replies.pop().unwrap().unwrap_err().code, Code::NotFound);
    assert_eq!(a.room.draft(ME).len(), 1);
    commit(&mut a, vec![insert()]);
    a.give(Input::Commit { token: 1, session: ME, edit: edit.clone() });
    assert_eq!(a.room.draft(ME).len(), 0);
    stage(&mut a, ME, vec![add(2.0)]);
    a.give(Input::Commit { token: 1, session: ME, edit });
    assert!(a.replies.pop().unwrap().unwrap().repeated);
    assert_eq!((a.room.draft(ME).len(), a.room.replica().value("cube", "x")), (1, Value::number(1.0)));
}

#[test]
fn what_could_not_be_sent_is_told_again() {
    let (mut a, mut b) = (Member::new(1), Member::new(2));
    a.meet(1, 2);
    b.meet(1, 1);
    a.show(ME, name("Ann"));
    a.said();
    let unshown = || Input::Unshown { link: LinkId(1), session: ME, part: Part::Presence };
    a.give(unshown());
    a.pass(1_000);
    let said = a.said();
    assert_eq!(said.len(), 1);
    b.hear(1, said);
    assert_eq!(b.shown().len(), 1);
    // Also that there is nothing any more.
    a.give(Input::SessionGone { session: ME });
    a.said();
    a.give(unshown());
    a.pass(1_000);
    b.hear(1, a.said());
    assert_eq!(b.shown().len(), 0);
    a.pass(10_000);
    assert_eq!(a.said(), [], "once");
}

#[test]
fn staging_refuses_what_a_commit_would() {
    let mut a = Member::new(1);
    commit(&mut a, vec![insert()]);
    let code = |a: &Member, edits| a.room.staged(ME, edits, false).unwrap_err().code;
    assert_eq!(code(&a, vec![EditOp { key: "gone".into(), ..add(1.0) }]), Code::NotFound);
    assert_eq!(code(&a, vec![EditOp { otype: "no.such".into(), ..add(1.0) }]), Code::UnknownOperation);
    assert_eq!(code(&a, vec![EditOp { otype: "meta.undo".into(), ..EditOp::default() }]), Code::BadArgument);
    assert_eq!(code(&a, vec![add(1.0); 257]), Code::TooLarge);
    stage(&mut a, ME, vec![add(1.0); 256]);
    assert_eq!(code(&a, vec![add(1.0)]), Code::TooLarge);
    let replaced = a.room.staged(ME, vec![add(1.0)], true).expect("there is room again");
    assert_eq!(replaced, Show::Draft(vec![add(1.0)]));
}
