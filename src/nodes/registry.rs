//! The node registry: which nodes are connected, what they offer, what they were asked for, which sessions they follow.
//!
//! Owns nodes by id, the commands under way and the session subscriptions, behind one leaf lock. Runs on any worker and
//! calls nobody while it holds the lock: whoever takes a command out of the table (result, disconnect, deadline) is the
//! one who answers it. Not here: sending (`gateway::nodes`), pairing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::base::clock::UnixMs;
use crate::base::ids::ConnId;

/// Commands that may be under way at a time; one more is refused.
const INVOKES_MAX: usize = 1000;
/// Sessions that one node may follow; one more is refused.
const SUBSCRIPTIONS_MAX: usize = 256;

/// A connected node, as it described itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    /// Device id, else client id.
    pub node_id: String,
    /// Shown name.
    pub display_name: Option<String>,
    /// Platform.
    pub platform: Option<String>,
    /// Version of its program.
    pub version: Option<String>,
    /// Device family.
    pub device_family: Option<String>,
    /// Device model.
    pub model_identifier: Option<String>,
    /// Its address.
    pub remote_ip: Option<String>,
    /// Capabilities.
    pub caps: Vec<String>,
    /// Commands it offers and the policy allowed when it connected.
    pub commands: Vec<String>,
    /// Permissions it has on its device.
    pub permissions: Option<BTreeMap<String, bool>>,
    /// PATH of a node host.
    pub path_env: Option<String>,
    /// When it connected.
    pub connected_at_ms: UnixMs,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The node answered.
    Done {
        /// Whether it worked.
        ok: bool,
        /// What it gave.
        payload: Option<Value>,
        /// What it gave, as JSON text; wins over `payload`.
        payload_json: Option<String>,
        /// `{code?, message?}`.
        error: Option<Value>,
    },
    /// Its time was over.
    TimedOut,
    /// The node went away.
    Disconnected {
        /// What it was asked for.
        command: String,
    },
}

/// Called with the outcome, once; dropped uncalled when the gateway stops.
pub type Answer = Box<dyn FnOnce(Outcome) + Send>;

/// Answers that are due, each with what to say. Whoever gets them calls them, outside the lock.
pub type Lost = Vec<(Answer, Outcome)>;

struct Entry {
    conn: ConnId,
    node: Arc<Node>,
}

struct Invoke {
    conn: ConnId,
    node_id: String,
    command: String,
    answer: Answer,
}

#[derive(Default)]
struct State {
    nodes: HashMap<String, Entry>,
    invokes: HashMap<String, Invoke>,
    subscriptions: HashMap<ConnId, HashSet<String>>,
}

/// See the module.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
    /// Nodes that follow some session: most gateways have none, and events are many.
    followers: AtomicUsize,
}

/// Why a command was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No such node is connected.
    NotConnected,
    /// Too many commands are under way.
    Busy,
}

impl Registry {
    /// Registers a node; one of the same id is replaced, and the end of its socket will not concern the new one.
    #[must_use]
    pub fn register(&self, conn: ConnId, node: Node) -> Lost {
        let mut state = self.lock();
        let entry = Entry { conn, node: Arc::new(node) };
        let id = entry.node.node_id.clone();
        match state.nodes.insert(id, entry) {
            Some(replaced) => state.take_invokes(replaced.conn),
            None => Vec::new(),
        }
    }

    /// Forgets the node of a connection, unless a newer connection has its place, and what it followed.
    #[must_use]
    pub fn disconnected(&self, conn: ConnId) -> Lost {
        let mut state = self.lock();
        state.subscriptions.remove(&conn);
        self.count_followers(&state);
        state.nodes.retain(|_, entry| entry.conn != conn);
        state.take_invokes(conn)
    }

    /// Returns a connected node.
    pub fn get(&self, node_id: &str) -> Option<Arc<Node>> {
        self.lock().nodes.get(node_id).map(|entry| entry.node.clone())
    }

    /// Returns the connected nodes, in the order of their ids.
    pub fn list(&self) -> Vec<Arc<Node>> {
        let mut nodes: Vec<_> = self.lock().nodes.values().map(|entry| entry.node.clone()).collect();
        crate::base::order::by_text(&mut nodes, |node| &node.node_id);
        nodes
    }

    /// Notes that a node is asked for a command; returns where to send the request.
    ///
    /// # Errors
    /// Gives the answer back with the reason.
    pub fn begin(&self, id: &str, node_id: &str, command: &str, answer: Answer) -> Result<ConnId, (Refused, Answer)> {
        let mut state = self.lock();
        let Some(conn) = state.nodes.get(node_id).map(|entry| entry.conn) else {
            return Err((Refused::NotConnected, answer));
        };
        if state.invokes.len() >= INVOKES_MAX {
            return Err((Refused::Busy, answer));
        }
        let invoke = Invoke { conn, node_id: node_id.to_owned(), command: command.to_owned(), answer };
        state.invokes.insert(id.to_owned(), invoke);
        Ok(conn)
    }

    /// Takes a command out to be answered, if it is one of this node's (or of any, when none is named); `None` for late,
    /// repeated and foreign results.
    pub fn take(&self, id: &str, node_id: Option<&str>) -> Option<Answer> {
        let mut state = self.lock();
        let is_own = state.invokes.get(id).is_some_and(|invoke| node_id.is_none_or(|own| invoke.node_id == own));
        if is_own { state.invokes.remove(id).map(|invoke| invoke.answer) } else { None }
    }

