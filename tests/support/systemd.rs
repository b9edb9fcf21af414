//! A real `systemd --user`, in mount and cgroup namespaces of its own. Needs root on Linux; elsewhere it says why not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::home::{Home, Ran};

/// Stopped, with everything that it started, when dropped.
pub struct Systemd {
    manager: Child,
    cgroup: PathBuf,
}

impl Systemd {
    /// Starts a manager for this home.
    ///
    /// # Errors
    /// Why it is not possible here.
    pub fn start(home: &Home) -> Result<Self, String> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Err("namespaces need root".to_owned());
        }
        for tool in ["/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter"] {
            if !Path::new(tool).exists() {
                return Err(format!("{tool} is missing"));
            }
        }
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        let root = roots.iter().find(|root| root.join("cgroup.procs").exists()).ok_or("no cgroup2 here")?;
        let cgroup = root.join(format!("clawdbot-test-{}", std::process::id()));
        std::fs::create_dir_all(&cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/systemd-user-up.sh");
        let command = format!(
            "echo $BASHPID > {}/cgroup.procs && exec setsid unshare -m -C {} {} > {}/manager.log 2>&1",
            cgroup.display(),
            script.display(),
            home.path().display(),
            home.path().display(),
        );
        let manager = Command::new("bash")
            .args(["-c", &command])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("bash: {error}"))?;
        let mut systemd = Self { manager, cgroup };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = systemd.manager.try_wait() {
                let log = std::fs::read_to_string(home.path().join("manager.log")).unwrap_or_default();
                return Err(format!("no systemd here ({status}): {}", log.lines().last().unwrap_or_default()));
            }
            let ran = systemd.run(home, &["systemctl", "--user", "is-system-running"]);
            if ran.stdout.trim() == "running" {
                return Ok(systemd);
            }
            if Instant::now() > deadline {
                return Err(format!("systemd does not come up: {ran:?}"));
            }
            // A manager tells nobody that it is up.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A command in the manager's world.
    pub fn run(&self, home: &Home, args: &[&str]) -> Ran {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.manager.id().to_string(), "-m", "-C"])
            .args(args)
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", "/run/user/0")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .current_dir(home.path())
            .stdin(Stdio::null());
        Ran::of(command)
    }

    /// The program under test in the manager's world.
    pub fn clawdbot(&self, home: &Home, args: &[&str]) -> Ran {
        let program = home.program.to_string_lossy().into_owned();
        self.run(home, &[&[program.as_str()], args].concat())
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let pid = i32::try_from(self.manager.id()).expect("a pid");
        // SAFETY: plain system call on a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.manager.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.manager.kill();
        let _ = self.manager.wait();
        // What a unit left behind (KillMode=process), then the empty groups, innermost first.
        for group in groups_below(&self.cgroup) {
            for pid in std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
                if let Ok(pid) = pid.parse::<i32>() {
                    // SAFETY: plain system call; the group is this test's own.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            }
            let gone = Instant::now() + Duration::from_secs(2);
            while std::fs::remove_dir(&group).is_err() && Instant::now() < gone {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(groups_below(&entry.path()));
        }
    }
    found.push(group.to_owned());
    found
}
