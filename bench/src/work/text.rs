//! W6: what one person typed is applied in one commit, made as one message per edit, and received message by message.

use std::slice::from_ref;

use anyhow::{Context, Result, ensure};

use super::{Plan, Work};
use crate::engine::{Ability, Engine};
use crate::measure::cpu_seconds;
use crate::sheet::{Better, Metric, Sheet};
use crate::trace::{ALONE, Alone, Trace};

const APPLIED: Metric = Metric {
    work: "W6",
    case: "",
    name: "text edits applied, one commit",
    unit: "M/s",
    better: Better::Higher,
    target: Some(10.0),
};
const MADE: Metric = Metric { name: "text edits made, one commit each", target: Some(3.0), ..APPLIED };
const SENT: Metric = Metric { name: "text edits made and encoded singly", target: None, ..APPLIED };
const RECEIVED: Metric = Metric { name: "text edits received singly", target: Some(3.0), ..APPLIED };
const MESSAGE: Metric =
    Metric { name: "bytes per live message", unit: "B", better: Better::Lower, target: None, ..APPLIED };
const SAVED: Metric = Metric { name: "saved size", unit: "kB", ..MESSAGE };

/// The work.
pub(super) struct Text;

impl Work for Text {
    fn id(&self) -> &'static str {
        "W6"
    }

    fn title(&self) -> &'static str {
        "text of one person"
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::Text]
    }

    fn run(&self, engine: &dyn Engine, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
        if !plan.has_text(engine) {
            return Ok(());
        }
        ALONE.iter().try_for_each(|source| replay(engine, source, plan, sheet).context(source.name))
    }
}

fn replay(engine: &dyn Engine, source: &Alone, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    let Trace { splices, end } = &source.read(&plan.traces, plan.text_edits, plan.seed)?;
    let case = source.name;
    let rate = |seconds: f64| splices.len() as f64 / seconds / 1e6;
    let check = |text: String| {
        ensure!(text == *end, "the text of {} characters should be one of {}", text.len(), end.len());
        Ok(())
    };

    let mut whole = engine.create(1);
    whole.create_text()?;
    let (seconds, ()) = cpu_seconds(|| whole.splice(splices))?;
    sheet.note(Metric { case, ..APPLIED }, engine.name(), rate(seconds));
    check(whole.text()?).context("applied in one commit")?;
    drop(whole);

    let mut maker = engine.create(1);
    maker.create_text()?;
    let (seconds, ()) = cpu_seconds(|| splices.iter().try_for_each(|splice| maker.splice(from_ref(splice))))?;
    sheet.note(Metric { case, ..MADE }, engine.name(), rate(seconds));
    check(maker.text()?).context("made")?;
    let saved = maker.save()?;
    drop(maker);
    let target = source.saved_kb.filter(|_| splices.len() == source.splices);
    sheet.note(Metric { case, target, ..SAVED }, engine.name(), saved.len() as f64 / 1e3);
    let mut opened = engine.load(2, &saved)?;
    opened.find_text()?;
    check(opened.text()?).context("opened")?;
    drop(opened);

    let mut sender = engine.create(1);
    sender.create_text()?;
    let mut receiver = engine.create(2);
    receiver.merge(&sender.updates()?)?;
    receiver.find_text()?;
    sender.go_live()?;
    let mut messages = Vec::with_capacity(splices.len());
    let (seconds, ()) = cpu_seconds(|| {
        splices.iter().try_for_each(|splice| {
            sender.splice(from_ref(splice))?;
            messages.push(sender.live()?);
            Ok(())
        })
    })?;
    sheet.note(Metric { case, ..SENT }, engine.name(), rate(seconds));
    let bytes: usize = messages.iter().map(|message| message.len() - sender.signature_bytes()).sum();
    sheet.note(Metric { case, ..MESSAGE }, engine.name(), bytes as f64 / splices.len() as f64);
    drop(sender);
    let (seconds, ()) =
        cpu_seconds(|| messages.iter().try_for_each(|message| receiver.take_live(1, message)))?;
    sheet.note(Metric { case, ..RECEIVED }, engine.name(), rate(seconds));
    check(receiver.text()?).context("received")
}
