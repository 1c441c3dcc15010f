//! What the system says of sockets, processes and processors: the texts under `/proc`, read.
//!
//! Formats: proc_net(5), proc_pid_stat(5), proc_pid_status(5), proc_pid_environ(5), proc_cpuinfo(5), proc_meminfo(5).
//! Everything here is pure, takes any text, and answers "not known" for what is not as described there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::scrub;

/// The variables of a process that are looked at; no others are.
pub const VARIABLES: [&str; 40] = [
    "BUILDKITE_BUILD_ID",
    "BUILDKITE_JOB_ID",
    "BUILD_TAG",
    "CI",
    "CI_JOB_ID",
    "CI_PIPELINE_ID",
    "CI_PROJECT_PATH",
    "CIRCLE_BUILD_NUM",
    "CONDA_DEFAULT_ENV",
    "CONDA_PREFIX",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "DVC_ROOT",
    "DVC_STAGE",
    "GITHUB_JOB",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ATTEMPT",
    "GITHUB_RUN_ID",
    "GITHUB_WORKFLOW",
    "GYRE_AS_OF",
    "GYRE_REFIT_OF",
    "GYRE_RUN",
    "JOB_NAME",
    "LOCAL_RANK",
    "MKL_NUM_THREADS",
    "MLFLOW_PROJECT_ENV",
    "OMP_NUM_THREADS",
    "PBS_JOBID",
    "PYTHONHASHSEED",
    "RANK",
    "RENV_PROJECT",
    "R_HOME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_NNODES",
    "TF_DETERMINISTIC_OPS",
    "VIRTUAL_ENV",
    "WORLD_SIZE",
];

/// Ticks in a second, as `/proc` counts them: a constant of the system's interface (`USER_HZ`).
pub(crate) const TICKS: u64 = 100;

/// Ticks since the system started, from `/proc/uptime` (proc_uptime(5): seconds with two decimals, which are ticks).
pub(crate) fn uptime(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let (seconds, hundredths): (u64, u64) = (seconds.parse().ok()?, hundredths.parse().ok()?);
    seconds.checked_mul(TICKS)?.checked_add(hundredths)
}

/// The longest value of a variable, in characters.
const VALUE: usize = 500;

/// A socket, as `/proc/net/tcp` and `/proc/net/tcp6` list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// Its number, by which a process's descriptors refer to it; 0 when no process holds it.
    pub inode: u64,
    /// The user whose it is.
    pub user: u32,
}

/// The socket of the connection from `local` to `remote`, in the text of `/proc/net/tcp` or `/proc/net/tcp6`.
pub fn socket(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<Socket> {
    let wanted = (plain(local), plain(remote));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let found = (address(fields.next()?)?, address(fields.next()?)?);
        if found != wanted {
            return None;
        }
        // After the state: two pairs of queue and timer, retransmissions.
        let user = fields.nth(4)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Socket { inode, user })
    })
}

/// An address without what IPv6 adds to an IPv4 address.
fn plain(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// `0100007F:1F90`: groups of 32 bits in the byte order of the machine, and the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !ip.is_ascii() {
        return None;
    }
    let group = |at: usize| -> Option<[u8; 4]> {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(group(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&group(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port))
}

/// The socket that a descriptor refers to: the target of a link in `/proc/PID/fd`, `socket:[123]`.
pub fn descriptor(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// When a process started, in ticks since the system did: the 22nd field of `/proc/PID/stat`.
pub fn start(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything; the fields after it hold none.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// When the system started, in seconds since 1970: `btime` in `/proc/stat`.
pub fn boot(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Arguments, which `/proc/PID/cmdline` ends with a zero byte each.
pub fn arguments(cmdline: &[u8]) -> Vec<String> {
    let whole = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    if whole.is_empty() {
        return Vec::new();
    }
    whole.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// Those variables of `/proc/PID/environ` that are in [`VARIABLES`], without secrets.
pub fn variables(environ: &[u8]) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for variable in environ.split(|byte| *byte == 0) {
        let Some(at) = variable.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = variable.split_at(at);
        let Some(name) = VARIABLES.into_iter().find(|known| known.as_bytes() == name) else { continue };
        let value = String::from_utf8_lossy(value.get(1..).unwrap_or_default());
        let value: String = scrub::text(&value).chars().take(VALUE).collect();
        kept.entry(name.to_owned()).or_insert(value);
    }
    kept
}

/// How many processors a process may use: `Cpus_allowed_list` in `/proc/PID/status`, such as `0-3,7`.
pub fn cpus_allowed(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').try_fold(0_usize, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// The real user of a process: the first number of `Uid` in `/proc/PID/status`.
pub fn user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_ascii_whitespace().next()?.parse().ok()
}

/// Model and number of the processors in `/proc/cpuinfo`.
pub fn processors(cpuinfo: &str) -> (Option<String>, Option<usize>) {
    let value = |key: &str| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned()).filter(|value| !value.is_empty())
        })
    };
    let count = cpuinfo
        .lines()
        .filter(|line| line.split_once(':').is_some_and(|(name, _)| name.trim() == "processor"))
        .count();
    (value("model name").or_else(|| value("Model")), (count > 0).then_some(count))
}

