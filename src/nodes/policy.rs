//! Which commands a node may be asked for (protocol.md §5.8): by its platform, more or fewer by configuration.
//!
//! Pure rules over names. Not here: which commands a node declared (`registry`).

use std::collections::BTreeSet;

use crate::base::text::trimmed;

const CANVAS: &[&str] = &[
    "canvas.present",
    "canvas.hide",
    "canvas.navigate",
    "canvas.eval",
    "canvas.snapshot",
    "canvas.a2ui.push",
    "canvas.a2ui.pushJSONL",
    "canvas.a2ui.reset",
];
const CAMERA: &[&str] = &["camera.list", "camera.snap", "camera.clip"];
const SCREEN: &[&str] = &["screen.record"];
const LOCATION: &[&str] = &["location.get"];
const SMS: &[&str] = &["sms.send"];
const SYSTEM: &[&str] = &[
    "system.run",
    "system.which",
    "system.notify",
    "system.execApprovals.get",
    "system.execApprovals.set",
    "browser.proxy",
];

/// The platforms that have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// iPhones and iPads.
    Ios,
    /// Android.
    Android,
    /// macOS.
    MacOs,
    /// Linux.
    Linux,
    /// Windows.
    Windows,
    /// Anything else: nothing is forbidden.
    Unknown,
}

impl Platform {
    /// Reads what a client says of itself: the platform's beginning, else the device family.
    pub fn of(platform: Option<&str>, device_family: Option<&str>) -> Self {
        const PREFIXES: [(&str, Platform); 7] = [
            ("ios", Platform::Ios),
            ("ipados", Platform::Ios),
            ("android", Platform::Android),
            ("mac", Platform::MacOs),
            ("darwin", Platform::MacOs),
            ("win", Platform::Windows),
            ("linux", Platform::Linux),
        ];
        const FAMILIES: [(&str, Platform); 7] = [
            ("iphone", Platform::Ios),
            ("ipad", Platform::Ios),
            ("ios", Platform::Ios),
            ("android", Platform::Android),
            ("mac", Platform::MacOs),
            ("windows", Platform::Windows),
            ("linux", Platform::Linux),
        ];
        let platform = platform.unwrap_or_default().trim().to_lowercase();
        let family = device_family.unwrap_or_default().trim().to_lowercase();
        let by_platform = PREFIXES.iter().find(|(prefix, _)| platform.starts_with(prefix));
        let by_family = || FAMILIES.iter().find(|(part, _)| family.contains(part));
        by_platform.or_else(by_family).map_or(Self::Unknown, |(_, found)| *found)
    }

    /// Returns whether it is a phone or tablet.
    pub fn is_mobile(self) -> bool {
        matches!(self, Self::Ios | Self::Android)
    }

    fn groups(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Ios => &[CANVAS, CAMERA, SCREEN, LOCATION],
            Self::Android => &[CANVAS, CAMERA, SCREEN, LOCATION, SMS],
            Self::MacOs => &[CANVAS, CAMERA, SCREEN, LOCATION, SYSTEM],
            Self::Linux | Self::Windows => &[SYSTEM],
            Self::Unknown => &[CANVAS, CAMERA, SCREEN, LOCATION, SMS, SYSTEM],
        }
    }
}

/// Returns the commands that a node of this platform may be asked for; `allow` and `deny` are
/// `gateway.nodes.allowCommands` and `.denyCommands`.
pub fn allowed(platform: Platform, allow: &[String], deny: &[String]) -> BTreeSet<String> {
    let built_in = platform.groups().iter().copied().flatten().map(|name| (*name).to_owned());
    let named = |list: &[String]| -> Vec<String> { list.iter().filter_map(trimmed).collect() };
    let mut allowed: BTreeSet<String> = built_in.chain(named(allow)).collect();
    for name in named(deny) {
        allowed.remove(&name);
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms() {
        for (platform, family, expected) in [
            ("ios 17.4", "", Platform::Ios),
            ("Darwin 24", "iPhone", Platform::MacOs),
            ("web", "iPad", Platform::Ios),
            ("windows 11", "", Platform::Windows),
            ("linux", "Mac", Platform::Linux),
            ("plan9", "toaster", Platform::Unknown),
        ] {
            assert_eq!(Platform::of(Some(platform), Some(family)), expected, "{platform} {family}");
        }
        assert_eq!(Platform::of(None, None), Platform::Unknown);
    }

    #[test]
    fn configuration_adds_and_takes_away() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let linux = allowed(Platform::Linux, &names(&[" x.y ", ""]), &names(&["system.run"]));
        assert!(linux.contains("x.y") && linux.contains("system.which") && !linux.contains("system.run"));
        assert!(!linux.contains("camera.snap") && !linux.contains(""));
        assert!(allowed(Platform::Unknown, &[], &[]).contains("sms.send"));
    }
}
