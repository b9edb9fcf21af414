//! Services that tools ask: search, pages, pictures, embeddings; each speaks its documented format here.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Gateway;
use crate::support::home::Home;
use crate::support::provider::{Answer, Asked, Provider};
use crate::support::wire_formats::Part;
use crate::tools::{call, error, text};

/// A picture of one pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[test]
fn brave_is_asked_in_its_own_words() {
    let provider = Provider::judging(|asked| match asked.header("x-subscription-token") {
        Some("secret-brave") => Answer::Json(json!({ "web": { "results": [
            { "title": "Blue", "url": "https://sky.example/blue", "description": "Why it is.", "age": "2 days ago" },
            { "title": "Red", "url": "https://sky.example/red", "description": "Why it is not." },
        ] } })),
        _ => Answer::Refused(422, json!({ "error": "no secret-brave" })),
    });
    let config = json!({ "tools": { "web": { "search": { "apiKey": "secret-brave" } } } });
    let url = provider.url();
    let gateway = Gateway::start_in(Home::with_config(&config), &[], &[("CLAWDBOT_BRAVE_BASE_URL", &url)]);
    let mut client = gateway.client();
    let args = json!({ "query": "blue sky & sea", "count": 1, "country": "DE", "freshness": "pw" });
    let found = call(&mut client, "web_search", &args);
    let row = json!({
        "title": "Blue", "url": "https://sky.example/blue", "description": "Why it is.", "published": "2 days ago",
        "siteName": "sky.example",
    });
    assert_eq!(
        (&found["details"]["results"], &found["details"]["provider"]),
        (&json!([row]), &json!("brave")),
        "{found}"
    );
    let asked = &provider.asked()[0];
    assert_eq!(asked.path, "/v1/web/search?q=blue%20sky%20%26%20sea&count=1&country=DE&freshness=pw");
    assert!(!found.to_string().contains("secret-brave"));
}

#[test]
fn firecrawl_reads_what_cannot_be_fetched() {
    let provider = Provider::judging(|asked| match asked.body["url"].as_str() {
        Some("http://page.invalid/a") => Answer::Json(json!({ "success": true, "data": {
            "markdown": "# Found\n\nIt says hello.",
            "metadata": { "title": "Found", "sourceURL": "http://page.invalid/a", "statusCode": 200 },
        } })),
        _ => Answer::Status(402, "secret-fire has no credits"),
    });
    let origin = provider.origin();
    let env = [("FIRECRAWL_API_KEY", "secret-fire"), ("CLAWDBOT_FIRECRAWL_BASE_URL", origin.as_str())];
    let gateway = Gateway::start_in(Home::with_config(&json!({})), &[], &env);
    let mut client = gateway.client();
    let found = call(&mut client, "web_fetch", &json!({ "url": "http://page.invalid/a" }));
    assert_eq!(
        (&found["details"]["extractor"], &found["details"]["title"]),
        (&json!("firecrawl"), &json!("Found")),
        "{found}"
    );
    assert!(found["details"]["text"].as_str().is_some_and(|it| it.contains("It says hello.")), "{found}");
    let asked = &provider.asked()[0];
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v2/scrape", Some("Bearer secret-fire")));
    assert_eq!((&asked.body["formats"], &asked.body["onlyMainContent"]), (&json!(["markdown"]), &json!(true)));
    let none = error(&call(&mut client, "web_fetch", &json!({ "url": "http://page.invalid/b" })));
    assert!(none.starts_with("Web fetch failed: ") && !none.contains("secret-fire"), "{none}");
}

/// A home with two keys for the provider `test`.
fn two_keys(config: &Value) -> Home {
    let home = Home::with_config(config);
    let dir = home.state_dir().join("agents/main/agent");
    std::fs::create_dir_all(&dir).unwrap();
    let key = |key: &str| json!({ "type": "api_key", "provider": "test", "key": key });
    let profiles = json!({ "test:a": key("secret-one"), "test:b": key("secret-two") });
    let order = json!({ "test": ["test:a", "test:b"] });
    std::fs::write(
        dir.join("auth-profiles.json"),
        json!({ "version": 1, "profiles": profiles, "order": order }).to_string(),
    )
    .unwrap();
    home
}

