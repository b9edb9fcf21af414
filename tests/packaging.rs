//! What `scripts/` makes for people who do not build: a tarball with its installer, and a Debian package.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::home::Home;
use crate::support::skipped;

fn script(name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name));
    // A debug build is large, and xz takes its time.
    command.args(args).env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").output().expect("the script starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Packs the program under test; returns the file.
fn packed(kind: &str, home: &Home) -> PathBuf {
    let out = home.path().join("out");
    let ended =
        script("package.sh", &[kind, "--program", home.program.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let mut files = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().expect("a package");
    assert!(text(&ended.stdout).contains(file.to_str().unwrap()));
    file
}

fn run(home: &Home, program: &Path, args: &[&str]) -> String {
    let ended = Command::new(program).args(args).env("HOME", home.path()).output().expect("it starts");
    assert!(ended.status.success(), "{program:?} {args:?}: {}{}", text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout)
}

#[test]
fn a_tarball_installs_updates_and_goes_away_again() {
    let home = Home::empty();
    let tarball = packed("tar", &home);
    let unpacked = home.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let tar = ["-xzf", tarball.to_str().unwrap(), "--strip-components=1", "-C", unpacked.to_str().unwrap()];
    run(&home, Path::new("tar"), &tar);

    let prefix = home.path().join("prefix");
    let installed = prefix.join("bin/clawdbot");
    let install = unpacked.join("install.sh");
    for _ in 0..2 {
        let said = run(&home, &install, &["--prefix", prefix.to_str().unwrap()]);
        assert!(said.contains(installed.to_str().unwrap()) && said.contains("onboard"), "{said}");
        assert_eq!(run(&home, &installed, &["--version"]).trim(), "2026.1.24");
    }
    let state = home.state_dir().join("kept");
    std::fs::create_dir_all(home.state_dir()).unwrap();
    std::fs::write(&state, "").unwrap();
    run(&home, &install, &["--prefix", prefix.to_str().unwrap(), "--uninstall"]);
    assert!(!installed.exists() && state.exists());

    let ended = Command::new(&install).args(["--prefix", "/proc/nowhere"]).env("HOME", home.path()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("choose another with --prefix"), "{}", text(&ended.stderr));
}

#[test]
fn a_debian_package_holds_the_program() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return skipped("the Debian package: dpkg-deb is not here");
    }
    let home = Home::empty();
    let package = packed("deb", &home);
    let package = package.to_str().unwrap();
    let fields = run(&home, Path::new("dpkg-deb"), &["--field", package]);
    for field in ["Package: clawdbot", "Version: 2026.1.24", "Architecture: ", "Depends: libc6 (>= 2."] {
        assert!(fields.contains(field), "{fields}");
    }
    let root = home.path().join("root");
    run(&home, Path::new("dpkg-deb"), &["--extract", package, root.to_str().unwrap()]);
    assert_eq!(run(&home, &root.join("usr/bin/clawdbot"), &["--version"]).trim(), "2026.1.24");
    for (place, part) in [
        ("bash-completion/completions/clawdbot", "complete -o default -F _clawdbot clawdbot\n"),
        ("zsh/vendor-completions/_clawdbot", "#compdef clawdbot\n"),
        ("fish/vendor_completions.d/clawdbot.fish", "complete -c clawdbot -f\n"),
    ] {
        let script = std::fs::read_to_string(root.join("usr/share").join(place)).expect(place);
        assert!(script.contains(part), "{part} in {script}");
    }
}

#[test]
fn what_cannot_be_packed_is_said() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let script_file = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install.sh");
    for (args, error) in [
        (vec!["rpm"], "unknown argument: rpm"),
        (vec!["tar", "--program"], "--program wants a value"),
        (vec!["tar", "--program", manifest], "is no program"),
        (vec!["tar", "--program", script_file], "is for no machine that packages are made for"),
    ] {
        let ended = script("package.sh", &args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(text(&ended.stderr).contains(error), "{args:?}: {}", text(&ended.stderr));
    }
}
