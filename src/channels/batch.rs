//! Which received events are answered together: albums, texts that a network cut in pieces, quick messages. Pure.

use super::inbound::{Event, Inbound};
use super::received::Item;
use crate::base::clock::UnixMs;

/// How long an album is waited for after its last part, in milliseconds.
const ALBUM_MS: UnixMs = 500;
/// The same for the rest of a long text.
const FRAGMENT_MS: UnixMs = 1500;
/// Parts and characters of a text that was cut in pieces.
const FRAGMENTS_MAX: usize = 12;
const FRAGMENT_CHARS_MAX: usize = 50_000;
/// Quick messages that are answered together.
const QUICK_MAX: usize = 100;

/// How quick messages are put together.
pub trait Pace {
    /// Returns how long after a message another one is waited for; 0 when this one is answered by itself.
    fn debounce_ms(&self, item: &Item, message: &Inbound) -> u64;
}

/// What to do with the front of a conversation's queue.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// So many of them, at least one, are handled now.
    Take(usize),
    /// More may come until then.
    Wait(UnixMs),
}

/// Decides about a queue that is not empty.
pub fn decide<'a>(queue: impl Iterator<Item = &'a Item> + Clone, pace: &dyn Pace, now_ms: UnixMs) -> Decision {
    let messages = queue.map(|item| match &item.event {
        Event::Message(message) => Some((item, &**message)),
        _ => None,
    });
    let Some(Some((first_item, first))) = messages.clone().next() else { return Decision::Take(1) };
    if let Some(album) = &first.album {
        let same = |next: &Inbound| next.album.as_ref() == Some(album) && next.sender.id == first.sender.id;
        return gather(messages, |_, _, next| same(next.1), usize::MAX, ALBUM_MS, now_ms);
    }
    if is_fragment(first) && first.is_full {
        let mut chars = first.text.chars().count();
        let follows = move |last: (&Item, &Inbound), _: usize, next: (&Item, &Inbound)| {
            chars += next.1.text.chars().count();
            is_fragment(next.1)
                && next.1.sender.id == last.1.sender.id
                && is_next_id(&last.1.message_id, &next.1.message_id)
                && next.0.at.saturating_sub(last.0.at) <= FRAGMENT_MS
                && chars <= FRAGMENT_CHARS_MAX
        };
        return gather(messages, follows, FRAGMENTS_MAX, FRAGMENT_MS, now_ms);
    }
    let pause = pace.debounce_ms(first_item, first);
    if pause == 0 {
        return Decision::Take(1);
    }
    let follows = |_: (&Item, &Inbound), _: usize, next: (&Item, &Inbound)| {
        next.1.sender.id == first.sender.id && next.1.album.is_none() && pace.debounce_ms(next.0, next.1) > 0
    };
    gather(messages, follows, QUICK_MAX, pause, now_ms)
}

/// Counts what belongs to the first; when nothing else follows, more may come for `pause` after the last.
fn gather<'a>(
    messages: impl Iterator<Item = Option<(&'a Item, &'a Inbound)>>,
    mut follows: impl FnMut((&Item, &Inbound), usize, (&Item, &Inbound)) -> bool,
    max: usize,
    pause: UnixMs,
    now_ms: UnixMs,
) -> Decision {
    let (mut count, mut last) = (0, None);
    for message in messages {
        match (message, last) {
            (Some(message), None) => last = Some(message),
            (Some(message), Some(before)) if count < max && follows(before, count, message) => last = Some(message),
            _ => return Decision::Take(count),
        }
        count += 1;
    }
    let until = last.map_or(0, |(item, _)| item.at.saturating_add(pause));
    if count >= max || until <= now_ms { Decision::Take(count.max(1)) } else { Decision::Wait(until) }
}

fn is_fragment(message: &Inbound) -> bool {
    message.media.is_empty() && !message.text.is_empty() && !message.text.starts_with('/') && !message.is_button
}

fn is_next_id(last: &str, next: &str) -> bool {
    matches!((last.parse::<i64>(), next.parse::<i64>()), (Ok(last), Ok(next)) if last.checked_add(1) == Some(next))
}

