//! The network fails, in every way and for long: the gateway lives, polls on by itself, and says how it is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::idle::cost;
use super::{config, gateway, receiving, status};
use crate::support::PATIENCE;
use crate::support::bot_api::{BotApi, Fault};
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Gate, Provider};

/// Attempts that stand for minutes: with the product's own pauses they take that long.
const MANY: usize = 25;

/// Waits until the account's row is as wanted.
fn wait_status(gateway: &Gateway, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let row = status(gateway);
        if is_so(&row) {
            return row;
        }
        assert!(Instant::now() < until, "{what}: {row:#}");
    }
}

fn error_has(row: &Value, words: &str) -> bool {
    row["lastError"].as_str().is_some_and(|error| error.contains(words))
}

#[test]
fn every_fault_of_the_poll_is_survived_and_shown() {
    let gate = Gate::default();
    let faults: Vec<(Fault, &str, usize)> = vec![
        (Fault::Close, "Network request for 'getUpdates' failed", MANY),
        (Fault::Reset, "Network request for 'getUpdates' failed", MANY),
        (Fault::Refuse(409, "Conflict: terminated by other getUpdates request", None), "conflict", MANY),
        (Fault::Refuse(429, "Too Many Requests: retry after 0", Some(0)), "Too Many Requests", MANY),
        (Fault::Refuse(500, "Internal Server Error", None), "(500: Internal Server Error)", MANY),
        (Fault::Html(502), "not of the Bot API (HTTP 502)", MANY),
        (Fault::Html(200), "not of the Bot API (HTTP 200)", MANY),
        (Fault::Garbage, "not of the Bot API", MANY),
        // Done as long as a poll takes, then torn.
        (Fault::Half, "Network request for 'getUpdates' failed", 3),
        // Each costs the watchdog's whole patience.
        (Fault::Hang(gate.clone()), "timeout", 2),
    ];
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({}));
    wait_status(&gateway, "connected", |row| row["connected"] == true);
    for (fault, words, count) in faults {
        let from = api.calls().len();
        api.say(5, "held up");
        api.fail(move |call| (call.method == "getUpdates").then(|| fault.clone()));
        api.wait(words, |api| api.calls().len() >= from + count);
        let row = wait_status(&gateway, words, |row| error_has(row, words));
        assert_eq!((&row["running"], &row["connected"]), (&json!(true), &json!(false)), "{row:#}");
        assert!(row["reconnectAttempts"].as_u64().unwrap() > 0, "{row:#}");
        assert!(!row.to_string().contains("AAtest-token"), "{row:#}");
        api.heal();
        api.wait("what was held up is taken", |api| api.pending() == 0);
        let row = wait_status(&gateway, "connected again", |row| row["connected"] == true);
        assert_eq!((&row["lastError"], &row["reconnectAttempts"]), (&Value::Null, &json!(0)), "{row:#}");
    }
    gate.open();
    assert_eq!(api.polls_at_once_max(), 1, "one poll at a time");
}

#[test]
fn a_server_that_is_away_is_found_again() {
    let api = BotApi::start();
    api.go_down();
    // Away before the start: not even the bot's name is known.
    let gateway = gateway(&api, &json!({}));
    let row = wait_status(&gateway, "refused", |row| row["reconnectAttempts"].as_u64() > Some(20));
    assert!(error_has(&row, "Connection refused"), "{row:#}");
    let peak = gateway.memory_peak_bytes();
    api.come_up();
    wait_status(&gateway, "connected", |row| row["connected"] == true);
    api.say(5, "hello");
    api.wait("taken", |api| api.pending() == 0);
    // Away in the middle of a poll.
    api.go_down();
    wait_status(&gateway, "away again", |row| {
        row["connected"] == false && row["reconnectAttempts"].as_u64() > Some(50)
    });
    if let (Some(before), Some(after)) = (peak, gateway.memory_peak_bytes()) {
        assert!(after < before + 4 * 1024 * 1024, "{before} -> {after}");
    }
    api.come_up();
    wait_status(&gateway, "back", |row| row["connected"] == true);
}

#[test]
fn a_name_that_cannot_be_resolved_ends_nothing() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({"apiRoot": "http://no-such-host.invalid"}));
    let row = wait_status(&gateway, "tried", |row| row["reconnectAttempts"].as_u64() > Some(3));
    assert_eq!(row["running"], true);
    // In the words of the system's resolver.
    assert!(error_has(&row, "Network request for 'getMe' failed: "), "{row:#}");
    gateway.client().request("health", json!({})).expect("alive");
}

#[test]
fn a_wrong_token_says_so() {
    let api = BotApi::start();
    let gateway = gateway(&api, &json!({"botToken": "7:wrong"}));
    let row = wait_status(&gateway, "refused", |row| error_has(row, "401: Unauthorized"));
    assert!(error_has(&row, "is the bot token right?"), "{row:#}");
    assert_eq!(row["connected"], false);
}