/// The memory in `/proc/meminfo`, in bytes.
pub fn memory(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The model in `/proc/driver/nvidia/gpus/N/information`.
pub fn gpu(information: &str) -> Option<String> {
    let model = information.lines().find_map(|line| line.strip_prefix("Model:"))?.trim();
    (!model.is_empty()).then(|| model.to_owned())
}

/// The driver's version in `/proc/driver/nvidia/version`: the first word that begins like one.
pub fn gpu_driver(version: &str) -> Option<String> {
    let first = version.lines().next()?;
    let numbered = |word: &&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    first.split_ascii_whitespace().find(numbered).map(str::to_owned)
}

/// The name of the operating system in `os-release(5)`.
pub fn system(release: &str) -> Option<String> {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    let name = name.trim().trim_matches(['"', '\'']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The folders called `site-packages` or `dist-packages` of which a process has files in memory (`/proc/PID/maps`).
pub fn package_folders(maps: &str) -> BTreeSet<String> {
    let folder = |line: &str| {
        let path = line.get(line.find(" /")? + 1..)?;
        let end = ["/site-packages/", "/dist-packages/"]
            .into_iter()
            .find_map(|name| path.find(name).map(|at| at + name.len() - 1))?;
        path.get(..end).map(str::to_owned)
    };
    maps.lines().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_start_is_in_ticks() {
        assert_eq!(uptime("12345.07 98765.43\n"), Some(1_234_507));
        assert_eq!(uptime(""), None);
        assert_eq!(uptime("99999999999999999999.00 1"), None);
    }
    use proptest::prelude::*;

    // Recorded: a server on 5000 and a client that talks to it, over IPv4 and as an IPv4 address in IPv6.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28211 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1388 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 41555 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:D431 0100007F:1388 01 00000000:00000000 00:00000000 00000000  1000        0 41554 1 0000000000000000 20 4 30 10 -1
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:1388 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:D431 00000000000000000000000001000000:1388 01 00000000:00000000 00:00000000 00000000   500        0 77 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:D432 0000000000000000FFFF00000100007F:1388 01 00000000:00000000 00:00000000 00000000   501        0 78 1 0 20 4 30 10 -1
";

    #[test]
    fn the_socket_of_a_connection_is_the_clients_not_the_servers() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        if cfg!(target_endian = "little") {
            let found = socket(TCP, at("127.0.0.1:54321"), at("127.0.0.1:5000"));
            assert_eq!(found, Some(Socket { inode: 41_554, user: 1_000 }));
            assert_eq!(socket(TCP, at("127.0.0.1:54322"), at("127.0.0.1:5000")), None);
            let found = socket(TCP6, at("[::1]:54321"), at("[::1]:5000"));
            assert_eq!(found, Some(Socket { inode: 77, user: 500 }));
            let found = socket(TCP6, at("127.0.0.1:54322"), at("127.0.0.1:5000"));
            assert_eq!(found, Some(Socket { inode: 78, user: 501 }));
        }
        assert_eq!(descriptor("socket:[41554]"), Some(41_554));
        assert_eq!(descriptor("pipe:[41554]"), None);
    }

    #[test]
    fn a_process_called_like_a_stat_line_has_its_own_start() {
        let stat = "42 (a) S 1 (b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(start(stat), Some(987_654));
        assert_eq!(start("42 (a) S 1"), None);
        assert_eq!(boot("cpu 1 2\nbtime 1700000000\nprocesses 1\n"), Some(1_700_000_000));
    }

    #[test]
    fn only_named_variables_are_taken() {
        let environ = b"HOME=/h\0GYRE_RUN=r1\0AWS_SECRET_ACCESS_KEY=x\0VIRTUAL_ENV=/v\0GYRE_RUN=r2\0CI\0\0";
        let taken = variables(environ);
        assert_eq!(
            taken.into_iter().collect::<Vec<_>>(),
            [("GYRE_RUN".to_owned(), "r1".to_owned()), ("VIRTUAL_ENV".to_owned(), "/v".to_owned())]
        );
        assert_eq!(arguments(b"python\0\0-c\0x y\0"), ["python", "", "-c", "x y"]);
    }

    #[test]
    fn machines_are_described() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3.0GHz\nflags : a\n\nprocessor\t: 1\n";
        assert_eq!(processors(cpuinfo), (Some("Some CPU @ 3.0GHz".to_owned()), Some(2)));
        assert_eq!(processors(""), (None, None));
        assert_eq!(memory("MemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(cpus_allowed("Name:\tx\nCpus_allowed_list:\t0-3,7\n"), Some(5));
        assert_eq!(user("Uid:\t1000\t0\t0\t0\n"), Some(1_000));
        assert_eq!(
            gpu("Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ: 1\n").as_deref(),
            Some("NVIDIA A100-SXM4-40GB")
        );
        let version =
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC version: 1.2\n";
        assert_eq!(gpu_driver(version).as_deref(), Some("535.104.05"));
        assert_eq!(system("ID=debian\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
        let maps = "7f00-7f01 r-xp 0000 08:01 1   /v/lib/python3.12/site-packages/numpy/a.so\n7f02-7f03 rw-p 0 0:0 0\n\
                    7f00-7f01 r-xp 0000 08:01 1   /usr/lib/python3/dist-packages/b.so\n";
        let folders: Vec<String> = package_folders(maps).into_iter().collect();
        assert_eq!(folders, ["/usr/lib/python3/dist-packages", "/v/lib/python3.12/site-packages"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "[ -~\\n\\t\u{0}é]{0,200}", bytes: Vec<u8>) {
            let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
            let line = format!("head\n 0: {text} {text} 01 {text}");
            let _ = (socket(&text, address, address), socket(&line, address, address), descriptor(&text));
            let _ = (start(&text), boot(&text), cpus_allowed(&format!("Cpus_allowed_list:{text}")), user(&text));
            let _ = (processors(&text), memory(&format!("MemTotal:{text}")), gpu(&text), gpu_driver(&text));
            let _ = (system(&text), package_folders(&text), arguments(&bytes), variables(&bytes));
        }

        #[test]
        fn ranges_do_not_overflow(first: usize, last: usize) {
            let _ = cpus_allowed(&format!("Cpus_allowed_list: {first}-{last},0-{last}"));
        }
    }
}
