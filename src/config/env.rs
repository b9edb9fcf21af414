//! `${NAME}` in values, and the variables the file exports (config.md §4).
//!
//! Pure: reads variables through the function it is given and sets none; whoever starts the process exports.

use serde_json::Value;

use super::types::Config;
use crate::base::text::trimmed;

/// A variable that is referred to and not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// Where, as `a.b[0].c`.
    pub at: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Missing env var \"{}\" referenced at config path: {}", self.name, self.at)
    }
}

/// Replaces `${NAME}` in every string of `value`; keys are left alone.
///
/// # Errors
/// The first variable that is unset or empty.
pub fn substitute(value: &mut Value, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Missing> {
    substitute_at(value, "", env)
}

fn substitute_at(value: &mut Value, at: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(), Missing> {
    match value {
        Value::String(text) if text.contains('$') => {
            *text = expand(text, env).map_err(|name| Missing { name, at: at.to_owned() })?;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute_at(item, &format!("{at}[{index}]"), env)?;
            }
        }
        Value::Object(object) => {
            for (key, item) in object {
                let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                substitute_at(item, &at, env)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Expands one string; `Err` is the missing name.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix("$$").and_then(reference) {
            out.push_str(&format!("${{{name}}}"));
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('$').and_then(reference) {
            out.push_str(&env(name).filter(|value| !value.is_empty()).ok_or_else(|| name.to_owned())?);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Splits `{NAME}rest`.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let start = name.bytes().next()?;
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.bytes().all(allowed) && !start.is_ascii_digit()).then_some((name, after))
}

/// Reads a variable of the process.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns a variable of the process, else what the file would set it to; blank ones count as unset.
///
/// The file's variables are exported when the process starts. What was added since is seen here, so that a key that a
/// client stores works without a new process.
pub fn lookup(config: &Config, env: Lookup<'_>, name: &str) -> Option<String> {
    let inline = || config.env.inline.get(name).and_then(Value::as_str).map(str::to_owned);
    env(name)
        .and_then(trimmed)
        .or_else(|| inline().and_then(trimmed))
        .or_else(|| config.env.vars.get(name).and_then(trimmed))
}

/// Returns the variables of `env` in the file that are unset or blank in the process; direct keys win over `env.vars`.
pub fn export(config: &Config, env: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut wanted = config.env.vars.clone();
    for (name, value) in &config.env.inline {
        if let Some(text) = value.as_str() {
            wanted.insert(name.clone(), text.to_owned());
        }
    }
    let blank = |name: &str| env(name).is_none_or(|value| value.trim().is_empty());
    wanted.retain(|name, value| is_settable(name, value) && blank(name));
    wanted.into_iter().collect()
}

/// What the system accepts; anything else would abort the process that sets it.
fn is_settable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.is_empty() && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env(name: &str) -> Option<String> {
        matches!(name, "A" | "B_1").then(|| format!("<{name}>")).or_else(|| (name == "EMPTY").then(String::new))
    }

    #[test]
    fn substitution() {
        for (text, expect) in [
            ("x${A}y${B_1}", Ok("x<A>y<B_1>")),
            ("$${A}", Ok("${A}")),
            ("$$${A}", Ok("$${A}")),
            ("${lower} $A ${1A} ${A", Ok("${lower} $A ${1A} ${A")),
            ("é$", Ok("é$")),
            ("${EMPTY}", Err("EMPTY")),
            ("${NO}", Err("NO")),
        ] {
            let mut tree = json!({"a": [{"b": text}]});
            match (substitute(&mut tree, &env), expect) {
                (Ok(()), Ok(expect)) => assert_eq!(tree["a"][0]["b"], json!(expect), "{text}"),
                (Err(missing), Err(name)) => {
                    assert_eq!(
                        missing.to_string(),
                        format!("Missing env var \"{name}\" referenced at config path: a[0].b")
                    );
                }
                (result, _) => panic!("{text}: {result:?}"),
            }
        }
    }

    #[test]
    fn exports_what_is_not_set() {
        let tree = json!({"env": {"vars": {"X": "1", "Y": "1", "A": "1"}, "Y": "2", "EMPTY": "3", "shellEnv": {"enabled": true}}});
        let config: Config = serde_json::from_value(tree).expect("config");
        for (name, value) in [("A", Some("<A>")), ("Y", Some("2")), ("X", Some("1")), ("NO", None)] {
            assert_eq!(lookup(&config, &env, name).as_deref(), value, "{name}");
        }
        let pairs: Vec<_> = export(&config, env);
        let expect = [("EMPTY", "3"), ("X", "1"), ("Y", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs, expect);
    }
}
