//! Forks: whatever order and however often signed messages come, they are named alike, nothing is lost, and what refers to a message
//! goes on to mean it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rtc_core::api::EditOp;
use rtc_core::author::{About, Author};
use rtc_core::branch::{Branches, Deriver, Known};
use rtc_core::chain::{Ed25519, Keys, Link};
use rtc_core::clock::VersionVector;
use rtc_core::fork::Fork;
use rtc_core::id::{Actor, Dot, RoomId};
use rtc_core::message::{Head, Message};
use rtc_core::naive::{self, Signed, branches};
use rtc_core::replica::Replica;
use rtc_core::scene::{Root, Scene};
use rtc_core::store::Record;
use rtc_core::sync::Run;
use rtc_core::value::Value;

use super::soak;

const ROOM: RoomId = RoomId([4; 32]);

/// A machine: an author, what it shows, and what it holds as it was signed.
struct Machine {
    author: Author,
    replica: Replica,
    held: Vec<Signed>,
}

fn keys(key: u8) -> Ed25519 {
    Ed25519::from_seed(&[key; 32])
}

impl Machine {
    fn new(key: u8) -> Self {
        let actor = Actor::new(keys(key).public(), 1);
        let author = Author::resume(actor, 0, Link::origin(&ROOM, &actor), 0);
        Self { author, replica: Replica::new(Root::default()), held: Vec::new() }
    }

    /// What resumes from a copy of its memory.
    fn twin(&self) -> Self {
        let mut replica = Replica::new(Root::default());
        self.held.iter().for_each(|signed| _ = replica.apply(&signed.message));
        Self { author: self.author.clone(), replica, held: self.held.clone() }
    }

    fn edit(&mut self, edit: EditOp) {
        let (before, mut made) = (self.author.link(), Vec::new());
        let about = About::default();
        // Some edits have nothing to work on, and become no message.
        let _ = self
            .author
            .commit(&[edit], about, &mut self.replica, |message| made.push(message.view().to_message()));
        let mut before = before;
        for message in made {
            let signed = Signed::new(before, message);
            before = signed.link;
            self.held.push(signed);
        }
    }

    /// Takes in what another one holds, as far as that continues what is held here.
    fn hear(&mut self, theirs: &[Signed]) {
        let mut heads: BTreeMap<Actor, (u64, Link)> = BTreeMap::new();
        let links = |held: &[Signed]| held.iter().map(|signed| signed.link).collect::<BTreeSet<_>>();
        let mut held = links(&self.held);
        for signed in &self.held {
            heads.insert(signed.message.actor, (signed.message.seq, signed.link));
        }
        let me = self.author.actor();
        for signed in theirs.iter().filter(|signed| signed.message.actor != me) {
            let message = &signed.message;
            let origin = (0, Link::origin(&ROOM, &message.actor));
            let head = *heads.get(&message.actor).unwrap_or(&origin);
            let knows = |head: &Head| held.iter().any(|link| link.short() == head.link);
            if head.1 == signed.before && message.clock.iter().all(knows) {
                heads.insert(message.actor, (message.seq, signed.link));
                held.insert(signed.link);
                self.replica.apply(message);
                let head = Head { actor: message.actor, seq: message.seq, link: signed.link.short() };
                self.author.hear(head, message.lamport);
                self.held.push(signed.clone());
            }
        }
    }
}

fn op(otype: &str, key: &str, path: &str, value: Value) -> EditOp {
    let path = (!path.is_empty()).then(|| path.to_owned());
    EditOp { otype: otype.into(), key: key.into(), path, value: Some(value), ..EditOp::default() }
}

fn text_insert(position: f64, text: &str) -> EditOp {
    let value =
        [("position".to_owned(), Value::number(position).unwrap()), ("value".to_owned(), text.into())];
    op("text.insert", "note", "body", Value::Map(value.into()))
}

fn text_delete(position: f64, length: f64) -> EditOp {
    let number = |number| Value::number(number).unwrap();
    let value = [("position".to_owned(), number(position)), ("length".to_owned(), number(length))];
    op("text.delete", "note", "body", Value::Map(value.into()))
}

