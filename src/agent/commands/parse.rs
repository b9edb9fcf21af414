//! Finding commands and directives in what somebody typed.

use super::{Args, Command, Kind, Spec, TABLE};

/// Commands that are answered also within a message, and the rest goes on.
const INLINE: [&str; 4] = ["status", "help", "commands", "whoami"];

/// Returns the command line that a message is which begins with `!`.
pub fn shell(message: &str) -> Option<Command> {
    let rest = message.trim().strip_prefix('!')?.trim_start();
    Some(Command { name: "bash", args: rest.strip_prefix(':').unwrap_or(rest).trim().to_owned() })
}

/// Returns the command that a message is, if it is one as a whole; other texts are for the model.
pub fn parse(message: &str) -> Option<Command> {
    let text = message.trim().strip_prefix('/')?;
    let end = text.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix(':').unwrap_or(rest).trim();
    if let Some(channel) = name.strip_prefix("dock-").or_else(|| name.strip_prefix("dock_")) {
        return rest.is_empty().then(|| Command { name: "dock", args: channel.to_lowercase() });
    }
    let spec = spec(name)?;
    let fits = match spec.args {
        Args::None => rest.is_empty(),
        Args::Word => !rest.contains(char::is_whitespace),
        Args::Any => true,
    };
    // Stopping is recognised before commands are; here the word has nothing to stop.
    (fits && !is_stop(message)).then(|| Command { name: spec.names[0], args: rest.to_owned() })
}