    /// Lets a node follow a session; returns false when it follows too many.
    pub fn subscribe(&self, conn: ConnId, session: &str) -> bool {
        let mut state = self.lock();
        let sessions = state.subscriptions.entry(conn).or_default();
        let fits = sessions.contains(session) || sessions.len() < SUBSCRIPTIONS_MAX;
        if fits {
            sessions.insert(session.to_owned());
        }
        self.count_followers(&state);
        fits
    }

    /// Ends that.
    pub fn unsubscribe(&self, conn: ConnId, session: &str) {
        let mut state = self.lock();
        if let Some(sessions) = state.subscriptions.get_mut(&conn) {
            sessions.remove(session);
        }
        state.subscriptions.retain(|_, sessions| !sessions.is_empty());
        self.count_followers(&state);
    }

    /// Returns who follows a session; with `None`, who follows any.
    pub fn followers(&self, session: Option<&str>) -> Vec<ConnId> {
        if self.followers.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let state = self.lock();
        let mut conns: Vec<ConnId> = state
            .subscriptions
            .iter()
            .filter(|(_, sessions)| session.is_none_or(|session| sessions.contains(session)))
            .map(|(conn, _)| *conn)
            .collect();
        conns.sort_unstable();
        conns
    }

    fn count_followers(&self, state: &State) {
        self.followers.store(state.subscriptions.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out everything a connection was asked for.
    fn take_invokes(&mut self, conn: ConnId) -> Lost {
        let mine = self.invokes.extract_if(|_, invoke| invoke.conn == conn);
        mine.map(|(_, invoke)| (invoke.answer, Outcome::Disconnected { command: invoke.command })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::SeededRng;
    use std::sync::atomic::AtomicU32;

    fn node(id: &str) -> Node {
        Node { node_id: id.into(), ..Node::default() }
    }

    fn answer_all(lost: Lost) {
        lost.into_iter().for_each(|(answer, outcome)| answer(outcome));
    }

    fn connect(registry: &Registry, conn: u64, id: &str) {
        answer_all(registry.register(ConnId(conn), node(id)));
    }

    #[test]
    fn an_older_socket_does_not_take_the_newer_one_down() {
        let registry = Registry::default();
        connect(&registry, 1, "n");
        connect(&registry, 2, "n");
        answer_all(registry.disconnected(ConnId(1)));
        assert!(registry.get("n").is_some());
        answer_all(registry.disconnected(ConnId(2)));
        assert!(registry.list().is_empty());
    }

    #[test]
    fn only_the_node_itself_answers_and_once() {
        let registry = Registry::default();
        assert!(matches!(registry.begin("i", "n", "c", Box::new(|_| ())), Err((Refused::NotConnected, _))));
        connect(&registry, 1, "n");
        assert!(matches!(registry.begin("i", "n", "c", Box::new(|_| ())), Ok(ConnId(1))));
        assert!(registry.take("i", Some("other")).is_none());
        assert!(registry.take("i", Some("n")).is_some());
        assert!(registry.take("i", Some("n")).is_none());
    }

    #[test]
    fn followers_are_found_and_forgotten() {
        let registry = Registry::default();
        assert!(registry.subscribe(ConnId(1), "a") && registry.subscribe(ConnId(2), "b"));
        assert_eq!(registry.followers(Some("a")), [ConnId(1)]);
        assert_eq!(registry.followers(None), [ConnId(1), ConnId(2)]);
        registry.unsubscribe(ConnId(1), "a");
        answer_all(registry.disconnected(ConnId(2)));
        assert!(registry.followers(None).is_empty());
        let taken = (0..300).filter(|index| registry.subscribe(ConnId(3), &index.to_string())).count();
        assert_eq!(taken, SUBSCRIPTIONS_MAX);
    }

    /// Whatever happens in whatever order, each command that was sent is answered exactly once.
    #[test]
    fn every_command_is_answered_once() {
        for seed in crate::base::rng::testing::seeds(256) {
            let rng = SeededRng::new(seed);
            let registry = Registry::default();
            let answers: Vec<Arc<AtomicU32>> = (0..200).map(|_| Arc::default()).collect();
            let mut sent = vec![false; answers.len()];
            let some_conn = || registry.lock().nodes.values().map(|entry| entry.conn).min();
            for step in 0..answers.len() {
                let id = format!("n{}", rng.below(3));
                match rng.below(6) {
                    0 => connect(&registry, step as u64, &id),
                    1 => answer_all(some_conn().map(|conn| registry.disconnected(conn)).unwrap_or_default()),
                    2 => {
                        let target = rng.below(answers.len() as u64).to_string();
                        registry.take(&target, None).into_iter().for_each(|answer| answer(Outcome::TimedOut));
                    }
                    _ => {
                        let counter = answers[step].clone();
                        let answer: Answer = Box::new(move |_| {
                            counter.fetch_add(1, Ordering::Relaxed);
                        });
                        sent[step] = registry.begin(&step.to_string(), &id, "c", answer).is_ok();
                    }
                }
            }
            while let Some(conn) = some_conn() {
                answer_all(registry.disconnected(conn));
            }
            for (step, answers) in answers.iter().enumerate() {
                assert_eq!(answers.load(Ordering::Relaxed), u32::from(sent[step]), "seed {seed}, command {step}");
            }
            assert!(registry.lock().invokes.is_empty(), "seed {seed}");
        }
    }
}