/// What a step does: somebody edits, hears of another, or is copied with its memory.
fn act(machines: &mut Vec<Machine>, [what, who, whom, with]: [u8; 4]) {
    let count = machines.len();
    let (at, other) = (usize::from(who) % count, usize::from(whom) % count);
    let machine = &mut machines[at];
    let number = Value::number(f64::from(with)).unwrap();
    match what % 9 {
        0 => machine.edit(op("number.add", "note", "n", number)),
        1 | 2 => machine.edit(text_insert(f64::from(with % 5), &format!("{with:02x}"))),
        3 => machine.edit(text_delete(f64::from(with % 3), f64::from(1 + with % 4))),
        4 => {
            let own = machine.held.iter().map(|signed| signed.message.dot()).collect::<Vec<_>>();
            if let Some(target) = own.get(usize::from(with) % own.len().max(1)) {
                let options = [("target".to_owned(), target.to_string().into())].into();
                machine.edit(EditOp { otype: "meta.undo".into(), options, ..EditOp::default() });
            }
        }
        5 => {
            let beside = [["before", "after"][usize::from(with) % 2], &format!("lamp-{}", with % 3)];
            let options = [(beside[0].to_owned(), beside[1].into())].into();
            machine.edit(EditOp {
                options,
                ..op("node.insert", &format!("lamp-{}", whom % 3), "", Value::Null)
            });
        }
        6 | 7 => {
            let theirs = machines[other].held.clone();
            machines[at].hear(&theirs);
        }
        _ if count < 6 => {
            let twin = machine.twin();
            machines.push(twin);
        }
        _ => {}
    }
}

fn live(steps: &[[u8; 4]]) -> Vec<Machine> {
    let mut machines = vec![Machine::new(1), Machine::new(2)];
    machines[0].edit(op("node.insert", "note", "", Value::Null));
    machines[0].edit(op("text.init", "note", "body", "begin".into()));
    let theirs = machines[0].held.clone();
    machines[1].hear(&theirs);
    steps.iter().for_each(|step| act(&mut machines, *step));
    machines
}

fn all(machines: &[Machine]) -> Vec<Signed> {
    let mut all: Vec<Signed> = machines.iter().flat_map(|machine| machine.held.clone()).collect();
    all.sort_by_key(|signed| (signed.message.lamport, signed.message.actor, signed.link));
    all.dedup_by_key(|signed| signed.link);
    all
}

/// The proofs of all forks in a set: of three messages with one number each is shown beside another.
fn proofs(all: &[Signed]) -> Vec<Fork> {
    let mut after: BTreeMap<Link, Vec<&Signed>> = BTreeMap::new();
    all.iter().for_each(|signed| after.entry(signed.before).or_default().push(signed));
    let run = |signed: &Signed| {
        let Dot { actor, seq } = signed.message.dot();
        let keys = (1..=2).map(keys).find(|keys| keys.public() == actor.key()).unwrap();
        let bodies = [signed.message.encode()].into_iter().collect();
        Run { actor, first: seq, bodies, signature: keys.sign(&signed.link) }
    };
    let pairs = after.values().flat_map(|after| after.windows(2));
    let prove = |pair: &[&Signed]| Fork::prove(&ROOM, pair[0].before, [run(pair[0]), run(pair[1])], &keys(1));
    pairs.map(|pair| prove(pair).unwrap()).collect()
}

/// Every message as a record of a journal that knows the forks, in a causal order, and what is derived of it.
fn derived(all: &[Signed], known: &[Known], names: &BTreeMap<Link, Dot>) -> Vec<(Link, Message)> {
    let fact = Known::encode_all(known.iter());
    let branches = Branches::read(&fact).unwrap();
    assert_eq!(branches, Branches::of(known));
    let mut deriver = Deriver::new(branches, VersionVector::default());
    let record = |signed: &Signed| {
        let Dot { actor, seq } = names[&signed.link];
        Record { actor, seq, link: signed.link, body: signed.message.encode(), signature: None }
    };
    all.iter().map(|signed| (signed.link, deriver.derive(&record(signed)).unwrap())).collect()
}

