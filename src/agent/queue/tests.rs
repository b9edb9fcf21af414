//! Scenarios on a virtual clock: each line is `time what -> what comes of it`.

use super::*;

fn settings(words: &str) -> Settings {
    let options = Options::parse(words);
    assert_eq!(options.wrong, None, "{words}");
    let default = Settings::default();
    Settings {
        mode: options.mode.unwrap_or(default.mode),
        debounce_ms: options.debounce_ms.unwrap_or(default.debounce_ms),
        cap: options.cap.unwrap_or(default.cap),
        drop: options.drop.unwrap_or(default.drop),
    }
}

/// A message as `name` or, with a way back, `name@chat`; its id in the network is what stands behind `#`.
fn item(word: &str) -> Item {
    let (word, message_id) = word.split_once('#').map_or((word, None), |(word, id)| (word, Some(id.to_owned())));
    let (name, chat) = word.split_once('@').map_or((word, None), |(name, chat)| (name, Some(chat)));
    let route = chat.map(|to| Route {
        channel: "telegram".into(),
        account: "default".into(),
        to: to.into(),
        thread: None,
        reply_to: None,
    });
    Item { id: RunId::new(name), text: format!("say  {name}"), route, message_id }
}

fn names<'a>(ids: impl IntoIterator<Item = &'a RunId>) -> String {
    let names: Vec<&str> = ids.into_iter().map(RunId::as_str).collect();
    names.join("+")
}

fn shown_waits(waits: &Waits) -> String {
    match waits {
        Waits::Queued { forgotten } if forgotten.is_empty() => "waits".into(),
        Waits::Queued { forgotten } => format!("waits, forgets {}", names(forgotten)),
        Waits::Refused => "refused".into(),
    }
}

fn shown_next(next: &Next) -> String {
    match next {
        Next::Nothing => "nothing".into(),
        Next::In(ms) => format!("in {ms}"),
        Next::Run(batch) => {
            let dropped: Vec<&str> = batch.dropped.iter().map(|(_, line)| line.as_str()).collect();
            let items = names(batch.items.iter().map(|item| &item.id));
            match batch.dropped_count {
                0 => format!("run {items}"),
                count => format!("run {items} after {count}: {}", dropped.join(", ")),
            }
        }
    }
}

/// Plays the lines and insists on what comes of each.
fn check(words: &str, script: &str) {
    let settings = settings(words);
    let session = SessionKey::new("agent:main:main");
    let mut queues = Queues::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (step, wanted) = line.split_once(" -> ").expect("an arrow");
        let parts: Vec<&str> = step.split(' ').collect();
        let now_ms: UnixMs = parts[0].parse().expect("a time");
        let came = match (parts[1], parts.get(2)) {
            ("msg", Some(word)) => match queues.arrive(&session, item(word), settings, now_ms) {
                Arrival::Run => "run".to_owned(),
                Arrival::Interrupt { stop, clear } => format!("interrupt {} {}", names(&stop), names(&clear)),
                Arrival::Steer { into, is_kept } => format!("steer {} {is_kept}", names(&into)),
                Arrival::Waits(waits) => shown_waits(&waits),
            },
            ("keep", Some(word)) => shown_waits(&queues.enqueue(&session, item(word), settings, now_ms)),
            ("begin", Some(name)) => {
                queues.began(&session, &RunId::new(*name));
                "ok".to_owned()
            }
            ("end", Some(name)) => {
                queues.ended(&session, &RunId::new(*name));
                shown_next(&queues.next(&session, now_ms))
            }
            ("withdraw", Some(name)) => queues.withdraw(&session, &RunId::new(*name)).to_string(),
            ("due", None) => shown_next(&queues.next(&session, now_ms)),
            other => panic!("{other:?}"),
        };
        assert_eq!(came.trim_end(), wanted, "{words}: {line}");
    }
}

#[test]
fn messages_to_an_idle_session_run_at_once() {
    for mode in ["steer", "followup", "collect", "steer-backlog", "interrupt"] {
        check(mode, "0 msg a -> run\n5 end a -> nothing\n6 msg b -> run");
    }
}

