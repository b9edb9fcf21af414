//! The file of this program, also where a loader was started to load it (`ld-linux-x86-64.so.2 ./clawdbot gateway`): there the
//! system names the loader, which with this program's arguments is something else.

use std::io;
use std::path::{Path, PathBuf};

/// Returns this program's file. On Linux its name ends with ` (deleted)` where another one has been put there.
///
/// # Errors
/// The system's, when it cannot say.
pub fn file() -> io::Result<PathBuf> {
    let started = std::env::current_exe()?;
    Ok(loaded(&started).unwrap_or(started))
}

/// Returns this program's file if that is what was started, so that starting it again gives the same.
pub fn started() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|started| loaded(started).is_none())
}

/// Returns the file that this code comes from, if `started` is another one. Names are compared, because a file system of
/// layers may say in two ways where one file is.
fn loaded(started: &Path) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let file = file_at(&maps, file as fn() -> io::Result<PathBuf> as usize as u64)?;
    (file.file_name() != started.file_name()).then_some(file)
}

/// Returns the file that is mapped at an address.
fn file_at(maps: &str, address: u64) -> Option<PathBuf> {
    maps.lines().find_map(|line| {
        let (start, rest) = line.split_once('-')?;
        let (end, rest) = rest.split_once(' ')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let is_there = (number(start)?..number(end)?).contains(&address);
        // What precedes the path holds no slash.
        is_there.then(|| rest.find('/').map(|at| PathBuf::from(&rest[at..])))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_addresses() {
        let maps = "1000-2000 r--p 00000000 00:2b 10  /lib64/ld-linux.so.2\n\
                    2000-3000 r-xp 00001000 00:2b 11  /opt/a b/clawdbot (deleted)\n\
                    7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n\
                    ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n";
        let at = |address| file_at(maps, address).map(|file| file.display().to_string());
        assert_eq!(at(0x1fff).as_deref(), Some("/lib64/ld-linux.so.2"));
        assert_eq!(at(0x2000).as_deref(), Some("/opt/a b/clawdbot (deleted)"));
        assert_eq!((at(0x3000), at(0x7f00_0000_0010), at(0xffff_ffff_ff60_0000)), (None, None, None));
        assert_eq!(started(), std::env::current_exe().ok(), "nobody starts the tests by a loader");
    }
}