/// How much of each actor's messages a message's author had seen.
fn seen(message: &Message) -> VersionVector {
    message.clock.iter().map(|head| (head.actor, head.seq)).chain([(message.actor, message.seq)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300 * soak(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_of_forks_are_named_alike_in_any_order_and_none_is_lost(steps in prop::collection::vec(any::<[u8; 4]>(), 1..60), order in prop::collection::vec(any::<u32>(), 1..32)) {
        let all = all(&live(&steps));
        let named = branches(&all);
        prop_assert_eq!(named.len(), all.len());
        let links: BTreeSet<Link> = named.iter().map(|(link, _)| *link).collect();
        prop_assert_eq!(links, all.iter().map(|signed| signed.link).collect());
        let dots: BTreeSet<Dot> = named.iter().map(|(_, message)| message.dot()).collect();
        prop_assert_eq!(dots.len(), all.len(), "one name, one message");
        let rank = |i: usize| order[i % order.len()].rotate_left(u32::try_from(i % 32).unwrap());
        let mut shuffled: Vec<(u32, &Signed)> = all.iter().enumerate().map(|(i, signed)| (rank(i), signed)).collect();
        shuffled.extend(all.iter().enumerate().step_by(3).map(|(i, signed)| (rank(i + 1), signed)));
        shuffled.sort_by_key(|(rank, _)| *rank);
        let shuffled: Vec<Signed> = shuffled.into_iter().map(|(_, signed)| signed.clone()).collect();
        prop_assert_eq!(&branches(&shuffled), &named);
        let named: Vec<Message> = named.into_iter().map(|(_, message)| message).collect();
        // Admissible, every one: no gaps, nothing before its past, lamports that follow from it.
        let by_dot: BTreeMap<Dot, &Message> = named.iter().map(|message| (message.dot(), message)).collect();
        for message in &named {
            let past = seen(message);
            let heads = past.iter().map(|(actor, seq)| Dot { actor, seq }).filter(|dot| *dot != message.dot());
            // The first of a branch names what it hangs on.
            let own = message.seq.checked_sub(1).and_then(|seq| by_dot.get(&Dot { seq, ..message.dot() }));
            let lamports: Vec<u64> = heads.map(|dot| by_dot[&dot]).chain(own.copied()).map(|message| message.lamport).collect();
            prop_assert_eq!(message.lamport, lamports.into_iter().max().unwrap_or(0) + 1);
        }
        let mut replica = Replica::new(Root::default());
        replica.apply_all(&named);
        super::check(&replica, &named);
    }

    #[test]
    fn a_journal_is_read_by_the_names_that_the_set_gives(steps in prop::collection::vec(any::<[u8; 4]>(), 1..60)) {
        let all = all(&live(&steps));
        let named = branches(&all);
        let names: BTreeMap<Link, Dot> = named.iter().map(|(link, message)| (*link, message.dot())).collect();
        let parent = |fork: &Fork| names.get(&fork.before()).map_or(fork.dot().actor, |dot| dot.actor);
        let known: Vec<Known> = proofs(&all).into_iter().map(|fork| Known { parent: Some(parent(&fork)), fork }).collect();
        let mut derived = derived(&all, &known, &names);
        derived.sort_by_key(|(_, message)| message.dot());
        // Each tells what is new since the message before, the first of a branch all of it.
        let mut clocks: BTreeMap<Actor, VersionVector> = BTreeMap::new();
        prop_assert_eq!(derived.len(), named.len());
        for ((link, message), (named_link, named)) in derived.iter().zip(&named) {
            let clock = clocks.entry(message.actor).or_default();
            message.clock.iter().for_each(|head| clock.raise(head.actor, head.seq));
            let whole: VersionVector = named.clock.iter().map(|head| (head.actor, head.seq)).collect();
            prop_assert_eq!((link, &*clock), (named_link, &whole));
            prop_assert_eq!(Message { clock: vec![], ..message.clone() }, Message { clock: vec![], ..named.clone() });
        }
    }

    #[test]
    fn forks_that_are_learnt_in_any_order_give_what_the_set_gives(steps in prop::collection::vec(any::<[u8; 4]>(), 1..60), order in prop::collection::vec(any::<u32>(), 1..16)) {
        let machines = live(&steps);
        let everything = all(&machines);
        for mut machine in machines {
            let mut forks = proofs(&everything);
            let rank = |fork: &Fork| order[usize::from(fork.before().0[0]) % order.len()] ^ u32::from(fork.before().0[1]);
            forks.sort_by_key(rank);
            let by_link: BTreeMap<Link, &Signed> = machine.held.iter().map(|signed| (signed.link, signed)).collect();
            let mut names: BTreeMap<Link, Dot> = machine.held.iter().map(|signed| (signed.link, signed.message.dot())).collect();
            let mut known: Vec<Known> = Vec::new();
            let mut beside: Vec<Signed> = Vec::new();
            for fork in forks {
                let is_first = fork.dot().seq == 1;
                let parent = names.get(&fork.before()).map(|dot| dot.actor).or(is_first.then_some(fork.dot().actor));
                let after = machine.held.iter().find(|signed| signed.before == fork.before());
                let held = after.and_then(|signed| fork.branch_of(&signed.link));
                // Of what hangs on nothing here a room waits for more; where it holds a third message, it first shows that.
                let Some(parent) = parent.filter(|_| after.is_none() || held.is_some()) else { continue };
                let is_of_fork = |signed: &&Signed| signed.before == fork.before() && fork.branch_of(&signed.link).is_some();
                beside.extend(everything.iter().filter(is_of_fork).cloned());
                // A second proof renames nothing.
                let is_parted = known.iter().any(|known| known.fork.before() == fork.before());
                let rename = Known::learn(&mut known, fork, parent, held.filter(|_| !is_parted));
                machine.replica.rename(&Branches::of(&known), rename.as_ref());
                names.values_mut().for_each(|dot| *dot = rename.map_or(*dot, |rename| rename.of(*dot)));
            }
            let expected = naive::branches_beside(&machine.held, &beside);
            let expected_names: BTreeMap<Link, Dot> = expected.iter().map(|(link, message)| (*link, message.dot())).collect();
            prop_assert_eq!(&names, &expected_names);
            prop_assert_eq!(by_link.len(), machine.replica.count());
            let messages: Vec<Message> = expected.into_iter().map(|(_, message)| message).collect();
            super::check(&machine.replica, &messages);
            let version: VersionVector = messages.iter().map(|message| (message.actor, message.seq)).collect();
            prop_assert_eq!(machine.replica.version_vector(), version);
            // All that is held has seen what it hangs on, so a horizon may hold it.
            prop_assert!(machine.replica.is_cut(&machine.replica.version_vector()));
        }
    }

    #[test]
    fn what_a_machine_holds_shows_the_same_by_the_names_of_its_branches(steps in prop::collection::vec(any::<[u8; 4]>(), 1..60)) {
        let machines = live(&steps);
        let everything = all(&machines);
        let forked = branches(&everything);
        for machine in machines {
            let alone: Vec<Message> = branches(&machine.held).into_iter().map(|(_, message)| message).collect();
            let plain: Vec<Message> = machine.held.iter().map(|signed| signed.message.clone()).collect();
            let image = machine.replica.image();
            // Each holds one branch of each fork: for it alone there is none, and names are those that were signed.
            prop_assert_eq!(alone.iter().map(Message::dot).collect::<BTreeSet<_>>(), plain.iter().map(Message::dot).collect());
            prop_assert_eq!(&naive::fold(&Root::default(), &alone).scene, &image);
            // Renamed, and without what it does not hold, they mean what they meant.
            let held: BTreeSet<Link> = machine.held.iter().map(|signed| signed.link).collect();
            let renamed = forked.iter().filter(|(link, _)| held.contains(link));
            let renamed: Vec<Message> = renamed.map(|(_, message)| message.clone()).collect();
            let shown = naive::fold(&Root::default(), &renamed);
            prop_assert!(shown.scene.nodes.keys().eq(image.nodes.keys()));
            let property = |scene: &Scene, path: &str| scene.nodes.get("note")?.properties.get(path).cloned();
            let letters = |scene: &Scene| property(scene, "body").map(|text| sorted(&text));
            prop_assert_eq!(property(&shown.scene, "n"), property(&image, "n"));
            prop_assert_eq!(letters(&shown.scene), letters(&image), "what is written and not deleted");
        }
    }
}

fn sorted(text: &Value) -> Vec<char> {
    let mut letters: Vec<char> = text.as_text().unwrap_or_default().chars().collect();
    letters.sort_unstable();
    letters
}
