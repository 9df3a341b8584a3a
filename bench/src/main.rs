//! Measures rtc-core beside other CRDT engines on the same generated work, in one run.
//!
//! A wrong final state ends it with an error; a missed target does not.

mod engine;
mod forest;
mod measure;
mod random;
mod sheet;
mod trace;
mod typing;
mod work;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use sheet::Sheet;
use work::Plan;

/// Measures rtc-core beside other CRDT engines.
#[derive(Parser)]
struct Args {
    /// The seed of the generated work.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these works, such as `W1,W3`.
    #[arg(long, value_delimiter = ',')]
    work: Vec<String>,
    /// Only these engines, such as `rtc-core,yrs`.
    #[arg(long, value_delimiter = ',')]
    engine: Vec<String>,
    /// How often each work is done; the table shows medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Where the recorded text traces are; those that are not there are generated.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/traces"))]
    traces: PathBuf,
    /// Edits of each text trace at most: with 2000, those take part that would take many minutes for the whole.
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    text_edits: usize,
    /// Writes every value to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let engines = engine::all();
    let works = work::all();
    for name in &args.work {
        ensure!(works.iter().any(|work| work.id() == name), "there is no work {name}");
    }
    for name in &args.engine {
        ensure!(engines.iter().any(|engine| engine.name() == name), "there is no engine {name}");
    }
    let ours = engines[0].name();
    let is_wanted = |names: &[String], name: &str| names.is_empty() || names.iter().any(|one| one == name);
    let plan = Plan { seed: args.seed, traces: args.traces, text_edits: args.text_edits };
    let mut sheet = Sheet::default();
    for work in works.iter().filter(|work| is_wanted(&args.work, work.id())) {
        for engine in engines.iter().filter(|engine| is_wanted(&args.engine, engine.name())) {
            if !work.needs().iter().all(|&ability| engine.can(ability)) {
                continue;
            }
            eprintln!("{} {}: {}", work.id(), work.title(), engine.name());
            for _ in 0..args.repeat {
                let done = work.run(&**engine, &plan, &mut sheet);
                done.with_context(|| format!("{} with {}", work.id(), engine.name()))?;
            }
        }
    }
    sheet.finish(ours);
    let names: Vec<&str> = engines.iter().map(|engine| engine.name()).collect();
    println!(
        "CPU time, live heap and bytes; medians of {} and their spread; seed {}",
        args.repeat, args.seed
    );
    println!(
        "text traces: {} edits of each at most; {}",
        plan.text_edits,
        origin(&trace::missing(&plan.traces))
    );
    println!("ratio: how many times better {ours} is than the best of the others\n");
    print!("{}", sheet.table(&names));
    if let Some(path) = &args.json {
        let json = sheet.json(args.seed, args.repeat)?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn origin(missing: &[&str]) -> String {
    match missing {
        [] => "all recorded".to_owned(),
        _ => format!("generated, since there is no record: {}", missing.join(", ")),
    }
}
