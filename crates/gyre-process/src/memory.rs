//! How much memory a process group holds, read from `/proc` (`proc(5)`).

use std::fs;
use std::io;

/// The sum of the resident sets of the group's members, in bytes.
pub(crate) fn of_group(group: i32) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit));
        // Whoever has ended since the folder was listed cannot be read, and holds nothing.
        if is_process
            && fs::read_to_string(path.join("stat")).is_ok_and(|stat| group_of(&stat) == Some(group))
            && let Ok(status) = fs::read_to_string(path.join("status"))
        {
            sum = sum.saturating_add(resident(&status));
        }
    }
    Ok(sum)
}

/// The process group in a line of `/proc/PID/stat`. The name before it may hold spaces and parentheses.
fn group_of(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(2)?.parse().ok()
}

/// `VmRSS` of `/proc/PID/status`, in bytes; none for a process that has ended.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_do_not_confuse() {
        assert_eq!(group_of("12 (a) S 1 9 (b) R 1 77 5 0 -1"), Some(77));
        assert_eq!(group_of("12 (sh) S 1 77 5 0"), Some(77));
        assert_eq!(group_of("nonsense"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), 2_097_152);
        assert_eq!(resident("Name:\tx\nState:\tZ (zombie)\n"), 0);
    }
}
