//! What Linux tells about a process; `None` everywhere else.

use std::fs;
use std::time::Duration;

/// Linux counts the times in `/proc/PID/stat` in hundredths of a second (`USER_HZ`), whatever its timer does.
const TICK: Duration = Duration::from_millis(10);

/// Memory that is resident in RAM, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// At most since the process began.
    pub(crate) peak: u64,
}

/// The processes that make one server together; none are known of a server that is elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(pub(crate) Vec<u32>);

impl Processes {
    /// Processor time of all of them.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        self.sum(cpu_time, |sum, one| sum.checked_add(one))
    }

    /// Memory of all of them; the sum of peaks, which need not have been at one time.
    pub(crate) fn memory(&self) -> Option<Memory> {
        self.sum(memory, |sum, one| {
            Some(Memory {
                resident: sum.resident.checked_add(one.resident)?,
                peak: sum.peak.checked_add(one.peak)?,
            })
        })
    }

    fn sum<T>(&self, of: fn(u32) -> Option<T>, add: fn(T, T) -> Option<T>) -> Option<T> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(of(*first)?, |sum, pid| add(sum, of(*pid)?))
    }
}

/// Processor time of all threads, user and system.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    cpu_time_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): the name is in parentheses and may hold anything; utime and stime are the 12th and 13th field after it.
fn cpu_time_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    TICK.checked_mul(user.checked_add(system)?)
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    memory_of(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn memory_of(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

/// The soft limit of open files of this process.
pub(crate) fn open_files_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The process that listens on a TCP port of this machine, if it is one of ours to look at.
pub(crate) fn listener(port: u16) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| listening_inodes(table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
                .flatten();
            descriptors
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .any(|link| {
                    link.to_str()
                        .is_some_and(|link| sockets.iter().any(|socket| socket == link))
                })
        })
}

/// proc(5) `/proc/net/tcp`: local address, state (0A is LISTEN) and inode are the 2nd, 4th and 10th field.
fn listening_inodes(table: &str, port: u16) -> impl Iterator<Item = &str> {
    let wanted = format!(":{port:04X}");
    table.lines().filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
        let [_, local, _, "0A", .., inode] = fields.as_slice() else {
            return None;
        };
        (fields.len() == 10 && local.ends_with(&wanted)).then_some(*inode)
    })
}

#[cfg(test)]
mod tests;
