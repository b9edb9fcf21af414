//! A wall clock that a test sets, for one program: a library that the loader puts before the system's. Linux, with a C compiler.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::home::{Home, Ran};

/// Adds as many seconds as the file says that `CLOCK_OFFSET` names.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    FILE *file = id == CLOCK_REALTIME ? fopen(getenv("CLOCK_OFFSET"), "r") : NULL;
    long offset = 0;
    if (file && fscanf(file, "%ld", &offset) == 1) at->tv_sec += offset;
    if (file) fclose(file);
    return result;
}
"#;

/// Lives in the home that it was made for.
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// `None` where it cannot be had.
    pub fn of(home: &Home) -> Option<Self> {
        let source = home.path().join("clock.c");
        let clock = Self { library: home.path().join("clock.so"), offset: home.path().join("clock") };
        std::fs::write(&source, SOURCE).expect("write");
        std::fs::write(&clock.offset, "0").expect("write");
        let files = [&clock.library, &source];
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args(files).arg("-ldl").output();
        let is_there = cfg!(target_os = "linux") && compiled.is_ok_and(|output| output.status.success());
        is_there.then_some(clock)
    }

    /// What a program is started with.
    pub fn env(&self) -> [(&'static str, String); 2] {
        let text = |path: &PathBuf| path.display().to_string();
        [("LD_PRELOAD", text(&self.library)), ("CLOCK_OFFSET", text(&self.offset))]
    }

    /// Moves it this far from the system's, and sees that it is there.
    pub fn set(&self, seconds: i64) {
        std::fs::write(&self.offset, seconds.to_string()).expect("write");
        let mut date = Command::new("date");
        date.arg("+%s").envs(self.env());
        let now: i64 = Ran::of(date).stdout.trim().parse().expect("seconds");
        let here = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let moved = now - i64::try_from(here).expect("fits");
        assert!((moved - seconds).abs() < 60, "the clock is {moved} s away instead of {seconds}");
    }
}
