use super::*;
use serde_json::Value;

fn read(update: Value, settings: Value) -> Option<Event> {
    let me = User { id: 99, username: Some("TestBot".into()), ..User::default() };
    let account = Account { id: "default".into(), settings: settings.as_object().cloned().unwrap_or_default() };
    let reader = Reader { me: &me, account: &account };
    reader.event(&serde_json::from_value(update).expect("an update"))
}

fn message(more: Value) -> Inbound {
    let mut message = json!({"message_id": 7, "date": 1000, "chat": {"id": 5, "type": "private"},
        "from": {"id": 5, "first_name": "Ada", "last_name": "L", "username": "ada"}});
    message.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
    match read(json!({"update_id": 3, "message": message}), json!({})) {
        Some(Event::Message(inbound)) => *inbound,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_says_who_where_and_what() {
    let inbound =
        message(json!({"text": " hello @testbot ", "entities": [{"type": "mention", "offset": 7, "length": 8}]}));
    assert_eq!((inbound.update_id.as_str(), inbound.message_id.as_str(), inbound.sent_at), ("3", "7", 1_000_000));
    assert_eq!((inbound.text.as_str(), inbound.chat.id.as_str()), ("hello @testbot", "5"));
    assert_eq!(inbound.mentions, Mentions { can_tell: true, is_ours: true, is_any: true });
    assert_eq!((inbound.sender.id.as_str(), inbound.sender.name.as_deref()), ("5", Some("Ada L")));
    assert_eq!(inbound.sender.meta["firstName"], "Ada");
    assert!(!inbound.is_full);
    assert!(message(json!({"text": "x".repeat(4000)})).is_full);
    assert!(!message(json!({"text": format!("/x {}", "x".repeat(4000))})).is_full);
}

#[test]
fn forums_and_threads() {
    let place = |chat: Value, thread: Value| {
        message(json!({"text": "x", "chat": chat, "message_thread_id": thread})).chat.place()
    };
    assert_eq!(place(json!({"id": -9, "type": "supergroup", "is_forum": true}), Value::Null), "-9:topic:1");
    assert_eq!(place(json!({"id": -9, "type": "supergroup", "is_forum": true}), json!(4)), "-9:topic:4");
    assert_eq!(place(json!({"id": -9, "type": "supergroup"}), json!(4)), "-9:topic:4");
    assert_eq!(place(json!({"id": -9, "type": "group"}), Value::Null), "-9");
}

#[test]
fn media_places_people_and_stickers() {
    let photo = message(
        json!({"caption": "look", "media_group_id": "g", "photo": [{"file_id": "s"}, {"file_id": "l", "file_size": 9}]}),
    );
    assert_eq!((photo.text.as_str(), photo.album.as_deref()), ("look", Some("g")));
    assert_eq!((photo.media[0].kind, &photo.media[0].source), (MediaKind::Image, &json!({"fileId": "l"})));
    for (field, kind) in [
        ("video", MediaKind::Video),
        ("video_note", MediaKind::Video),
        ("audio", MediaKind::Audio),
        ("voice", MediaKind::Audio),
        ("document", MediaKind::Document),
        ("sticker", MediaKind::Sticker),
    ] {
        let inbound = message(json!({field: {"file_id": "f", "mime_type": "a/b", "file_name": "n"}}));
        assert_eq!((inbound.media[0].kind, inbound.text.as_str()), (kind, ""), "{field}");
        assert_eq!(inbound.media[0].name.as_deref(), Some("n"));
    }
    let moving = message(json!({"sticker": {"file_id": "f", "is_video": true, "emoji": "😀"}}));
    assert_eq!((moving.text.as_str(), moving.media.len()), ("<media:sticker> 😀", 0));
    let venue = message(
        json!({"venue": {"location": {"latitude": 1.5, "longitude": 2.0}, "title": "Café", "address": "Street"},
        "location": {"latitude": 1.5, "longitude": 2.0}}),
    );
    assert_eq!(venue.location.expect("a place").name.as_deref(), Some("Café"));
    let live = message(json!({"location": {"latitude": 1.5, "longitude": 2.0, "live_period": 60}}));
    assert!(live.location.expect("a place").is_live);
    let contact = message(json!({"contact": {"phone_number": "+1", "first_name": "Bob"}}));
    assert_eq!(contact.text, "<contact: Bob, +1>");
}

#[test]
fn answers_quotes_and_forwards() {
    let reply = |more: Value| {
        let mut message =
            json!({"message_id": 6, "chat": {"id": 5}, "from": {"id": 99, "first_name": "Bot", "is_bot": true}});
        message.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        message
    };
    let quoted =
        message(json!({"text": "x", "reply_to_message": reply(json!({"text": "said"}))})).quoted.expect("quoted");
    let expected = Quoted { message_id: Some("6".into()), sender: "Bot".into(), text: "said".into(), is_ours: true };
    assert_eq!(quoted, expected);
    let part =
        json!({"text": "x", "reply_to_message": reply(json!({"text": "long words"})), "quote": {"text": "words"}});
    assert_eq!(message(part).quoted.expect("quoted").text, "words");
    let voice = json!({"text": "x", "reply_to_message": reply(json!({"voice": {"file_id": "v"}}))});
    assert_eq!(message(voice).quoted.expect("quoted").text, "<media:audio>");
    assert_eq!(message(json!({"text": "x", "reply_to_message": reply(json!({}))})).quoted, None);

    for (more, label) in [
        (
            json!({"forward_origin": {"type": "user", "date": 2, "sender_user": {"id": 1, "first_name": "A", "username": "a"}}}),
            "A (@a)",
        ),
        (json!({"forward_origin": {"type": "hidden_user", "date": 2, "sender_user_name": "H"}}), "H"),
        (
            json!({"forward_origin": {"type": "channel", "date": 2, "chat": {"id": -1, "type": "channel", "title": "C"}, "author_signature": "S"}}),
            "C (S)",
        ),
        (json!({"forward_from": {"id": 8}, "forward_date": 2}), "user:8"),
        (json!({"forward_from_chat": {"id": -1, "type": "channel"}, "forward_date": 2}), "channel:-1"),
    ] {
        let mut more = more;
        more["text"] = "x".into();
        let forwarded = message(more).forwarded.expect("forwarded");
        assert_eq!((forwarded.label.as_str(), forwarded.sent_at), (label, Some(2000)));
    }
}

#[test]
fn buttons_speak_for_who_pressed_them() {
    let query = |data: &str| {
        json!({"update_id": 4, "callback_query": {"id": "cb", "from": {"id": 8, "first_name": "P"}, "data": data,
            "message": {"message_id": 7, "date": 1, "chat": {"id": -9, "type": "supergroup", "is_forum": true}, "message_thread_id": 3}}})
    };
    let Some(Event::Message(inbound)) = read(query(" /think high "), json!({})) else { panic!("a message") };
    assert_eq!((inbound.text.as_str(), inbound.message_id.as_str(), inbound.is_button), ("/think high", "cb", true));
    assert_eq!((inbound.sender.id.as_str(), inbound.chat.place().as_str()), ("8", "-9:topic:3"));
    assert_eq!(read(query("  "), json!({})), None);
    assert_eq!(read(query("x"), json!({"capabilities": {"inlineButtons": "dm"}})), None);
}

#[test]
fn reactions_are_told_when_they_are_wanted() {
    let update = |message: i64| {
        json!({"update_id": 5, "message_reaction": {"chat": {"id": 5, "type": "private"}, "message_id": message, "date": 1,
            "user": {"id": 8, "first_name": "P"}, "old_reaction": [{"type": "emoji", "emoji": "👍"}],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}, {"type": "emoji", "emoji": "🔥"}, {"type": "custom_emoji"}]}})
    };
    let Some(Event::Reaction(reacted)) = read(update(70), json!({})) else { panic!("a reaction") };
    assert_eq!((reacted.emoji.as_slice(), reacted.message_id.as_str()), (&["🔥".to_owned()][..], "70"));
    assert_eq!(read(update(70), json!({"reactionNotifications": "off"})), None);
}

#[test]
fn what_is_not_answered_is_nothing() {
    for update in [
        json!({"update_id": 1}),
        json!({"update_id": 1, "edited_message": {"message_id": 1, "text": "x"}}),
        json!({"update_id": 1, "channel_post": {"message_id": 1, "text": "x"}}),
        json!({"update_id": 1, "message": {"message_id": 1, "chat": {"id": 1, "type": "group"}, "new_chat_title": "t"}}),
        json!({"update_id": 1, "my_chat_member": {"chat": {"id": 1}, "new_chat_member": {"status": "kicked"}}}),
    ] {
        assert_eq!(read(update, json!({})), None);
    }
    let moved = read(json!({"update_id": 1, "message": {"chat": {"id": -1}, "migrate_to_chat_id": -100}}), json!({}));
    assert_eq!(moved, Some(Event::Moved { update_id: "1".into(), from: "-1".into(), to: "-100".into() }));
}