fn spec(name: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// Texts that stop the running answer.
const STOP_WORDS: [&str; 7] = ["/stop", "stop", "esc", "abort", "wait", "exit", "interrupt"];

/// Returns whether a message asks for the running answer to stop.
pub fn is_stop(message: &str) -> bool {
    let text = message.trim();
    STOP_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// What is left of a message once the commands in it are taken out.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// They, in their order.
    pub commands: Vec<Command>,
    /// The rest, trimmed.
    pub rest: String,
}

/// Takes the directives out of a message: `fix it /think high` is `fix it`.
pub fn directives(message: &str) -> Found {
    take_out(message, &|spec| spec.kind == Kind::Directive)
}

/// Takes those commands out of a message that are answered wherever they stand.
pub fn inline(message: &str) -> Found {
    take_out(message, &|spec| INLINE.contains(&spec.names[0]))
}

fn take_out(message: &str, is_wanted: &dyn Fn(&Spec) -> bool) -> Found {
    let mut commands = Vec::new();
    let mut rest = String::new();
    let mut left = message;
    while let Some(at) = left.find('/') {
        let is_start = left[..at].chars().next_back().or(rest.chars().next_back()).is_none_or(char::is_whitespace);
        let word = &left[at + 1..];
        let end = word.find(|c: char| c == ':' || c.is_whitespace()).unwrap_or(word.len());
        let found = spec(&word[..end]).filter(|spec| is_start && is_wanted(spec));
        let Some(found) = found else {
            rest.push_str(&left[..=at]);
            left = word;
            continue;
        };
        rest.push_str(&left[..at]);
        let behind = &word[end..];
        let blanks = |text: &str| text.len() - text.trim_start().len();
        let mut from = blanks(behind);
        if behind[from..].starts_with(':') {
            from += 1;
            from += blanks(&behind[from..]);
        }
        let taken = arguments(found, &behind[from..]);
        // Without an argument the white space stays with the rest.
        let args = behind[from..from + taken].trim();
        left = if args.is_empty() { behind.strip_prefix(':').unwrap_or(behind) } else { &behind[from + taken..] };
        // One blank between what stood around it.
        if rest.ends_with(' ') {
            left = left.strip_prefix(' ').unwrap_or(left);
        }
        commands.push(Command { name: found.names[0], args: args.to_owned() });
    }
    rest.push_str(left);
    Found { commands, rest: rest.trim().to_owned() }
}

/// Returns how many bytes of `text` belong to a directive.
fn arguments(spec: &Spec, text: &str) -> usize {
    let word_len = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    match spec.names[0] {
        "model" => word_len(text),
        "exec" | "queue" => {
            let mut end = 0;
            loop {
                let start = end + text[end..].len() - text[end..].trim_start().len();
                let len = word_len(&text[start..]);
                let word = text[start..start + len].to_lowercase();
                if len == 0 || !is_option(spec.names[0], &word) {
                    return end;
                }
                end = start + len;
            }
        }
        _ if spec.kind == Kind::Directive => {
            let len = word_len(text);
            let is_level = text[..len].chars().all(|c| c.is_ascii_alphabetic() || c == '-');
            // Anything that looks like a level is one, so that a slip of the pen is answered.
            if is_level { len } else { 0 }
        }
        _ => 0,
    }
}

fn is_option(name: &str, word: &str) -> bool {
    let key = word.split(['=', ':']).next().unwrap_or_default();
    let has_value = key.len() < word.len();
    match name {
        "exec" => has_value && matches!(key, "host" | "security" | "ask" | "node"),
        _ => {
            (has_value && matches!(key, "debounce" | "cap" | "drop"))
                || matches!(word, "default" | "reset" | "clear")
                || crate::agent::queue::Mode::parse(word).is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what was found as `name args; name args | rest`.
    fn shown(found: &Found) -> String {
        let commands = found.commands.iter().map(|it| format!("{} {}", it.name, it.args).trim().to_owned());
        format!("{} | {}", commands.collect::<Vec<_>>().join("; "), found.rest)
    }

    #[test]
    fn whole_messages_are_commands() {
        for (message, command) in [
            (" /status ", Some(("status", ""))),
            ("/STATUS", Some(("status", ""))),
            ("/status now", None),
            ("/new", Some(("new", ""))),
            ("/reset say hi\nthere", Some(("reset", "say hi\nthere"))),
            ("/t: high", Some(("think", "high"))),
            ("/think:off", Some(("think", "off"))),
            ("/id", Some(("whoami", ""))),
            ("/dock_telegram", Some(("dock", "telegram"))),
            ("/think high please", None),
            ("fix it /think high", None),
            ("/unknown", None),
            ("/", None),
            ("/newest", None),
            ("/stop", None),
        ] {
            let found = parse(message);
            assert_eq!(found.as_ref().map(|it| (it.name, it.args.as_str())), command, "{message:?}");
        }
        for (message, args) in [("!ls -l", "ls -l"), (" ! poll", "poll"), ("!: a", "a"), ("!", "")] {
            assert_eq!(shell(message).map(|it| it.args).as_deref(), Some(args), "{message:?}");
        }
        assert_eq!(shell("look!"), None);
        assert!(is_stop(" STOP ") && is_stop("/stop") && !is_stop("stop it"));
    }

    #[test]
    fn directives_are_taken_out() {
        for (message, wanted) in [
            ("/think high", "think high | "),
            ("/think high /v on", "think high; verbose on | "),
            ("fix it /think high", "think high | fix it"),
            ("fix /think high it\nnow", "think high | fix it\nnow"),
            ("/think: medium solve 2/3", "think medium | solve 2/3"),
            ("see a/think high", " | see a/think high"),
            ("/model two@work and go", "model two@work | and go"),
            ("/exec host=node ask=off run", "exec host=node ask=off | run"),
            ("/queue collect debounce:2s hello", "queue collect debounce:2s | hello"),
            ("/queue", "queue | "),
            ("/think 5", "think | 5"),
            ("/status", " | /status"),
            ("é /think high é", "think high | é é"),
        ] {
            assert_eq!(shown(&directives(message)), wanted, "{message:?}");
        }
        assert_eq!(shown(&inline("how are you /status today /help")), "status; help | how are you today");
    }
}
