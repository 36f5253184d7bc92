#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn processor_time_is_read_behind_any_name() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 500 0 0 0 150 25 0 0 20 0 3 0 100 1 2";
    assert_eq!(cpu_time_of(stat), Some(Duration::from_millis(1_750)));
    assert_eq!(cpu_time_of("42 (x) S 1"), None);
    assert_eq!(cpu_time_of(""), None);
}

#[test]
fn memory_is_read_in_kib() {
    let status = "Name:\tx\nVmHWM:\t   81920 kB\nVmRSS:\t   40960 kB\n";
    assert_eq!(
        memory_of(status),
        Some(Memory {
            resident: 40_960,
            peak: 81_920
        })
    );
    assert_eq!(memory_of("Name:\tkthreadd\n"), None);
}

#[test]
fn only_listening_sockets_of_the_port_count() {
    let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n\
        1: 0100007F:0BB8 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n\
        2: 0100007F:1BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0\n";
    assert_eq!(listening_inodes(table, 3000).collect::<Vec<_>>(), ["111"]);
    assert_eq!(listening_inodes(table, 3001).count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn this_process_is_found_by_its_port() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(
        listener(socket.local_addr().unwrap().port()),
        Some(std::process::id())
    );
    assert!(memory(std::process::id()).unwrap().peak > 1_000);
    assert!(cpu_time(std::process::id()).is_some());
    let twice = Processes(vec![std::process::id(); 2]);
    assert!(twice.memory().unwrap().peak > 2_000);
    assert!(twice.cpu_time().is_some());
    assert_eq!(Processes::default().memory(), None);
    // One that is gone: half a sum would be a wrong figure.
    assert_eq!(Processes(vec![std::process::id(), u32::MAX]).cpu_time(), None);
    assert!(open_files_limit().unwrap() > 10);
}
