//! A network of a test's own, with nothing on it but loopback: what is sent to all stays there. Linux only.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::home::{Home, Ran};

/// Gone, when the last program in it is, once dropped.
pub struct Network {
    keeper: Child,
    /// Whether it has a `/run` of its own, too, for daemons.
    pub is_root: bool,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// Why it is not possible here.
    pub fn start() -> Result<Self, String> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        let own_run = if is_root { "mount --make-rprivate / && mount -t tmpfs tmpfs /run && " } else { "" };
        let script = format!("{own_run}ip link set lo up && ip link set lo multicast on && echo up && exec sleep 600");
        let mut keeper = Command::new("unshare")
            .args([if is_root { "-nm" } else { "-rn" }, "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let told = BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut line);
        let network = Self { keeper, is_root };
        if told.is_ok() && line.trim() == "up" { Ok(network) } else { Err("no network namespaces here".to_owned()) }
    }

    /// The words that start a program on this network.
    fn enter(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        let namespaces: &[&str] = if self.is_root { &["-n", "-m"] } else { &["-U", "-n", "--preserve-credentials"] };
        let words = ["nsenter", "-t", pid.as_str()].into_iter().chain(namespaces.iter().copied());
        words.map(str::to_owned).collect()
    }

    /// Lets everything of a home run here.
    pub fn hold(&self, home: &mut Home) {
        let wrapper = home.path().join("on-network");
        let script = format!("#!/bin/sh\nexec {} '{}' \"$@\"\n", self.enter().join(" "), home.program.display());
        std::fs::write(&wrapper, script).expect("a script");
        std::fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("runs");
        home.program = wrapper;
    }

    /// A program of the system here.
    pub fn command(&self, directory: &Path, words: &[&str]) -> Command {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command.args(&enter[1..]).args(words).current_dir(directory).stdin(Stdio::null());
        command
    }

    /// The same, to its end.
    pub fn run(&self, directory: &Path, words: &[&str]) -> Ran {
        Ran::of(self.command(directory, words))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
