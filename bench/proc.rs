//! What a process group costs, as `/proc` tells it. The original runs in a child of what is started, hence groups.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The processes whose group has this id.
#[derive(Clone, Copy)]
pub struct Group(pub i32);

/// Memory of a group in KiB, summed over its processes.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    /// Resident, shared pages included.
    pub rss: f64,
    /// Resident, shared pages divided among those who share them.
    pub pss: f64,
    /// Heap and stacks: no pages of files.
    pub private: f64,
}

impl Group {
    fn pids(self) -> Vec<i32> {
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| group_of(*pid) == Some(self.0)).collect()
    }

    /// Memory now.
    pub fn memory(self) -> Memory {
        let mut sum = Memory::default();
        for pid in self.pids() {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            sum.rss += field(&text, "Rss:");
            sum.pss += field(&text, "Pss:");
            sum.private += field(&text, "Anonymous:");
        }
        sum
    }

    /// Number of threads now.
    pub fn threads(self) -> f64 {
        self.tasks().len() as f64
    }

    /// How often its threads were taken off or left the processor so far.
    pub fn switches(self) -> f64 {
        let statuses = self.tasks().into_iter().map(|task| fs::read_to_string(task.join("status")).unwrap_or_default());
        statuses
            .map(|text| field(&text, "voluntary_ctxt_switches:") + field(&text, "nonvoluntary_ctxt_switches:"))
            .sum()
    }

    fn tasks(self) -> Vec<PathBuf> {
        let lists = self.pids().into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        lists.flatten().flatten().map(|task| task.path()).collect()
    }

    /// CPU time used so far, threads that ended included.
    pub fn cpu(self) -> Duration {
        self.pids().into_iter().map(cpu_of).sum()
    }
}

fn group_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: state, parent, group.
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

fn cpu_of(pid: i32) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write to the variables they are given; an error leaves zero.
    unsafe {
        if libc::clock_getcpuclockid(pid, &mut clock) == 0 {
            libc::clock_gettime(clock, &mut time);
        }
    }
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
