//! The machine that a process runs on: this one.

use std::path::Path;

use crate::client::Client;
use crate::record::Hardware;
use crate::{files, proc};

const LONGEST: u64 = 1 << 20;
/// The most graphics processors that are named.
const GPUS: usize = 64;

/// The machine of `client`.
pub(crate) fn look(client: Client) -> Hardware {
    let read = |path: &str| files::text(Path::new(path), LONGEST);
    let line = |path: &str| read(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (cpu, cpus) = read("/proc/cpuinfo").map(|text| proc::processors(&text)).unwrap_or_default();
    let release = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
    let mut gpus: Vec<String> = std::fs::read_dir("/proc/driver/nvidia/gpus")
        .into_iter()
        .flatten()
        .flatten()
        .take(GPUS)
        .filter_map(|gpu| proc::gpu(&files::text(&gpu.path().join("information"), LONGEST)?))
        .collect();
    gpus.sort();
    Hardware {
        host: line("/proc/sys/kernel/hostname"),
        system: release.as_deref().and_then(proc::system),
        kernel: line("/proc/sys/kernel/osrelease"),
        architecture: Some(std::env::consts::ARCH.to_owned()),
        cpu,
        cpus,
        cpus_allowed: client.text("status").as_deref().and_then(proc::cpus_allowed),
        memory: read("/proc/meminfo").as_deref().and_then(proc::memory),
        gpus,
        gpu_driver: read("/proc/driver/nvidia/version").as_deref().and_then(proc::gpu_driver),
    }
}