#[test]
fn a_picture_is_shown_with_the_next_key_and_to_the_next_model() {
    let provider = Provider::judging(|asked| match (asked.header("authorization"), asked.body["model"].as_str()) {
        (Some("Bearer secret-one"), _) => Answer::Status(429, "secret-one is out of luck"),
        (_, Some("blind")) => Answer::Status(400, "images are not supported"),
        _ => Answer::Parts(vec![Part::Text("A single pixel.")]),
    });
    let model = |id: &str| json!({ "id": id, "name": id, "input": ["text", "image"], "contextWindow": 32000, "maxTokens": 4000 });
    let home = two_keys(&json!({
        "models": { "providers": { "test": {
            "baseUrl": provider.url(), "api": "openai-completions", "models": [model("blind"), model("seeing")],
        } } },
        "agents": { "defaults": { "imageModel": { "primary": "test/blind", "fallbacks": ["test/seeing"] } } },
    }));
    let gateway = Gateway::start_in(home, &[], &[]);
    let mut client = gateway.client();
    let image = format!("data:image/png;base64,{PNG}");
    let seen = call(&mut client, "image", &json!({ "image": image, "prompt": "What is it?" }));
    assert_eq!(text(&seen), "A single pixel.", "{seen}");
    assert_eq!(seen["details"], json!({ "model": "test/seeing", "image": "data:" }));
    let asked: Vec<String> = provider
        .asked()
        .iter()
        .map(|it| {
            format!(
                "{} {}",
                it.body["model"].as_str().unwrap_or_default(),
                it.header("authorization").unwrap_or_default()
            )
        })
        .collect();
    // A key that rests is not asked with again.
    assert_eq!(asked, ["blind Bearer secret-one", "blind Bearer secret-two", "seeing Bearer secret-two"]);
    let last = provider.asked().pop().unwrap().body["messages"].to_string();
    assert!(last.contains("What is it?") && last.contains(PNG), "{last}");
}

fn write_note(gateway: &Gateway, path: &str, text: &str) {
    let path = gateway.home.path().join("clawd").join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Animals are one thing, machines another; everything else is neither.
fn vector(text: &str) -> Value {
    let has = |words: &[&str]| f64::from(u8::from(words.iter().any(|word| text.to_lowercase().contains(word))));
    json!([has(&["cat", "kitten", "feline"]), has(&["car", "engine", "vehicle"]), 0.01])
}

fn found(client: &mut Client, query: &str) -> (Vec<String>, Value) {
    let answer = call(client, "memory_search", &json!({ "query": query }))["details"].clone();
    let paths = answer["results"].as_array().expect("results").iter();
    (paths.map(|row| row["path"].as_str().unwrap_or_default().to_owned()).collect(), answer)
}

fn texts_of(asked: &Asked) -> Vec<String> {
    let inputs = asked.body["input"].as_array().into_iter().flatten();
    inputs.map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn notes_are_found_by_meaning_and_only_what_changed_is_asked_about() {
    let is_broken = std::sync::Arc::new(AtomicBool::new(false));
    let breaks = is_broken.clone();
    let provider = Provider::judging(move |asked| {
        if breaks.load(Ordering::Relaxed) {
            return Answer::Status(401, "secret-embed is no key");
        }
        let rows = texts_of(asked).into_iter().enumerate();
        // In another order than asked for: the index tells.
        let mut rows: Vec<Value> =
            rows.map(|(at, text)| json!({ "index": at, "embedding": vector(&text), "object": "embedding" })).collect();
        rows.reverse();
        Answer::Json(json!({ "object": "list", "data": rows, "model": "text-embedding-3-small" }))
    });
    let config = json!({ "agents": { "defaults": { "memorySearch": {
        "provider": "openai", "remote": { "baseUrl": provider.url(), "apiKey": "secret-embed", "headers": { "X-Team": "t" } },
    } } } });
    let gateway = Gateway::start(config);
    write_note(&gateway, "MEMORY.md", "The kitten is called Ada.\n");
    write_note(&gateway, "memory/garage.md", "The engine needs oil.\n");
    let mut client = gateway.client();
    let (paths, answer) = found(&mut client, "feline");
    assert_eq!(paths, ["MEMORY.md"], "{answer}");
    assert_eq!((&answer["provider"], &answer["model"]), (&json!("openai"), &json!("text-embedding-3-small")));
    let asked = provider.asked();
    assert_eq!(
        (asked[0].path.as_str(), asked[0].header("authorization")),
        ("/v1/embeddings", Some("Bearer secret-embed"))
    );
    assert_eq!((&asked[0].body["model"], asked[0].header("x-team")), (&json!("text-embedding-3-small"), Some("t")));
    assert_eq!((texts_of(&asked[0]).len(), texts_of(&asked[1])), (2, vec!["feline".to_owned()]));

    // The other note is new, the first is known, also to another process.
    write_note(&gateway, "memory/garage.md", "The vehicle was sold.\n");
    let gateway = Gateway::start_in(gateway.kill(), &[], &[]);
    let mut client = gateway.client();
    assert_eq!(found(&mut client, "engine trouble").0, ["memory/garage.md"]);
    assert_eq!(texts_of(&provider.asked()[2]), ["The vehicle was sold."]);
    assert_eq!(provider.asked().len(), 4);
    let file = gateway.home.state_dir().join("memory/main.vectors.jsonl");
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 3, "what is gone is forgotten");

    let searched = gateway.cli(&["memory", "search", "feline", "--json"]).json();
    assert_eq!(searched["results"][0]["path"], "MEMORY.md", "{searched}");
    let status = gateway.cli(&["memory", "status", "--json"]).json();
    assert_eq!(
        (&status["files"], &status["chunks"], &status["vectors"]),
        (&json!(2), &json!(2), &json!(2)),
        "{status}"
    );

    // Without the service, words are left.
    is_broken.store(true, Ordering::Relaxed);
    let (paths, answer) = found(&mut client, "kitten");
    assert_eq!((paths, &answer["model"]), (vec!["MEMORY.md".to_owned()], &json!("bm25")), "{answer}");
    assert_eq!(answer["fallback"], json!({ "from": "openai", "reason": "401 *** is no key" }));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("secret-embed"));
}

