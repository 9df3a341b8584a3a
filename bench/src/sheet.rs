//! What was measured, as a table and as JSON.

use serde::Serialize;

/// One thing that is measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Metric {
    /// The work it belongs to.
    pub work: &'static str,
    /// On which data, where a work has several.
    pub case: &'static str,
    /// What it is.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// What ours is to reach, in that unit, if that is set.
    pub target: Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// All values of one metric.
#[derive(Serialize)]
struct Row {
    metric: Metric,
    engines: Vec<Cell>,
    /// How many times better ours is than the best of the others; below 1 it is worse.
    ratio: Option<f64>,
    /// Whether ours reaches the target.
    met: Option<bool>,
}

/// What one engine reached.
#[derive(Serialize)]
struct Cell {
    engine: &'static str,
    median: f64,
    /// From the least to the greatest, in percent of the median.
    spread_percent: f64,
    values: Vec<f64>,
}

impl Cell {
    fn show(&self) -> String {
        match self.values[..] {
            [value] => number(value),
            _ => format!("{} ~{:.0}%", number(self.median), self.spread_percent),
        }
    }
}

/// The values so far.
#[derive(Default)]
pub struct Sheet {
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Document<'a> {
    seed: u64,
    repeat: u32,
    rows: &'a [Row],
}

impl Sheet {
    /// Notes one value.
    pub fn note(&mut self, metric: Metric, engine: &'static str, value: f64) {
        let at = self.rows.iter().position(|row| row.metric == metric).unwrap_or_else(|| {
            self.rows.push(Row { metric, engines: Vec::new(), ratio: None, met: None });
            self.rows.len() - 1
        });
        let engines = &mut self.rows[at].engines;
        let at = engines.iter().position(|cell| cell.engine == engine).unwrap_or_else(|| {
            engines.push(Cell { engine, median: 0.0, spread_percent: 0.0, values: Vec::new() });
            engines.len() - 1
        });
        engines[at].values.push(value);
    }

    /// Works out medians and ratios.
    pub fn finish(&mut self, ours: &str) {
        for row in &mut self.rows {
            for cell in &mut row.engines {
                let mut sorted = cell.values.clone();
                sorted.sort_by(f64::total_cmp);
                cell.median = sorted[sorted.len() / 2];
                cell.spread_percent = 100.0 * (sorted[sorted.len() - 1] - sorted[0]) / cell.median;
            }
            let (own, peers): (Vec<&Cell>, Vec<&Cell>) =
                row.engines.iter().partition(|cell| cell.engine == ours);
            let own = own.first().map(|cell| cell.median);
            let medians = peers.iter().map(|cell| cell.median);
            row.ratio = own.and_then(|own| match row.metric.better {
                Better::Higher => medians.reduce(f64::max).map(|best| own / best),
                Better::Lower => medians.reduce(f64::min).map(|best| best / own),
            });
            row.met = own.zip(row.metric.target).map(|(own, target)| match row.metric.better {
                Better::Higher => own >= target,
                Better::Lower => own <= target,
            });
        }
    }

    /// The table: medians with their spread, ours against the best of the others, and the target.
    pub fn table(&self, engines: &[&str]) -> String {
        let mut text = format!("{:<4}{:<52}{:>4}", "", "", "unit");
        engines.iter().for_each(|engine| text += &format!("{engine:>13}"));
        text += &format!("{:>9}{:>8}  {}\n", "ratio", "target", "met");
        for Row { metric, engines: cells, ratio, met } in &self.rows {
            let name = match metric.case {
                "" => metric.name.to_owned(),
                case => format!("{case}: {}", metric.name),
            };
            text += &format!("{:<4}{name:<52}{:>4}", metric.work, metric.unit);
            for engine in engines {
                let cell = cells.iter().find(|cell| cell.engine == *engine);
                text += &format!("{:>13}", cell.map_or("-".into(), Cell::show));
            }
            let ratio = ratio.map_or("-".into(), |ratio| format!("{}x", number(ratio)));
            let target = metric.target.map_or("-".into(), number);
            let met = met.map_or("-", |met| if met { "yes" } else { "no" });
            text += &format!("{ratio:>9}{target:>8}  {met}\n");
        }
        text
    }

    /// All values.
    pub fn json(&self, seed: u64, repeat: u32) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Document { seed, repeat, rows: &self.rows })
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        0.1.. => format!("{value:.3}"),
        0.01.. => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}
