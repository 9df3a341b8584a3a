//! How much memory this process holds, as the system counts it.

/// Resident bytes, where the system tells.
#[cfg(target_os = "linux")]
pub fn bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Resident bytes, where the system tells. This one does not.
#[cfg(not(target_os = "linux"))]
pub fn bytes() -> Option<u64> {
    None
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #[test]
    fn this_process_holds_some_memory() {
        assert!(super::bytes().unwrap() > 100_000);
    }
}
