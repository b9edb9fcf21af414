//! What this machine is called and runs.

/// Returns the host name, `localhost` when there is none.
pub fn name() -> String {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is valid for its length; gethostname writes at most that much.
    let result = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let length = buffer.iter().position(|&byte| byte == 0).unwrap_or(buffer.len());
    match String::from_utf8_lossy(&buffer[..length]).into_owned() {
        name if result == 0 && !name.is_empty() => name,
        _ => "localhost".to_owned(),
    }
}

/// Returns the release of the kernel, `unknown` where it cannot be read.
pub fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Returns the CPU architecture as Node names it.
pub fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        other => other,
    }
}
