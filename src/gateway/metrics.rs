//! What the gateway counts, and all of it as text for Prometheus.
//!
//! Counters are written by whoever does the work, from any thread; most numbers are read from their owners when somebody
//! asks. Not here: the route (`gateway::http::metrics`).

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::ctx::Ctx;
use crate::base::meter::{BUCKETS_US, Counter, Histogram};

/// Counters that nobody else keeps.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Frames of clients, those that the loop answered included.
    pub frames: Counter,
    /// Frames that workers handled, from their start to their answer.
    pub frame: Histogram,
    /// Requests, from their last byte to the last of their answer; not those that the loop answered.
    pub http: Histogram,
    /// Requests that the loop answered.
    pub http_at_once: Counter,
    /// Responses by the first digit of their status.
    pub statuses: [Counter; 6],
    /// How often a gateway has started in this process.
    pub starts: Arc<AtomicU64>,
}

impl Metrics {
    /// Returns counters at the beginning of a start.
    pub fn new(starts: Arc<AtomicU64>) -> Self {
        starts.fetch_add(1, Ordering::Relaxed);
        Self { starts, ..Self::default() }
    }

    /// Notes a response.
    pub fn answered(&self, status: u16) {
        if let Some(counter) = self.statuses.get(usize::from(status / 100)) {
            counter.add();
        }
    }
}

/// Text in the making.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // A text that is being made cannot fail.
        let _ = write!(self.0, "# HELP clawdbot_{name} {help}\n# TYPE clawdbot_{name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(label, text)| format!("{label}=\"{}\"", escaped(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "clawdbot_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.value(name, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let (upto, count, sum) = histogram.read();
        let bucket = format!("{name}_bucket");
        for (end, count) in BUCKETS_US.iter().zip(upto) {
            self.value(&bucket, &[("le", &(*end as f64 / 1e6).to_string())], count);
        }
        self.value(&bucket, &[("le", "+Inf")], count);
        self.value(&format!("{name}_sum"), &[], sum);
        self.value(&format!("{name}_count"), &[], count);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns everything.
pub fn page(cx: &Ctx) -> String {
    let mut page = Page(String::with_capacity(8 * 1024));
    let metrics = &cx.metrics;
    page.head("build_info", "gauge", "The program.");
    page.value("build_info", &[("version", super::version())], 1);
    let uptime = cx.clock.now().saturating_duration_since(cx.started_at).as_secs_f64();
    page.one("uptime_seconds", "gauge", "Since the process started.", uptime);
    page.one(
        "starts_total",
        "counter",
        "Starts of the gateway in this process.",
        metrics.starts.load(Ordering::Relaxed),
    );
    if let Some(bytes) = resident_bytes() {
        page.one("resident_memory_bytes", "gauge", "Memory that is resident.", bytes);
    }
    connections(cx, &mut page);
    page.one("frames_total", "counter", "Frames of clients.", metrics.frames.get());
    page.histogram("frame_seconds", "Handling of a frame on a worker.", &metrics.frame);
    page.one("http_at_once_total", "counter", "Requests answered from memory.", metrics.http_at_once.get());
    page.histogram("http_request_seconds", "A request until its answer is complete.", &metrics.http);
    page.head("http_responses_total", "counter", "Responses by class of their status.");
    for (class, counter) in metrics.statuses.iter().enumerate().skip(1) {
        page.value("http_responses_total", &[("class", &format!("{class}xx"))], counter.get());
    }
    runs(cx, &mut page);
    lanes(cx, &mut page);
    channels(cx, &mut page);
    page.0
}

fn connections(cx: &Ctx, page: &mut Page) {
    let stats = cx.net.stats();
    let (open, clients, backlog) = stats.now();
    page.one("connections", "gauge", "Connections that are open.", open);
    page.one("clients", "gauge", "Clients that are admitted.", clients);
    page.one("nodes", "gauge", "Nodes that are connected.", cx.nodes.list().len());
    page.one("connections_total", "counter", "Connections accepted.", stats.accepted.get());
    page.one("clients_total", "counter", "Clients admitted.", stats.admitted.get());
    page.one("slow_clients_total", "counter", "Clients closed because they did not read.", stats.slow.get());
    page.one("work_backlog", "gauge", "Items that wait for room in the work queue.", backlog);
    page.one("loop_inbox", "gauge", "Messages that wait for the event loop.", cx.net.waiting());
}

fn runs(cx: &Ctx, page: &mut Page) {
    page.one("runs_active", "gauge", "Runs that wait or go.", cx.runs.active_count());
    let (well, badly) = cx.runs.ended_counts();
    page.head("runs_total", "counter", "Runs that have ended, by how.");
    page.value("runs_total", &[("outcome", "ok")], well);
    page.value("runs_total", &[("outcome", "error")], badly);
}

fn lanes(cx: &Ctx, page: &mut Page) {
    let census = cx.jobs.census();
    page.head("lane_running", "gauge", "Jobs that hold a slot of a lane.");
    for (lane, running, _) in &census {
        page.value("lane_running", &[("lane", lane)], running);
    }
    page.head("lane_waiting", "gauge", "Jobs that wait for a lane.");
    for (lane, _, waiting) in &census {
        page.value("lane_waiting", &[("lane", lane)], waiting);
    }
}

/// As the last health refresh saw them.
fn channels(cx: &Ctx, page: &mut Page) {
    let (health, _) = cx.health.latest();
    let Some(channels) = health.as_ref().and_then(|health| health["channels"].as_object()) else { return };
    page.head("channel_state", "gauge", "Whether a state holds of a channel's account.");
    for (channel, row) in channels {
        let accounts = row["accounts"].as_object();
        let rows = accounts.map(|accounts| accounts.iter().map(|(id, row)| (id.as_str(), row)).collect());
        let rows: Vec<(&str, &Value)> = rows.unwrap_or_else(|| vec![("default", row)]);
        for (account, row) in rows {
            for state in ["configured", "linked", "running", "connected"] {
                if let Some(holds) = row[state].as_bool() {
                    let labels = [("channel", channel.as_str()), ("account", account), ("state", state)];
                    page.value("channel_state", &labels, u8::from(holds));
                }
            }
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_prometheus() {
        let mut page = Page(String::new());
        page.one("x", "gauge", "An x.", 2);
        page.value("y", &[("a", "b\"\\\nc"), ("d", "e")], 0.5);
        assert_eq!(
            page.0,
            "# HELP clawdbot_x An x.\n# TYPE clawdbot_x gauge\nclawdbot_x 2\nclawdbot_y{a=\"b\\\"\\\\\\nc\",d=\"e\"} 0.5\n"
        );
    }
}
