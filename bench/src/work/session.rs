//! W6c: what several people typed at once, as the messages of each with what it had seen, received message by message.

use anyhow::{Context, Result, ensure};

use super::{Plan, Work};
use crate::engine::{Ability, Engine, Replica};
use crate::measure::cpu_seconds;
use crate::random::Random;
use crate::sheet::{Better, Metric, Sheet};
use crate::trace::{Session, TOGETHER, Together, Turn};

const RECEIVED: Metric = Metric {
    work: "W6c",
    case: "",
    name: "concurrent edits received singly",
    unit: "M/s",
    better: Better::Higher,
    target: Some(3.0),
};

/// The work.
pub(super) struct Sessions;

impl Work for Sessions {
    fn id(&self) -> &'static str {
        "W6c"
    }

    fn title(&self) -> &'static str {
        "text of several people at once"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Text]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        if !plan.has_text(engine) {
            return Ok(());
        }
        TOGETHER.iter().try_for_each(|source| replay(engine, source, plan, sheet).context(source.name))
    }
}

fn replay(engine: &dyn Engine, source: &Together, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let Session { turns, end } = &source.read(&plan.traces, plan.text_edits, plan.seed)?;
    let authors = source.authors;
    let mut founder = engine.create(authors as u8 + 1);
    founder.create_text()?;
    let founding = founder.updates()?;
    let join = |number: usize| -> Result<Box<dyn Replica>> {
        let mut replica = engine.create(number as u8);
        replica.merge(&founding)?;
        replica.find_text()?;
        Ok(replica)
    };

    let mut people =
        (1..=authors).map(|number| Person::new(join(number)?, turns.len())).collect::<Result<Vec<_>>>()?;
    let mut messages: Vec<Vec<u8>> = Vec::with_capacity(turns.len());
    for (at, turn) in turns.iter().enumerate() {
        let person = &mut people[turn.author];
        person.see(&turn.parents, turns, &messages)?;
        person.replica.splice(&turn.splices).with_context(|| format!("turn {at}"))?;
        messages.push(person.replica.live()?);
        person.seen[at] = true;
    }

    let edits: usize = turns.iter().map(|turn| turn.splices.len()).sum();
    let mut receiver = join(authors + 2)?;
    let (seconds, ()) = cpu_seconds(|| {
        turns.iter().zip(&messages).try_for_each(|(turn, message)| receiver.take_live(sender(turn), message))
    })?;
    sheet.note(Metric { case: source.name, ..RECEIVED }, engine.name(), edits as f64 / seconds / 1e6);
    let text = receiver.text()?;

    let mut other = join(authors + 3)?;
    for at in shuffled(turns, plan.seed) {
        other.take_live(sender(&turns[at]), &messages[at])?;
    }
    ensure!(other.text()? == text, "another order of arrival gives another text");
    let all: Vec<usize> = (0..turns.len()).collect();
    for person in &mut people {
        person.see(&all, turns, &messages)?;
        ensure!(person.replica.text()? == text, "one who took part reads another text");
    }
    // Algorithms may order concurrent text in ways of their own; with these traces all come to what is recorded.
    if let Some(end) = end {
        ensure!(text == *end, "the text should read as recorded");
    }
    Ok(())
}

/// The number of the connection on which a turn comes: its author's.
fn sender(turn: &Turn) -> u8 {
    turn.author as u8
}

/// One who takes part, and what it has seen.
struct Person {
    replica: Box<dyn Replica>,
    seen: Vec<bool>,
}

impl Person {
    fn new(mut replica: Box<dyn Replica>, turns: usize) -> Result<Self> {
        replica.go_live()?;
        Ok(Self { replica, seen: vec![false; turns] })
    }

    /// Takes in those turns and what they have seen, in order, as far as it lacks them.
    fn see(&mut self, tips: &[usize], turns: &[Turn], messages: &[Vec<u8>]) -> Result<()> {
        let mut missing = Vec::new();
        let mut open = tips.to_vec();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut self.seen[at], true) {
                missing.push(at);
                open.extend(&turns[at].parents);
            }
        }
        missing.sort_unstable();
        missing.into_iter().try_for_each(|at| self.replica.take_live(sender(&turns[at]), &messages[at]))
    }
}

/// All turns in a random order in which none comes before what it has seen.
fn shuffled(turns: &[Turn], seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed);
    let mut children = vec![Vec::new(); turns.len()];
    let mut missing: Vec<usize> = turns.iter().map(|turn| turn.parents.len()).collect();
    for (at, turn) in turns.iter().enumerate() {
        turn.parents.iter().for_each(|&parent| children[parent].push(at));
    }
    let mut ready: Vec<usize> = (0..turns.len()).filter(|&at| missing[at] == 0).collect();
    let mut order = Vec::with_capacity(turns.len());
    while !ready.is_empty() {
        let at = ready.swap_remove(random.below(ready.len() as u32) as usize);
        order.push(at);
        for &child in &children[at] {
            missing[child] -= 1;
            if missing[child] == 0 {
                ready.push(child);
            }
        }
    }
    order
}