#[test]
fn a_restart_in_the_process_and_a_reload_never_poll_twice() {
    let api = BotApi::start();
    let mut gateway = gateway(&api, &json!({}));
    wait_status(&gateway, "connected", |row| row["connected"] == true);
    for round in 0..4 {
        let before = api.done("getMe").len();
        if round % 2 == 0 {
            gateway.signal(libc::SIGUSR1);
        } else {
            // The channel starts anew when its settings change.
            let changed = config(&api, &json!({"mediaMaxMb": round + 1}));
            let mut whole: Value =
                serde_json::from_str(&std::fs::read_to_string(gateway.home.config_file()).unwrap()).unwrap();
            whole["channels"] = changed["channels"].clone();
            gateway.home.write_config(&whole.to_string());
        }
        api.wait_done("getMe", before + 1);
        api.say(5, "hello");
        api.wait("taken", |api| api.pending() == 0);
    }
    assert_eq!(api.polls_at_once_max(), 1);
    // The poll under way does not hold up the end.
    let started = Instant::now();
    assert_eq!(gateway.stop().code, Some(0));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[test]
fn two_accounts_with_one_token_do_not_fight() {
    let api = BotApi::start();
    let own = json!({"botToken": crate::support::bot_api::TOKEN});
    let accounts = json!({"accounts": {"default": own, "second": own}});
    let gateway = Gateway::start_in(Home::with_config(&config(&api, &accounts)), &[], &super::ENV);
    let until = Instant::now() + PATIENCE;
    loop {
        let status = gateway.client().request("channels.status", json!({})).unwrap();
        let rows = status["channelAccounts"]["telegram"].as_array().unwrap().clone();
        let refused = rows.iter().filter(|row| error_has(row, "have the same bot token")).count();
        if refused == 1 && rows.iter().filter(|row| row["connected"] == true).count() == 1 {
            break;
        }
        assert!(Instant::now() < until, "{rows:#?}");
    }
    assert!(api.polls_at_once_max() <= 1);
}

#[test]
fn a_server_that_counts_anew_loses_nothing() {
    let api = BotApi::start();
    api.number_from(900_000_000);
    let gateway = gateway(&api, &json!({}));
    let last = {
        api.say(5, "one");
        let id = api.push(json!({"edited_message": {"message_id": 1, "date": 1, "text": "one!", "chat": {"id": 5, "type": "private"}}}));
        api.wait("taken", |api| api.pending() == 0);
        id
    };
    let file = gateway.home.state_dir().join("telegram/update-offset-default.json");
    let mark = || std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(mark(), format!("{{\n  \"version\": 1,\n  \"lastUpdateId\": {last}\n}}\n"));
    // As after a week of silence, in which the gateway was stopped.
    let home = gateway.kill();
    api.number_from(17);
    api.say(5, "two");
    let _gateway = Gateway::start_in(home, &[], &super::ENV);
    api.wait("taken", |api| api.pending() == 0);
    assert!(mark().contains("\"lastUpdateId\": 17"), "{}", mark());
}

/// How long each fault lasts in the long form, and how long everything may take to be well again: the longest pause.
const FAULT_LASTS: Duration = Duration::from_secs(20);
const RECOVERY: Duration = Duration::from_secs(90);

fn within(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + RECOVERY;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {RECOVERY:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn minutes_of_faults_at_the_products_own_pace() {
    if std::env::var("CLAWDBOT_SOAK").as_deref() != Ok("1") {
        return println!("SKIPPED: minutes of faults (CLAWDBOT_SOAK=1)");
    }
    let api = BotApi::start();
    let provider = Provider::always(Answer::Text(vec!["answered"]));
    let home = receiving::home(&api, &provider, &json!({}));
    let gateway = Gateway::start_in(home, &[], &[("CLAWDBOT_SKIP_CHANNELS", "0")]);
    api.say(5, "before");
    within("the first is answered", || api.texts("5").len() == 1);
    let (mut said, mut memory) = (1, Vec::new());
    let gate = Gate::default();
    let faults: Vec<(&str, Option<Fault>)> = vec![
        ("closed", Some(Fault::Close)),
        ("reset", Some(Fault::Reset)),
        ("409", Some(Fault::Refuse(409, "Conflict: terminated by other getUpdates request", None))),
        ("429", Some(Fault::Refuse(429, "Too Many Requests: retry after 3", Some(3)))),
        ("500", Some(Fault::Refuse(500, "Internal Server Error", None))),
        ("a page", Some(Fault::Html(502))),
        ("away", None),
        ("hanging", Some(Fault::Hang(gate.clone()))),
    ];
    for (name, fault) in faults {
        api.say(5, name);
        api.say(5, "and another");
        // What was taken before is answered into the fault.
        match fault.clone() {
            // A conflict is one of polls alone.
            Some(fault) => api.fail(move |call| (name != "409" || call.method == "getUpdates").then(|| fault.clone())),
            None => api.go_down(),
        }
        said += 2;
        let until = Instant::now() + FAULT_LASTS;
        while Instant::now() < until {
            std::thread::park_timeout(Duration::from_secs(1));
            gateway.client().request("health", json!({})).expect("alive");
        }
        let row = status(&gateway);
        // Who hangs is noticed by the watchdog, later than this.
        assert!(row["connected"] == false || name == "hanging", "{name}: {row:#}");
        match fault {
            Some(_) => api.heal(),
            None => api.come_up(),
        }
        within(name, || api.texts("5").len() >= said);
        within(name, || status(&gateway)["connected"] == true);
        assert_eq!(status(&gateway)["lastError"], Value::Null, "{name}");
        memory.extend(cost(&gateway).map(|(memory, _)| memory));
        println!("{name}: {said} answered, {:?} KiB", memory.last());
    }
    gate.open();
    // Once each; two that came together may have one answer between them, never more than there were.
    assert_eq!(api.texts("5").len(), said, "{:?}", api.texts("5"));
    if let (Some(first), Some(last)) = (memory.first(), memory.last()) {
        assert!(*last <= first + 1024, "{memory:?} KiB");
    }
}
