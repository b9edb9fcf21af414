//! The figures of a run: the middle of the turns of each subject, how far the turns lie apart, ratios and goals.
//!
//! Prints a table for people and, on request, one JSON object per figure and subject, flushed as soon as a figure is
//! done, so that a run cut short keeps what it has. Not here: what is compared with an earlier run (`baseline`).

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::goals::{self, Goal};
use crate::times::{middle, spread};

/// Name of the subject whose figures the goals are about.
pub const OURS: &str = "ours";
/// Name of the least that could be.
pub const FLOOR: &str = "floor";

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A rate: the more, the better. Of everything else, the less.
    PerSecond,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Bytes of a file, in 10⁶.
    Mb,
    /// Memory.
    MiB,
    /// Memory.
    KiB,
    /// A number of things.
    Count,
    /// A share.
    Percent,
    /// One figure by another.
    Times,
}

impl Unit {
    /// As it stands behind a number.
    pub fn label(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Ms => "ms",
            Self::Us => "µs",
            Self::Mb => "MB",
            Self::MiB => "MiB",
            Self::KiB => "KiB",
            Self::Count => "",
            Self::Percent => "%",
            Self::Times => "×",
        }
    }

    /// Whether another machine would show the same.
    pub fn is_of_no_machine(self) -> bool {
        matches!(self, Self::Mb | Self::MiB | Self::KiB | Self::Count | Self::Times)
    }
}

/// One figure of one subject: a value for each turn.
struct Column {
    subject: String,
    turns: Vec<f64>,
}

/// One figure.
struct Row {
    name: String,
    unit: Unit,
    columns: Vec<Column>,
}

/// A figure of ours that an earlier run can be compared with.
pub struct Kept {
    /// `group/name`, and `÷ floor` when it is a ratio.
    pub name: String,
    /// Its value; the less, the better.
    pub value: f64,
    /// How far the turns lie apart.
    pub spread: f64,
    /// What it may be off by in any case, in its unit.
    pub slack: f64,
}

/// One wake-up more than none is no regression.
const COUNT_SLACK: f64 = 2.0;

/// See the module.
pub struct Sheet {
    group: &'static str,
    rows: Vec<Row>,
    json: Option<File>,
    /// What a baseline would hold.
    pub kept: Vec<Kept>,
    /// Goals that were missed, as a line each.
    pub missed: Vec<String>,
}

impl Sheet {
    /// An empty one; JSON lines go to this file, which is written anew.
    pub fn new(json: Option<&str>) -> Result<Self> {
        let json = json.map(|path| File::create(path).with_context(|| format!("cannot write the figures to {path}")));
        Ok(Self { group: "", rows: Vec::new(), json: json.transpose()?, kept: Vec::new(), missed: Vec::new() })
    }

    /// Begins a group.
    pub fn begin(&mut self, group: &'static str, what: &str) {
        self.group = group;
        println!("\n{group}: {what}");
    }

