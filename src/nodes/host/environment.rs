//! What commands see: the environment they get, and where programs are found.
//!
//! Pure functions over variables and `PATH`. A caller may add variables, but none of those by which interpreters and the
//! linker load code.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::base::process::{self, WITHHELD};

/// Variables that make an interpreter load code: a caller may not set them.
const BLOCKED: &[&str] = &[
    "BASH_ENV",
    "ENV",
    "NODE_OPTIONS",
    "PERL5LIB",
    "PERL5OPT",
    "PS4",
    "PYTHONHOME",
    "PYTHONPATH",
    "RUBYOPT",
    "SHELLOPTS",
];
/// The same, for the dynamic linker.
const BLOCKED_PREFIXES: &[&str] = &["DYLD_", "LD_"];

/// Returns those of the caller's variables that a command gets; `PATH` may only be given directories in front of the
/// usual ones.
pub(super) fn accepted(base_path: &str, asked: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut accepted = BTreeMap::new();
    for (name, value) in asked {
        let name = name.trim();
        let upper = name.to_ascii_uppercase();
        // The system takes no such names and values.
        let is_impossible = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        let is_blocked = BLOCKED.contains(&upper.as_str()) || BLOCKED_PREFIXES.iter().any(|it| upper.starts_with(it));
        if is_impossible || is_blocked {
            continue;
        }
        if upper != "PATH" {
            accepted.insert(name.to_owned(), value.clone());
        } else if value.trim().ends_with(&format!(":{base_path}")) {
            accepted.insert(upper, value.trim().to_owned());
        }
    }
    accepted
}

/// Returns the environment of a command: this process's own with the accepted variables.
pub(super) fn complete(
    own: impl IntoIterator<Item = (String, String)>,
    base_path: &str,
    accepted: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut complete: BTreeMap<String, String> =
        own.into_iter().filter(|(name, _)| !WITHHELD.contains(&name.as_str())).collect();
    complete.insert("PATH".to_owned(), base_path.to_owned());
    complete.extend(accepted.clone());
    complete
}

/// Returns the program that `name` stands for in the directories of `path`; names with a slash are none.
pub(super) fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    let is_name = !name.is_empty() && !name.contains(['/', '\\', '\0']);
    if is_name { process::find_program_in(name, OsStr::new(path)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(added: &[(&str, &str)], expected: &[(&str, &str)]) {
        let pairs = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let own = pairs(&[("HOME", "/h"), ("CLAWDBOT_GATEWAY_TOKEN", "t"), ("PATH", "/other")]);
        let mut expected = pairs(expected);
        expected.entry("HOME".to_owned()).or_insert_with(|| "/h".to_owned());
        expected.entry("PATH".to_owned()).or_insert_with(|| "/bin".to_owned());
        assert_eq!(complete(own, "/bin", &accepted("/bin", &pairs(added))), expected, "{added:?}");
    }

    #[test]
    fn callers_add_variables_that_load_no_code() {
        check(&[], &[]);
        check(&[(" A ", "1"), ("HOME", "/x")], &[("A", "1"), ("HOME", "/x")]);
        check(&[("LD_PRELOAD", "/x.so"), ("dyld_insert", "x"), ("Node_Options", "x"), ("BASH_ENV", "x")], &[]);
        check(&[("A=B", "1"), ("", "1"), ("N", "a\0b")], &[]);
    }

    #[test]
    fn path_only_grows_in_front() {
        check(&[("PATH", "/mine:/bin")], &[("PATH", "/mine:/bin")]);
        check(&[("PATH", "/mine")], &[]);
        check(&[("path", " /a:/bin ")], &[("PATH", "/a:/bin")]);
    }

    #[test]
    fn programs_are_executable_files_on_the_path() {
        assert_eq!(find_program("sh", "/nowhere::/bin"), Some(PathBuf::from("/bin/sh")));
        for name in ["", "/bin/sh", "../bin/sh", "no-such-program"] {
            assert_eq!(find_program(name, "/bin"), None, "{name}");
        }
        assert_eq!(find_program("passwd", "/etc"), None, "a file that cannot be run");
    }
}