#[test]
fn followups_run_one_by_one_after_a_quiet_moment() {
    check(
        "followup debounce:1s",
        "0 msg a@x -> run
         10 msg b@x -> waits
         20 msg c@x -> waits
         500 end a -> in 520
         600 msg d@x -> waits
         1020 due -> in 580
         1600 due -> run b
         1700 end b -> run c
         1800 end c -> run d
         1900 end d -> nothing",
    );
}

#[test]
fn collected_messages_are_one_turn_when_they_came_the_same_way() {
    check(
        "collect debounce:1s",
        "0 msg a@x -> run
         10 msg b@x -> waits
         20 msg c@x -> waits
         2000 end a -> run b+c
         2010 msg d@x -> waits
         2020 msg e@y -> waits
         2030 msg f@x -> waits
         4000 end c -> run d
         4001 end d -> run e
         4002 end e -> run f
         4003 end f -> nothing
         5000 msg g -> run
         5001 msg h -> waits
         5002 msg i -> waits
         9000 end g -> run h
         9001 end h -> run i",
    );
}

#[test]
fn steering_goes_to_the_run_and_waits_when_it_takes_nothing() {
    check(
        "steer debounce:0",
        "0 msg a@x -> run
         1 msg b@x -> steer a false
         2 keep b@x -> waits
         3 end a -> run b",
    );
    check(
        "steer-backlog debounce:0",
        "0 msg a@x -> run
         1 msg b@x -> steer a true
         2 keep b@x -> waits
         3 end a -> run b",
    );
}

#[test]
fn an_interruption_stops_everything_before_it() {
    check(
        "interrupt",
        "0 msg a@x -> run
         1 keep b@x -> waits
         2 msg c@x -> interrupt a b
         3 end a -> nothing
         4 end c -> nothing",
    );
}

#[test]
fn beyond_the_cap_the_policy_decides() {
    check(
        "collect cap:2 drop:new debounce:0",
        "0 msg a@x -> run
         1 msg b@x -> waits
         2 msg c@x -> waits
         3 msg d@x -> refused
         4 end a -> run b+c",
    );
    check(
        "collect cap:2 drop:old debounce:0",
        "0 msg a@x -> run
         1 msg b@x -> waits
         2 msg c@x -> waits
         3 msg d@x -> waits, forgets b
         4 end a -> run c+d",
    );
    check(
        "collect cap:1 drop:summarize debounce:0",
        "0 msg a@x -> run
         1 msg b@x -> waits
         2 msg c@x -> waits
         3 msg d@x -> waits, forgets b
         4 end a -> run d after 2: say c
         5 end d -> nothing",
    );
}

#[test]
fn a_repeated_message_waits_once() {
    check(
        "collect debounce:0",
        "0 msg a@x -> run
         1 msg b@x#7 -> waits
         2 msg c@x#7 -> refused
         3 msg d@y#7 -> waits
         4 withdraw b -> true
         5 withdraw b -> false
         6 end a -> run d",
    );
}

#[test]
fn other_runs_of_the_session_keep_messages_waiting() {
    check(
        "collect debounce:0",
        "0 begin heartbeat -> ok
         1 msg a@x -> waits
         2 begin cron -> ok
         3 end heartbeat -> nothing
         4 end cron -> run a",
    );
}

#[test]
fn prompts_of_what_waited() {
    let batch = |names: &[&str], dropped: &[&str]| Batch {
        items: names.iter().map(|name| item(name)).collect(),
        dropped: dropped.iter().map(|line| (RunId::new("x"), (*line).to_owned())).collect(),
        dropped_count: dropped.len() as u64,
    };
    let prompt = |batch: &Batch| batch.prompt(|item| item.text.clone());
    assert_eq!(prompt(&batch(&["a"], &[])), "say  a");
    assert_eq!(
        prompt(&batch(&["a", "b"], &["one", "two"])),
        "[Queued messages while agent was busy]\n\n[Queue overflow] Dropped 2 messages due to cap.\nSummary:\n- one\n- two\n\n\
         ---\nQueued #1\nsay  a\n\n---\nQueued #2\nsay  b"
    );
    assert_eq!(
        prompt(&batch(&["a"], &["one"])),
        "[Queue overflow] Dropped 1 message due to cap.\nSummary:\n- one\n\nsay  a"
    );
}