    /// Notes what a turn showed of a subject.
    pub fn note(&mut self, subject: &str, name: impl Into<String>, unit: Unit, value: f64) {
        let name = name.into();
        let index = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name, unit, columns: Vec::new() });
            self.rows.len() - 1
        });
        let columns = &mut self.rows[index].columns;
        match columns.iter_mut().find(|column| column.subject == subject) {
            Some(column) => column.turns.push(value),
            None => columns.push(Column { subject: subject.to_owned(), turns: vec![value] }),
        }
    }

    /// Closes the figures noted so far: prints them, writes their JSON lines, judges them.
    pub fn settle(&mut self) -> Result<()> {
        for row in std::mem::take(&mut self.rows) {
            self.settle_row(&row)?;
        }
        Ok(())
    }

    fn settle_row(&mut self, row: &Row) -> Result<()> {
        let ours = row.columns.iter().find(|column| column.subject == OURS);
        let full = format!("{}/{}", self.group, row.name);
        let mut line = format!("  {:<38}", row.name);
        let mut verdicts = String::new();
        for column in &row.columns {
            let ratios = ours.filter(|_| column.subject != OURS).map(|ours| ratios(row.unit, ours, column));
            let ratio = ratios.as_deref().map(middle).filter(|ratio| ratio.is_finite());
            let goal = goals::find(&full, &column.subject);
            let is_met = goal.map(|goal| goal.is_met(middle(&column.turns), ratio));
            if let (Some(goal), Some(is_met)) = (goal, is_met) {
                verdicts.push_str(&self.judge(&full, &column.subject, goal, is_met));
            }
            line.push_str(&cell(row.unit, column, ratio));
            self.write_json(row, column, ratio, goal.zip(is_met))?;
        }
        println!("{}{verdicts}", line.trim_end());
        self.keep(full, row);
        Ok(())
    }

    fn judge(&mut self, figure: &str, subject: &str, goal: &Goal, is_met: bool) -> String {
        let said = if subject == OURS {
            format!("goal ≤ {}", goal.bound)
        } else {
            format!("goal ≥ {}× {subject}", goal.bound)
        };
        if !is_met {
            self.missed.push(format!("{figure}: {said}"));
        }
        format!("  [{} {said}]", if is_met { "ok" } else { "MISSED" })
    }

    fn write_json(
        &mut self,
        row: &Row,
        column: &Column,
        ratio: Option<f64>,
        goal: Option<(&Goal, bool)>,
    ) -> Result<()> {
        let Some(file) = &mut self.json else { return Ok(()) };
        let object = json!({
            "group": self.group, "name": row.name, "subject": column.subject,
            "value": middle(&column.turns), "unit": row.unit.label(), "spread": spread(&column.turns), "turns": column.turns,
            "ratio": ratio,
            "goal": goal.map(|(goal, is_met)| json!({"bound": goal.bound, "met": is_met})),
        });
        // One write: a line is there as a whole or not at all.
        file.write_all(format!("{object}\n").as_bytes()).context("write a figure to the --json file")
    }

    /// Keeps what an earlier or later run of another machine can be compared with. The slowest of many is chance.
    fn keep(&mut self, full: String, row: &Row) {
        let column = |name: &str| row.columns.iter().find(|column| column.subject == name);
        let Some(ours) = column(OURS).filter(|_| !row.name.ends_with(" max")) else { return };
        if row.unit.is_of_no_machine() {
            let (value, spread) = (middle(&ours.turns), spread(&ours.turns));
            let slack = if row.unit == Unit::Count { COUNT_SLACK } else { 0.0 };
            self.kept.push(Kept { name: full, value, spread, slack });
        } else if let Some(floor) = column(FLOOR) {
            // Ratios say how many times better than the floor; a baseline holds how many times worse.
            let ratios: Vec<f64> = ratios(row.unit, ours, floor).into_iter().map(|ratio| 1.0 / ratio).collect();
            let value = middle(&ratios);
            if value.is_finite() {
                self.kept.push(Kept { name: format!("{full} ÷ floor"), value, spread: spread(&ratios), slack: 0.0 });
            }
        }
    }
}

/// How many times better ours is than another, turn by turn: what disturbed the machine disturbed both.
fn ratios(unit: Unit, ours: &Column, other: &Column) -> Vec<f64> {
    let pairs = ours.turns.iter().zip(&other.turns);
    pairs.map(|(ours, other)| if unit == Unit::PerSecond { ours / other } else { other / ours }).collect()
}

fn cell(unit: Unit, column: &Column, ratio: Option<f64>) -> String {
    let value = number(middle(&column.turns));
    let spread = spread(&column.turns) * 100.0;
    let ratio = ratio.map(|ratio| format!(" = {}×", number(ratio))).unwrap_or_default();
    let text = format!("{} {value} {} ±{spread:.0}%{ratio}", column.subject, unit.label());
    format!("{text:<34} ")
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
