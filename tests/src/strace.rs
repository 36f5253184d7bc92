//! Running the binary under strace: which system calls it makes on its data folder, and making one of them fail.
//!
//! strace counts the calls of each thread on its own, so "the third" is the third of every thread that comes so far.
//! Most files of the data folder are used by one thread at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Command;

use crate::sigbox;

/// Calls through which a file comes to be, changes, is made durable, or is read. Not `fcntl`, by which SQLite locks: one
/// process has the folder, and a lock that fails to be let go is only waited for.
const CALLS: &str = "openat,creat,pread64,read,pwrite64,pwritev,pwritev2,write,writev,fsync,fdatasync,sync_file_range,\
                     ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,close,\
                     fchmod,fchown,flock,mmap";
/// Calls through which an answer leaves.
const ANSWERS: &str = "sendto,sendmsg";

/// A system call on one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Its name.
    pub call: String,
    /// Path within the data folder; empty for the folder itself.
    pub file: String,
}

/// What happens in place of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It fails: input/output error.
    Eio,
    /// It fails: no space left.
    Enospc,
    /// The process is killed before it.
    Kill,
    /// It is not made and is said to have written so many bytes: a disk that lies.
    Lie(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eio => "EIO",
            Self::Enospc => "ENOSPC",
            Self::Kill => "KILL",
            Self::Lie(_) => "LIE",
        })
    }
}

impl Site {
    /// What can go wrong with this call.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![Fault::Eio];
        if matches!(
            self.call.as_str(),
            "openat" | "pwrite64" | "write" | "fsync" | "fdatasync" | "ftruncate" | "rename" | "mkdir"
        ) {
            faults.push(Fault::Enospc);
        }
        // Before a call that changes nothing is the same moment as before the next one that does.
        if matches!(
            self.call.as_str(),
            "pwrite64" | "write" | "fsync" | "fdatasync" | "ftruncate" | "rename" | "unlink" | "mkdir"
        ) {
            faults.push(Fault::Kill);
        }
        match self.call.as_str() {
            // SQLite writes pages, and headers of frames, which are shorter: it takes more than it asked for as done.
            "pwrite64" => faults.push(Fault::Lie(4096)),
            "write" => faults.push(Fault::Lie(1)),
            _ => {}
        }
        faults
    }
}

/// `sigbox` under a strace that writes every call on files, and every answer, to `output`. The process is our own child,
/// strace is not.
pub fn watching(output: &Path) -> Command {
    let mut command = strace(output);
    command.args(["--seccomp-bpf", "-y", "-e", &format!("trace={CALLS},{ANSWERS}")]);
    command.arg("--").arg(sigbox());
    command
}

/// A strace, to be followed by a program, that writes every call which can name a peer to `output`.
pub fn naming_peers(output: &Path) -> Command {
    let mut command = strace(output);
    command.args([
        "--seccomp-bpf",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "--",
    ]);
    command
}

/// `sigbox` under a strace that puts a fault in place of the `nth` call at a site.
pub fn injecting(output: &Path, data: &Path, site: &Site, nth: u32, fault: Fault) -> Command {
    let mut command = strace(output);
    // Only the calls of interest stop the process then. A signal is lost at such a stop (strace 6.1).
    if fault != Fault::Kill {
        command.arg("--seccomp-bpf");
    }
    let what = match fault {
        Fault::Eio => "error=EIO".to_owned(),
        Fault::Enospc => "error=ENOSPC".to_owned(),
        Fault::Kill => "signal=SIGKILL".to_owned(),
        Fault::Lie(bytes) => format!("retval={bytes}"),
    };
    command.args(["-e", &format!("trace={}", site.call)]);
    command.args(["-e", &format!("inject={}:{what}:when={nth}", site.call)]);
    command.arg("-P").arg(data.join(&site.file));
    command.arg("--").arg(sigbox());
    command
}

fn strace(output: &Path) -> Command {
    let mut command = Command::new("strace");
    // Of texts no more than the status line of an answer.
    command.args(["-D", "-f", "-q", "-s", "16", "-o"]);
    command.arg(output);
    command
}

/// The sites in what [`watching`] wrote, with the most calls that one thread made there.
pub fn sites(trace: &str, data: &Path) -> BTreeMap<Site, u32> {
    let data = data.to_str().unwrap();
    let mut counts: BTreeMap<(Site, &str), u32> = BTreeMap::new();
    let mut sites = BTreeSet::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, rest)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if call.starts_with('<') {
            continue;
        }
        let mut files: Vec<&str> = Vec::new();
        for (at, _) in rest.match_indices(data) {
            let file = &rest[at + data.len()..];
            let file = &file[..file.find(['"', '>']).unwrap_or(file.len())];
            let file = file.strip_prefix('/').unwrap_or(file);
            if !files.contains(&file) {
                files.push(file);
            }
        }
        // A call belongs to the first file it names; strace counts it for every one.
        for (n, file) in files.iter().enumerate() {
            let site = Site {
                call: call.to_owned(),
                file: (*file).to_owned(),
            };
            if n == 0 {
                sites.insert(site.clone());
            }
            *counts.entry((site, thread)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((site, _), count) in counts {
        if sites.contains(&site) {
            let known: &mut u32 = most.entry(site).or_default();
            *known = count.max(*known);
        }
    }
    most
}

/// Whether strace put the fault anywhere.
pub fn was_injected(trace: &str) -> bool {
    trace.contains("(INJECTED)") || trace.contains("+++ killed by SIGKILL")
}
