//! What is to be reached on a machine of two cores.

use crate::sheet::OURS;

/// One goal.
pub struct Goal {
    /// `group/name` of the figure.
    figure: &'static str,
    /// `ours`: the value is at most the bound. Another: ours is at least so many times better than that subject.
    subject: &'static str,
    /// See `subject`.
    pub bound: f64,
}

const fn at_most(figure: &'static str, bound: f64) -> Goal {
    Goal { figure, subject: OURS, bound }
}

const fn better(figure: &'static str, subject: &'static str, bound: f64) -> Goal {
    Goal { figure, subject, bound }
}

const ORIGINAL: &str = "original";
const FLOOR: &str = crate::sheet::FLOOR;

const GOALS: &[Goal] = &[
    at_most("start/first hello-ok", 10.0),
    at_most("start/binary", 8.0),
    at_most("memory/idle RSS", 6.0),
    at_most("memory/per client, 10000 idle", 4.0),
    at_most("memory/RSS 15 s after load ÷ idle", 1.2),
    better("rpc/last-heartbeat 1x1 rate", ORIGINAL, 1.3),
    better("rpc/last-heartbeat 50x16 rate", ORIGINAL, 6.0),
    better("rpc/last-heartbeat 50x16 rate", FLOOR, 0.35),
    better("rpc/health 50x1 rate", ORIGINAL, 10.0),
    better("handshakes/16 at once rate", ORIGINAL, 3.0),
    at_most("fanout/1000 clients, last p50", 4.0),
    better("fanout/1000 clients, last p50", ORIGINAL, 3.0),
    better("http/small answer rate", "nginx", 0.8),
    at_most("streams/call p99, 64 runs", 2.0),
    at_most("cli/gateway call health", 15.0),
];

impl Goal {
    /// Whether it is reached by a value of ours, or by a ratio to the goal's subject.
    pub fn is_met(&self, value: f64, ratio: Option<f64>) -> bool {
        if self.subject == OURS { value <= self.bound } else { ratio.is_some_and(|ratio| ratio >= self.bound) }
    }
}

/// The goal of a figure with regard to a subject.
pub fn find(figure: &str, subject: &str) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.figure == figure && goal.subject == subject)
}