#[test]
fn conversations_are_found_where_the_owner_wants_it() {
    let provider = Provider::judging(|asked| {
        let rows = texts_of(asked).into_iter().enumerate();
        let rows = rows.map(|(at, text)| json!({ "index": at, "embedding": vector(&text), "object": "embedding" }));
        Answer::Json(json!({ "object": "list", "data": rows.collect::<Vec<_>>(), "model": "m" }))
    });
    let search = |on: bool| {
        json!({ "agents": { "defaults": { "memorySearch": {
            "sources": ["memory", "sessions"], "experimental": { "sessionMemory": on },
            "provider": "openai", "remote": { "baseUrl": provider.url(), "apiKey": "secret-embed" },
        } } } })
    };
    let gateway = Gateway::start(search(true));
    write_note(&gateway, "MEMORY.md", "Nothing of note.\n");
    let mut client = gateway.client();
    let say = |client: &mut Client, run: &str, text: &str| {
        let params = json!({ "sessionKey": "agent:main:friends", "message": text, "idempotencyKey": run });
        client.request("chat.send", params).expect("started");
        assert_eq!(client.chat_end(run)["state"], "final");
    };
    say(&mut client, "r1", "Our kitten is called Zuse.");
    let (paths, answer) = found(&mut client, "Zuse");
    let first = &answer["results"][0];
    assert!(paths[0].starts_with("sessions/") && first["source"] == "sessions", "{answer}");
    assert!(first["snippet"].as_str().is_some_and(|it| it.contains("User: Our kitten is called Zuse.")), "{answer}");
    let is_said = |text: &String| ["User: Our", "User: The car"].iter().any(|start| text.starts_with(start));
    let embedded = |asked: &[Asked]| asked.iter().flat_map(texts_of).filter(is_said).count();
    assert_eq!(embedded(&provider.asked()), 0, "what still grows is found by its words");
    // A long message closes the piece before it and its own beginning: these get their vectors, once.
    say(&mut client, "r2", &format!("The car broke down. {}", "It was a long way home. ".repeat(100)));
    for _ in 0..2 {
        let (paths, answer) = found(&mut client, "feline");
        assert!(paths[0].starts_with("sessions/"), "{answer}");
    }
    assert_eq!(embedded(&provider.asked()), 2);
    let status = gateway.cli(&["memory", "status", "--json"]).json();
    assert!(status["files"] == 1 && status["conversations"].as_u64() >= Some(1), "{status}");

    let kept = gateway.home.state_dir().join("memory/main.sessions.jsonl");
    assert!(kept.exists());
    let home = gateway.kill();
    home.write_config(&search(false).to_string());
    let gateway = Gateway::start_in(home, &[], &[]);
    let (paths, answer) = found(&mut gateway.client(), "Zuse");
    assert!(paths.iter().all(|path| !path.starts_with("sessions/")), "{answer}");
    assert!(!kept.exists(), "what is not wanted any more is not kept");
}

#[test]
fn gemini_embeds_too_and_another_service_steps_in() {
    let provider = Provider::judging(|asked| {
        if asked.path.ends_with("/embeddings") {
            return Answer::Status(403, "not for you");
        }
        let requests = asked.body["requests"].as_array().into_iter().flatten();
        let values = requests
            .map(|it| json!({ "values": vector(it["content"]["parts"][0]["text"].as_str().unwrap_or_default()) }));
        Answer::Json(json!({ "embeddings": values.collect::<Vec<_>>() }))
    });
    let config = json!({
        "agents": { "defaults": { "memorySearch": { "provider": "openai", "fallback": "gemini" } } },
        "models": { "providers": {
            "openai": { "baseUrl": provider.url(), "apiKey": "secret-openai", "models": [] },
            "google": { "baseUrl": format!("{}/v1beta", provider.origin()), "apiKey": "secret-google", "models": [] },
        } },
    });
    let gateway = Gateway::start(config);
    write_note(&gateway, "MEMORY.md", "The kitten is called Ada.\n");
    let (paths, answer) = found(&mut gateway.client(), "feline");
    assert_eq!((paths, &answer["provider"]), (vec!["MEMORY.md".to_owned()], &json!("gemini")), "{answer}");
    assert_eq!(answer["fallback"]["from"], "openai");
    let asked = provider.asked();
    let of_gemini: Vec<&Asked> =
        asked.iter().filter(|it| it.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents").collect();
    let purposes: Vec<&Value> = of_gemini.iter().map(|it| &it.body["requests"][0]["taskType"]).collect();
    assert_eq!(purposes, [&json!("RETRIEVAL_DOCUMENT"), &json!("RETRIEVAL_QUERY")]);
    assert_eq!(of_gemini[0].header("x-goog-api-key"), Some("secret-google"));
}