/// Puts messages that belong together into one: the texts in order, the media of all, the last one's id; an album speaks
/// with the voice of its first message that has a text.
pub fn merge(messages: Vec<Inbound>) -> Option<Inbound> {
    let mut messages = messages.into_iter();
    let mut merged = messages.next()?;
    for next in messages {
        let is_album = merged.album.is_some() && merged.album == next.album;
        let is_rest = merged.is_full && merged.media.is_empty() && !is_album;
        match (merged.text.is_empty(), next.text.is_empty()) {
            (_, true) => {}
            (true, false) => merged.text = next.text,
            (false, false) if is_album => {}
            (false, false) => {
                merged.text.push_str(if is_rest { "" } else { "\n" });
                merged.text.push_str(&next.text);
            }
        }
        merged.media.extend(next.media);
        merged.is_full = next.is_full;
        if !is_album {
            merged.message_id = next.message_id;
            merged.quoted = next.quoted.or(merged.quoted);
        }
        merged.update_id = next.update_id;
        merged.sent_at = merged.sent_at.max(next.sent_at);
        merged.mentions.can_tell |= next.mentions.can_tell;
        merged.mentions.is_ours |= next.mentions.is_ours;
        merged.mentions.is_any |= next.mentions.is_any;
        merged.forwarded = merged.forwarded.or(next.forwarded);
        merged.location = merged.location.or(next.location);
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::inbound::{MediaKind, MediaRef, Reacted};
    use serde_json::Value;

    struct Quick(u64);

    impl Pace for Quick {
        fn debounce_ms(&self, _: &Item, message: &Inbound) -> u64 {
            if message.text.starts_with('/') || message.text.is_empty() { 0 } else { self.0 }
        }
    }

    fn item(id: u64, at: UnixMs, change: impl FnOnce(&mut Inbound)) -> Item {
        let mut message = Inbound { message_id: id.to_string(), text: "x".into(), ..Inbound::default() };
        change(&mut message);
        Item { channel: "t".into(), account: "d".into(), at, event: Event::Message(Box::new(message)) }
    }

    fn check(items: &[Item], debounce_ms: u64, now_ms: UnixMs, expected: Decision) {
        assert_eq!(decide(items.iter(), &Quick(debounce_ms), now_ms), expected, "{items:?}");
    }

    #[test]
    fn what_belongs_together() {
        use Decision::{Take, Wait};
        let plain = |id, at| item(id, at, |_| ());
        let album = |id, at, name: &str| item(id, at, |it| it.album = Some(name.to_owned()));
        let long = |id, at| item(id, at, |it| it.is_full = true);
        check(&[plain(1, 0), plain(2, 0)], 0, 0, Take(1));
        check(&[plain(1, 0), plain(2, 100)], 300, 200, Wait(400));
        check(&[plain(1, 0), plain(2, 100)], 300, 400, Take(2));
        check(&[plain(1, 0), item(2, 1, |it| it.text = "/stop".into())], 300, 2, Take(1));
        check(&[plain(1, 0), item(2, 1, |it| it.sender.id = "other".into())], 300, 2, Take(1));
        check(&[album(1, 0, "a"), album(2, 400, "a")], 0, 600, Wait(900));
        check(&[album(1, 0, "a"), album(2, 400, "a"), album(3, 400, "b")], 0, 600, Take(2));
        check(&[long(1, 0)], 0, 100, Wait(1500));
        check(&[long(1, 0), long(2, 100), plain(3, 200)], 0, 300, Wait(1700));
        check(&[long(1, 0), plain(3, 100)], 0, 300, Take(1));
        let reaction = Event::Reaction(Box::<Reacted>::default());
        check(&[Item { event: reaction, ..plain(1, 0) }, plain(2, 0)], 300, 0, Take(1));
    }

    #[test]
    fn merged() {
        let message = |id: &str, text: &str, change: &dyn Fn(&mut Inbound)| {
            let mut message = Inbound { message_id: id.into(), text: text.into(), ..Inbound::default() };
            change(&mut message);
            message
        };
        let quick = merge(vec![message("1", "a", &|_| ()), message("2", "b", &|_| ())]).expect("two");
        assert_eq!((quick.text.as_str(), quick.message_id.as_str()), ("a\nb", "2"));
        let long = merge(vec![message("1", "ab", &|it| it.is_full = true), message("2", "cd", &|_| ())]).expect("two");
        assert_eq!(long.text, "abcd");
        let photo = |it: &mut Inbound| {
            it.album = Some("g".into());
            let media =
                MediaRef { kind: MediaKind::Image, source: Value::Null, mime: None, name: None, size_bytes: None };
            it.media = vec![media];
        };
        let album = merge(vec![message("1", "", &photo), message("2", "look", &photo)]).expect("two");
        assert_eq!((album.text.as_str(), album.message_id.as_str(), album.media.len()), ("look", "1", 2));
        assert_eq!(merge(Vec::new()), None);
    }
}
